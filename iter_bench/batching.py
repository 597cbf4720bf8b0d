"""Which samples share a batch at prediction: those of similar length, so that little is padded; fewer where memory ends."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch

from iter_bench.errors import UserError
from iter_bench.observation.parts import part

_S = TypeVar("_S")
_T = TypeVar("_T")

log = logging.getLogger("iter_bench")

CPU_TOKENS = 512
"""Padded sub-tokens of a forward pass beyond which a CPU gets slower: activations leave its caches, and more is padded."""
GPU_TOKENS = 32768
"""The same for a GPU: as many keep one busy, and memory stays bounded whatever ``batch_size`` is. Not measured."""
GPU_CHUNK = 16
"""The most batches whose documents are tokenised together for a GPU. Not measured."""
_NO_MEMORY = re.compile("can't allocate memory|CUDA error: out of memory|CU(BLAS|DNN)_STATUS_[A-Z_]*ALLOC[A-Z_]*FAILED")
"""How a lack of memory is told without an error of its own: by torch's allocator of the host, CUDA, cuBLAS and cuDNN."""


class OutOfMemory(UserError):
    """There is less memory than one sample, or a batch that can't be divided, needs."""


@dataclass
class Formed:
    """Batches, as they were formed.

    Attributes:
        sizes: samples of each.
        halved: how many ran out of memory, so that they were halved.
    """

    sizes: list[int] = field(default_factory=list)
    halved: int = 0


_formed: ContextVar[Formed] = ContextVar("formed")


@contextmanager
def noting(formed: Formed) -> Iterator[None]:
    """Adds to ``formed`` what batches ``in_batches`` forms within."""
    token = _formed.set(formed)
    try:
        yield
    finally:
        _formed.reset(token)


def token_budget(device: torch.device) -> int:
    """The most padded sub-tokens of a batch of several samples on ``device``."""
    return CPU_TOKENS if device.type == "cpu" else GPU_TOKENS


