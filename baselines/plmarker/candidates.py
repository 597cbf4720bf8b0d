"""Stage 1's candidates: every span of at most L words that starts and ends at word borders, within one sentence."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from baselines.plmarker.configuration import NIL
from iter_bench.document import Document, Entity
from iter_bench.windows import Window


@dataclass(frozen=True, slots=True)
class Candidates:
    """The spans of one window, in order of position. All arrays are [P].

    Attributes:
        start, end: words of the document; the end is exclusive.
        first, last: the spans' first and last sub-tokens, counted in the window.
    """

    start: np.ndarray
    end: np.ndarray
    first: np.ndarray
    last: np.ndarray

    def __len__(self) -> int:
        return len(self.start)


def candidates_of(window: Window, document: Document, longest: int) -> Candidates:
    """All spans of up to ``longest`` words whose first word the window owns; so each is in one window of its document."""
    low, high = window.owned
    start = np.arange(low, high)[:, None]
    end = start + np.arange(1, longest + 1)
    # a span stays within its window and its sentence; a long document has many sentences, of which a window owns words of few
    first, last = (bisect_right(document.sentences, word, key=lambda borders: borders[1]) for word in (low, high - 1))
    sentence_ends = np.array([border for _, border in document.sentences[first : last + 1]])
    limit = np.minimum(sentence_ends[np.searchsorted(sentence_ends, start, side="right")], window.end_word)
    fits = end <= limit
    start, end = np.broadcast_to(start, end.shape)[fits], end[fits]
    first = window.first_subtoken[start - window.start_word]
    last = window.last_subtoken[end - 1 - window.start_word]
    whole = (first >= 0) & (last >= 0)
    return Candidates(start[whole], end[whole], first[whole], last[whole])


def span_classes(candidates: Candidates, entities: tuple[Entity, ...], class_of: dict[str, int]) -> np.ndarray:
    """The class of each candidate, [P]: NIL, or that of the first gold entity of these words."""
    gold: dict[tuple[int, int], int] = {}
    for entity in entities:
        gold.setdefault((entity.start, entity.end), class_of[entity.type])
    classes = np.full(len(candidates), NIL, dtype=np.int64)
    width = candidates.end.max(initial=0) + 1
    keys = candidates.start * width + candidates.end
    for (start, end), kind in gold.items():
        if end < width:
            classes[keys == start * width + end] = kind
    return classes
