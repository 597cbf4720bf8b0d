"""Whole texts and samples: cut a text into samples, and give each the words of its neighbours as context."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from iter_bench.document import Document, Entity, Relation


def by_sentence(text: Document, context: int = 0) -> tuple[list[Document], Counter[str]]:
    """One document a sentence, ``text.id/0`` and so on, and the counts of annotations that no single sentence holds.

    Args:
        text: a whole text with its sentence borders.
        context: up to so many words on each side of a sentence, from the same text, are attached to it.
    """
    return _cut(text, text.sentences, context)


def by_length(text: Document, words: int) -> tuple[list[Document], Counter[str]]:
    """The text in pieces that each end with the first sentence at which the piece has more than ``words`` words.

    This is how the CoNLL03 documents of ASP's (and so the paper's) training data are made, with 800 words. A text that
    needs no cut keeps its id.
    """
    pieces: list[tuple[int, int]] = []
    start = 0
    for _, end in text.sentences:
        if end - start > words or end == len(text.words):
            pieces.append((start, end))
            start = end
    return ([text], Counter()) if len(pieces) < 2 else _cut(text, pieces, context=0)


def _cut(text: Document, pieces: Iterable[tuple[int, int]], context: int) -> tuple[list[Document], Counter[str]]:
    samples = []
    kept: Counter[str] = Counter()
    for i, (start, end) in enumerate(pieces):
        moved = {e: replace(e, start=e.start - start, end=e.end - start) for e in text.entities if _within(e, start, end)}
        relations = tuple(
            Relation(moved[r.head], moved[r.tail], r.type) for r in text.relations if r.head in moved and r.tail in moved
        )
        kept["entities"] += len(moved)
        kept["relations"] += len(relations)
        samples.append(
            Document(
                f"{text.id}/{i}",
                text.words[start:end],
                tuple(moved.values()),
                relations,
                tuple((a - start, b - start) for a, b in text.sentences if start <= a and b <= end and a < b),
                text.words[max(0, start - context) : start],
                text.words[end : end + context],
            )
        )
    lost = Counter(
        {
            "entities across sentences left out": len(text.entities) - kept["entities"],
            "relations across sentences left out": len(text.relations) - kept["relations"],
        }
    )
    return samples, +lost


def _within(entity: Entity, start: int, end: int) -> bool:
    return start <= entity.start and entity.end <= end
