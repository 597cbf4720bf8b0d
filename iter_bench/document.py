"""The one document model: what every reader makes, every system takes and every scorer compares.

Offsets are word offsets into ``Document.words``; an end is exclusive. Everything is immutable and hashable, so that gold
and predicted annotations compare by plain set operations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

CONTEXT_MARKERS = ("<extra_id_22>", "<extra_id_23>")
"""Words directly before and after a sentence in ASP's ACE05 files, and for systems trained on them."""


class InvalidDocument(ValueError):
    """A document whose parts contradict each other.

    ``problems`` holds every problem found, as ``(field, reason)`` pairs; a field is named as in ``relations[3].head``.
    """

    def __init__(self, document_id: str, problems: list[tuple[str, str]]):
        self.document_id = document_id
        self.problems = problems
        listed = "; ".join(f"{name}: {reason}" for name, reason in problems)
        super().__init__(f"document {document_id!r}: {listed}")


@dataclass(frozen=True, slots=True, order=True)
class Entity:
    """Words ``start`` to ``end`` (exclusive) as a mention of ``type``; ``score`` is no part of its identity."""

    start: int
    end: int
    type: str
    score: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, order=True)
class Relation:
    """``head`` stands in relation ``type`` to ``tail``; ``score`` (a probability) is no part of its identity."""

    head: Entity
    tail: Entity
    type: str
    score: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Schema:
    """The types that a data set annotates; the order is that of the model's classes.

    ``symmetric`` names the relation types for which (head, tail) and (tail, head) say the same.
    """

    entity_types: tuple[str, ...]
    relation_types: tuple[str, ...] = ()
    symmetric: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name, types in (("entity_types", self.entity_types), ("relation_types", self.relation_types)):
            if len(set(types)) != len(types):
                raise ValueError(f"schema: {name} names a type twice: {types}")
        if unknown := self.symmetric - set(self.relation_types):
            raise ValueError(f"schema: symmetric names no relation type: {sorted(unknown)}")

    def ordered(self, relation: Relation) -> Relation:
        """The relation; a symmetric one with the entity that comes first as its head."""
        if relation.type not in self.symmetric or relation.head <= relation.tail:
            return relation
        return Relation(relation.tail, relation.head, relation.type, relation.score)


@dataclass(frozen=True, slots=True)
class Document:
    """One sample: the words to extract from, their gold annotation, and words around them that only give context.

    Attributes:
        id: unique within its data set split.
        words: never empty strings; may be an empty tuple.
        entities: gold entities in reading order, each once.
        relations: gold relations, each once, between members of ``entities``; a symmetric pair stands once.
        sentences: (start, end) word offsets of the sentences, in order, covering ``words``; one sentence if not given.
        context_before: words of the text directly before ``words``; read by a system, never extracted or scored.
        context_after: likewise, directly after.

    Raises:
        InvalidDocument: an offset is out of range, ``start >= end``, a word is empty, an annotation stands twice, a
            relation's head equals its tail or isn't among ``entities``, or sentence borders don't cover the words.
    """

    id: str
    words: tuple[str, ...]
    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()
    sentences: tuple[tuple[int, int], ...] = ()
    context_before: tuple[str, ...] = ()
    context_after: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.sentences and self.words:
            object.__setattr__(self, "sentences", ((0, len(self.words)),))
        if problems := list(self._problems()):
            raise InvalidDocument(self.id, problems)

    def _problems(self) -> Iterable[tuple[str, str]]:
        for name in ("words", "context_before", "context_after"):
            for i, word in enumerate(getattr(self, name)):
                if not word or word.isspace():
                    yield f"{name}[{i}]", "empty word"
        seen: set[object] = set()
        for i, entity in enumerate(self.entities):
            where = f"entities[{i}]"
            if entity.start >= entity.end:
                yield where, f"start {entity.start} is not before end {entity.end}"
            elif entity.start < 0 or entity.end > len(self.words):
                yield where, f"offsets {entity.start}:{entity.end} out of range, the document has {len(self.words)} words"
            if entity in seen:
                yield where, "stands twice"
            seen.add(entity)
        for i, relation in enumerate(self.relations):
            where = f"relations[{i}]"
            if relation.head == relation.tail:
                yield where, "head = tail"
            for end in ("head", "tail"):
                if getattr(relation, end) not in seen:
                    yield f"{where}.{end}", "is none of the document's entities"
            if relation in seen:
                yield where, "stands twice"
            seen.add(relation)
        position = 0
        for i, (start, end) in enumerate(self.sentences):
            if start != position or end < start:
                yield f"sentences[{i}]", f"borders {start}:{end} do not follow word {position}"
            position = end
        if self.sentences and position != len(self.words):
            yield "sentences", f"cover {position} of {len(self.words)} words"


@dataclass(frozen=True, slots=True)
class Extraction:
    """What a system found in the document named ``id``; the offsets are those of that document's words."""

    id: str
    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()


def with_ends(entities: Iterable[Entity], relations: Iterable[Relation]) -> list[Entity]:
    """The entities, each once, and behind them the ends of relations that aren't among them, as a prediction may have."""
    ends = (end for relation in relations for end in (relation.head, relation.tail))
    return list(dict.fromkeys([*entities, *ends]))


@dataclass(frozen=True, slots=True)
class Dataset:
    """The documents of one split, with what the load left out.

    Attributes:
        name: catalogue name, such as ``conll04``.
        split: such as ``train``; joined splits are written ``train+dev``.
        documents: in file order.
        schema: the types that may occur.
        notes: counts of everything that the load changed or left out, by what it was (``skipped records`` and so on);
            empty when nothing was.
    """

    name: str
    split: str
    documents: tuple[Document, ...]
    schema: Schema
    notes: dict[str, int] = field(default_factory=dict)
