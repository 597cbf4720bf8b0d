"""Which samples share a batch at prediction: those of similar length, so that little is padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

CPU_TOKENS = 512
"""Padded sub-tokens of a forward pass beyond which a CPU gets slower: activations leave its caches, and more is padded."""


def by_length(lengths: Sequence[int], batch_size: int, tokens: int | None = None) -> Iterator[list[int]]:
    """Indices of the samples of each batch, longest first, so that a batch too large for memory fails at once.

    Args:
        lengths: of the samples.
        batch_size: the most samples of a batch.
        tokens: the most padded sub-tokens of a batch of several samples; none: any number.
    """
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")[::-1].tolist()
    start = 0
    while start < len(order):
        fitting = batch_size if tokens is None else min(batch_size, tokens // max(1, lengths[order[start]]))
        end = start + max(1, fitting)
        yield order[start:end]
        start = end
