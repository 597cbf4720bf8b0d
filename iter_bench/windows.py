"""A window of a document, what it holds, and which of a document's windows hold a span."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from iter_bench.document import Entity, Relation

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A part of a document, or all of it, as one input of an encoder. N sub-tokens, W words.

    Attributes:
        document: index of the document in the sequence that was given.
        input_ids: [N] with special sub-tokens and context.
        word_ids: [N] offset of the sub-token's word in the document; -1 for special sub-tokens, context and markers.
        is_context: [N] whether the sub-token is one of a context word or of a marker around the words.
        start_word, end_word: the document's words in this window, W of them.
        first_subtoken: [W] where in ``input_ids`` the first sub-token of word ``start_word + i`` stands; -1 if it has none.
        last_subtoken: [W] likewise the last one, itself included.
        owned: (start, end) of the words that belong to this window; over a document's windows they are a partition.
        cut_words: how many of the owned words have more sub-tokens than a window holds; the rest of theirs is left out.
        cut_context: how many context words are left out because they don't fit.
    """

    document: int
    input_ids: np.ndarray
    word_ids: np.ndarray
    is_context: np.ndarray
    start_word: int
    end_word: int
    first_subtoken: np.ndarray
    last_subtoken: np.ndarray
    owned: tuple[int, int]
    cut_words: int
    cut_context: int

    def holds(self, entity: Entity) -> bool:
        """Whether the entity lies in this window, with a sub-token at either end."""
        return (
            self.start_word <= entity.start
            and entity.end <= self.end_word
            and self.first_subtoken[entity.start - self.start_word] >= 0
            and self.last_subtoken[entity.end - 1 - self.start_word] >= 0
        )


def why_unreachable(entity: Entity, windows: Sequence[Window]) -> str | None:
    """Why no prediction can be this gold entity; none if one can."""
    after = bisect_right(windows, entity.start, key=lambda window: window.owned[0])
    if after and windows[after - 1].holds(entity):  # the window that owns its first word
        return None
    if after and entity.end > windows[after - 1].end_word:
        return "entities: they reach over the end of their window"
    return "entities: their first or last word has no sub-token"


def reaching(windows: Sequence[Window], start: int, end: int) -> range:
    """Which of a document's windows, which follow each other at both ends, hold the words ``start`` to ``end``."""
    first = bisect_left(windows, end, key=lambda window: window.end_word)
    return range(first, bisect_right(windows, start, key=lambda window: window.start_word))


def extent(relation: Relation) -> tuple[int, int]:
    """The words from the beginning of its first entity to the end of its last."""
    return min(relation.head.start, relation.tail.start), max(relation.head.end, relation.tail.end)


def by_document(
    documents: Sequence[object], windows: Sequence[Window], items: Sequence[_T]
) -> list[tuple[list[_T], list[Window]]]:
    """For each document the items of its windows, and these windows."""
    groups: list[tuple[list[_T], list[Window]]] = [([], []) for _ in documents]
    for window, item in zip(windows, items, strict=True):
        groups[window.document][0].append(item)
        groups[window.document][1].append(window)
    return groups
