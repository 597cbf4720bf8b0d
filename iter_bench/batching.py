"""Which samples share a batch at prediction: those of similar length, so that little is padded; fewer where memory ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch

from iter_bench.errors import UserError

log = logging.getLogger("iter_bench")

CPU_TOKENS = 512
"""Padded sub-tokens of a forward pass beyond which a CPU gets slower: activations leave its caches, and more is padded."""


class OutOfMemory(UserError):
    """One sample alone needs more memory than there is."""


def in_batches(
    lengths: Sequence[int],
    batch_size: int,
    run: Callable[[list[int]], None],
    *,
    tokens: int | None = None,
    name: Callable[[int], str] = str,
) -> None:
    """Calls ``run`` with the indices of each batch's samples, longest first, so that one too large for memory fails at once.

    A batch that runs out of memory is halved and tried again, with a note in the log, and those after it are held to what
    then fits: a prediction slows down instead of stopping.

    Args:
        lengths: of the samples.
        batch_size: the most samples of a batch.
        run: does one batch; where it raises, it must have left nothing behind.
        tokens: the most padded sub-tokens of a batch of several samples; none: any number.
        name: a sample's index → what a person knows it by.

    Raises:
        OutOfMemory: a sample is too large by itself; the message names it.
    """
    order = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")[::-1].tolist()
    start = 0
    while start < len(order):
        longest = max(1, lengths[order[start]])
        fitting = batch_size if tokens is None else min(batch_size, tokens // longest)
        rows = order[start : start + max(1, fitting)]
        reason = _without_memory(run, rows)
        if reason is None:
            start += len(rows)
        elif len(rows) == 1:
            raise OutOfMemory(f"{name(rows[0])}: out of memory with this document alone, {longest} long ({reason})")
        else:  # what the failed attempt held is free only now that its frames are gone
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            tokens = longest * (len(rows) // 2)
            log.warning("out of memory with %d samples at once; going on with %d (%s)", len(rows), len(rows) // 2, reason)


def _without_memory(run: Callable[[list[int]], None], rows: list[int]) -> str | None:
    """Runs the batch; what was said if it ran out of memory, in torch's case always by a kind of RuntimeError."""
    try:
        run(rows)
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and "can't allocate memory" not in str(error):  # as torch's allocator of the host puts it
            raise
        return (str(error).splitlines() or [type(error).__name__])[0]
    return None
