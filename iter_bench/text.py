"""Raw text ↔ documents: words with their character offsets, and extractions in the text's own terms."""

from __future__ import annotations

import json
from typing import Literal

import regex

from iter_bench.document import Document, Entity, Extraction, with_ends

WordRule = Literal["joined", "runs"]
"""How text is divided into words, after the data set that a system was trained on (`Entry.words` of the catalogue)."""
WORD: dict[WordRule, regex.Pattern[str]] = {
    "joined": regex.compile(r"['’][sS]\b|[\w\p{M}]+(?:(?!['’][sS]\b)[.'’-][\w\p{M}]+)*|[^\w\p{M}\s]"),
    "runs": regex.compile(r"[\w\p{M}]+|[^\w\p{M}\s]"),
}
"""Letters keep their combining marks, as decomposed text and many scripts have them. joined: letters and digits with inner
points, apostrophes and hyphens, and ``'s`` by itself; runs: letters and digits. Any other visible character is a word too.
"""

Offsets = list[tuple[int, int]]


def document_from_text(text: str, document_id: str, rule: WordRule = "joined") -> tuple[Document, Offsets]:
    """A document of the text's words, and each word's (start, end) in characters."""
    found = list(WORD[rule].finditer(text))
    return Document(document_id, tuple(m.group() for m in found)), [m.span() for m in found]


def as_json(text: str, document: Document, offsets: Offsets, extraction: Extraction, where: str | None = None) -> str:
    """One JSON line: entities with character and word offsets, relations by the entities' places in that list.

    Args:
        where: the document comes from, if that is to be told.
    """
    entities = with_ends(extraction.entities, extraction.relations)
    place = {entity: i for i, entity in enumerate(entities)}
    return json.dumps(
        {
            "id": document.id,
            **({} if where is None else {"where": where}),
            "text": text,
            "words": document.words,
            "entities": [
                {
                    "type": entity.type,
                    "text": _words(text, offsets, entity),
                    "start": offsets[entity.start][0],
                    "end": offsets[entity.end - 1][1],
                    "words": [entity.start, entity.end],
                    "score": _rounded(entity.score),
                }
                for entity in entities
            ],
            "relations": [
                {"type": r.type, "head": place[r.head], "tail": place[r.tail], "score": _rounded(r.score)}
                for r in extraction.relations
            ],
        },
        ensure_ascii=False,
    )


def as_brackets(text: str, document: Document, offsets: Offsets, extraction: Extraction) -> str:
    """The text with ``[…]type`` around entities, outer brackets first; below it a line for each relation, and for each entity
    that crosses one before it, since brackets couldn't tell whose they are."""
    inserts: list[tuple[int, int, int, str]] = []
    within: list[Entity] = []
    crossing: list[Entity] = []
    for entity in sorted(extraction.entities, key=lambda entity: (entity.start, -entity.end)):
        crosses = any(other.start < entity.start < other.end < entity.end for other in within)
        (crossing if crosses else within).append(entity)
    for entity in within:
        start, end = offsets[entity.start][0], offsets[entity.end - 1][1]
        inserts.append((start, 1, -end, "["))
        inserts.append((end, 0, -start, f"]{entity.type}"))
    pieces, position = [], 0
    for at, _, _, mark in sorted(inserts):
        pieces += [text[position:at], mark]
        position = at
    lines = ["".join([*pieces, text[position:]])]
    lines += [f"  [{_words(text, offsets, entity)}]{entity.type}" for entity in crossing]
    lines += [f"  {_words(text, offsets, r.head)} --{r.type}--> {_words(text, offsets, r.tail)}" for r in extraction.relations]
    return "\n".join(lines)


def _words(text: str, offsets: Offsets, entity: Entity) -> str:
    return text[offsets[entity.start][0] : offsets[entity.end - 1][1]]


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)
