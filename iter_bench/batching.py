"""Which samples share a batch at prediction: those of similar length, so that little is padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


def by_length(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Indices of the samples of each batch, longest first, so that a batch too large for memory fails at once."""
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")[::-1].tolist()
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
