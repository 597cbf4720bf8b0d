"""Marks on the parts of a prediction, which cost next to nothing unless somebody listens.

A system writes ``with part("forward"):`` around each of its parts. ``listen`` collects their seconds, with the device
synchronised at both ends of each, so that the parts add up; that costs overlap, which is why parts are measured in
repetitions of their own and never in those that are timed as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

PARTS = ("tokenise", "transfer", "forward", "decode")
"""Words to sub-tokens, batches to the device, networks with the decisions made on the device, and numbers to extractions."""

_OFF = nullcontext()
_listener: _Listener | None = None


class _Listener:
    def __init__(self, synchronize: Callable[[], None]):
        self.seconds: dict[str, float] = {}
        self._synchronize = synchronize
        self._running: str | None = None

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        if self._running is not None:
            raise ValueError(f"part {name!r} begins within {self._running!r}: seconds would count twice")
        self._synchronize()
        self._running, start = name, time.perf_counter()
        try:
            yield
            self._synchronize()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
        finally:
            self._running = None


def part(name: str) -> AbstractContextManager[None]:
    """Marks the part of a prediction that runs within; one of ``PARTS``.

    Raises:
        ValueError: there is no such part, or it begins within another (both only while somebody listens).
    """
    if _listener is None:
        return _OFF
    if name not in PARTS:
        raise ValueError(f"no part is called {name!r}; there are {', '.join(PARTS)}")
    return _listener.timed(name)


@contextmanager
def listen(synchronize: Callable[[], None]) -> Iterator[dict[str, float]]:
    """Gives a dictionary that is filled with the seconds of each part that runs within; one listener at a time."""
    global _listener
    if _listener is not None:
        raise RuntimeError("somebody listens to the parts already")
    _listener = _Listener(synchronize)
    try:
        yield _listener.seconds
    finally:
        _listener = None