def in_rows(lengths: Sequence[int], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each sequence stands once several share a row of ``width``: [B] its row and [B] its first column.

    The longest are placed first, each into the first row that has room, so that few places stay empty; where no two fit into
    a row, each has its own.
    """
    row, column = np.zeros(len(lengths), dtype=np.int64), np.zeros(len(lengths), dtype=np.int64)
    used = np.zeros(len(lengths), dtype=np.int64)
    for i in np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable"):
        row[i] = np.argmax(used + lengths[i] <= width)
        column[i] = used[row[i]]
        used[row[i]] += lengths[i]
    return row, column


def in_batches(
    lengths: Sequence[int],
    batch_size: int,
    begin: Callable[[list[int]], Callable[[], None] | None],
    *,
    tokens: int | None = None,
    name: Callable[[int], str] = str,
    earlier: Callable[[], None] | None = None,
) -> Callable[[], None]:
    """Calls ``begin`` with the indices of each batch's samples, longest first, so that one too large for memory fails at once.

    What a batch leaves to be done on the host is done once the next has begun, while a GPU computes that one. A batch that
    runs out of memory is halved and tried again, with a note in the log, and those after it are held to what then fits: a
    prediction slows down instead of stopping.

    Args:
        lengths: of the samples.
        batch_size: the most samples of a batch.
        begin: does one batch, or begins it and gives what ends it; where either raises, it must have left nothing behind.
        tokens: the most padded sub-tokens of a batch of several samples; none: any number.
        name: a sample's index → what a person knows it by.
        earlier: what an earlier call returned, to be ended once the first batch has begun, or as memory is short beside it.

    Returns:
        What ends the last batch, so that something else can begin before; nothing is left to it where ``begin`` gives nothing.

    Raises:
        OutOfMemory: a sample is too large by itself; the message names it.
    """
    waiting = np.argsort(np.asarray(lengths, dtype=np.int64), kind="stable")[::-1].tolist()
    begun: tuple[list[int], Callable[[], None]] | None = None if earlier is None else ([], earlier)
    formed = _formed.get(Formed())

    def smaller(rows: list[int], reason: str) -> int:
        longest = lengths[rows[0]]
        if len(rows) == 1:
            raise OutOfMemory(f"{name(rows[0])}: out of memory with this document alone, {longest} long ({reason})")
        if torch.cuda.is_available():  # what the failed attempt held is free only now that its frames are gone
            torch.cuda.empty_cache()
        formed.halved += 1
        log.warning("out of memory with %d samples at once; going on with %d (%s)", len(rows), len(rows) // 2, reason)
        return max(1, longest) * (len(rows) // 2)

    def go_on() -> None:
        nonlocal begun, tokens
        rows, end, reason = [], None, None
        if waiting:
            longest = max(1, lengths[waiting[0]])
            fitting = batch_size if tokens is None else min(batch_size, tokens // longest)
            rows = waiting[: max(1, fitting)]
            end, reason = _without_memory(lambda rows=rows: begin(rows))
            if reason is None:
                del waiting[: len(rows)]
                formed.sizes.append(len(rows))
        if begun is not None:  # whose memory is free afterwards: what failed beside it is tried again as it was
            before, finish = begun
            _, failed = _without_memory(finish)
            if failed is not None:
                tokens = smaller(before, failed)
                waiting[:0] = before
        elif reason is not None:
            tokens = smaller(rows, reason)
        begun = None if end is None else (rows, end)

    def end_last() -> None:
        while waiting or begun is not None:  # which may have run out of memory only now
            go_on()

    while waiting:
        go_on()
    return end_last


def chunks(documents: Sequence[_S], batch_size: int, device: torch.device) -> list[Sequence[_S]]:
    """The documents in the parts that are tokenised, and sorted by length, together.

    A GPU computes while the part that follows is tokenised: one batch at first, so that it starts at once, then twice as many
    each time. On a CPU both would share its cores, so it gets all at once.
    """
    parts, start, batches = [], 0, 1
    while start < len(documents):
        size = len(documents) if device.type == "cpu" else batches * batch_size
        parts.append(documents[start : start + size])
        start, batches = start + size, min(2 * batches, GPU_CHUNK)
    return parts


def ahead(work: Callable[[_S], _T], items: Sequence[_S]) -> Iterator[_T]:
    """``work`` of each item, in order; while the caller is busy with one, a thread does the next.

    What raises does so where its item is due.
    """
    if not items:
        return
    with ThreadPoolExecutor(1) as thread:  # which starts none before the second item
        done = work(items[0])
        for item in items[1:]:
            following = thread.submit(work, item)
            yield done
            done = following.result()
        yield done


def in_lots(
    documents: Sequence[_S], batch_size: int, device: torch.device, prepare: Callable[[Sequence[_S]], _T]
) -> Iterator[tuple[Sequence[_S], _T]]:
    """The ``chunks`` of the documents, each with what ``prepare``, which tokenises, makes of it ``ahead``.

    Batches are formed of one at a time; so what memory turned out to allow is found anew in each.
    """
    lots = chunks(documents, batch_size, device)
    prepared = ahead(prepare, lots)
    for lot in lots:
        with part("tokenise"):
            ready = next(prepared)
        yield lot, ready


def delayed(items: Iterable[_T]) -> Iterator[_T]:
    """The items, each only once the one after it was made: what a GPU was asked of that one it computes meanwhile."""
    made: list[_T] = []
    for item in items:
        made.append(item)
        if len(made) > 1:
            yield made.pop(0)
    yield from made


@contextmanager
def undivided(what: str, advice: str) -> Iterator[None]:
    """For work that smaller batches would change, such as a step of training: where memory ends, it's said what to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if (reason := lack_of_memory(error)) is None:
            raise
        raise OutOfMemory(f"out of memory with {what} ({reason}); {advice}") from None


def _without_memory(run: Callable[[], _T]) -> tuple[_T | None, str | None]:
    """What ``run`` gives, or what was said if it ran out of memory."""
    try:
        return run(), None
    except (MemoryError, RuntimeError) as error:
        if (reason := lack_of_memory(error)) is None:
            raise
        return None, reason


def lack_of_memory(error: Exception) -> str | None:
    """What an error says, if it tells of a lack of memory, else None; torch's always is a RuntimeError."""
    if not isinstance(error, torch.OutOfMemoryError | MemoryError) and not _NO_MEMORY.search(str(error)):
        return None
    return (str(error).splitlines() or [type(error).__name__])[0]
