"""States shown on their way to decisions, which costs next to nothing unless somebody looks.

A system calls ``show`` where the states of a batch are whole. ``look`` collects those that are asked for, each by what it is
of (its sub-tokens, say), so that states of a batch can be compared with those of the same computed in another way. What a
batch that was begun anew shows replaces what it showed before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_looker: tuple[Collection[Hashable], dict[Hashable, Tensor]] | None = None


def show(keys: Iterable[Hashable], states: Callable[[int], Tensor]) -> None:
    """Shows the states of a batch.

    Args:
        keys: what each sample of the batch is, equal for equal ones only; read while somebody looks.
        states: number of a sample → its states, [rows, width].
    """
    if _looker is not None:
        wanted, found = _looker
        for number, key in enumerate(keys):
            if key in wanted:
                found[key] = states(number)


@contextmanager
def look(wanted: Collection[Hashable]) -> Iterator[dict[Hashable, Tensor]]:
    """Gives a dictionary that is filled with the states of the wanted keys that are shown within; one looker at a time."""
    global _looker
    if _looker is not None:
        raise RuntimeError("somebody looks at the states already")
    _looker = (wanted, {})
    try:
        yield _looker[1]
    finally:
        _looker = None
