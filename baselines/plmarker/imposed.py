"""A given structure in place of both stages' decisions: for measuring speed with weights that decide nothing.

Both stages compute, and move to the host, all that they compute otherwise; then these scores are read instead of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from baselines.plmarker.candidates import span_classes
from baselines.plmarker.ner import NerStage
from baselines.plmarker.relation import RelationStage, one_per_span, pair_classes
from iter_bench.document import Document, Entity, Extraction, Relation

IMPOSSIBLE = -100.0
"""Log-probability of every class but the imposed one."""


class InOrder(NamedTuple):
    """What is left of an ``Imposed`` for the documents that follow."""

    spans: Iterator[np.ndarray]
    entities: Iterator[tuple[Entity, ...]]
    pairs: Iterator[np.ndarray]


@dataclass(frozen=True, slots=True)
class Imposed:
    """The structure of some documents as decisions.

    Attributes:
        spans: [P, 2] for each example of stage 1, as its ``decide`` gives them.
        entities: of each document, sorted: the outcome of stage 1. It is imposed apart, since types that stage 2 predicts
            again can overlap where the filter of stage 1 lets none.
        pairs: [P, classes + 1] for each example of stage 2.
        relations: of each document: relation as it's decoded → as it was given.
    """

    spans: list[np.ndarray]
    entities: list[tuple[Entity, ...]]
    pairs: list[np.ndarray]
    relations: list[dict[Relation, Relation]]

    def in_order(self) -> InOrder:
        """What both stages read, for lots of the documents one after the other."""
        return InOrder(iter(self.spans), iter(self.entities), iter(self.pairs))

    def as_given(self, found: Sequence[Extraction]) -> list[Extraction]:
        """The extractions with symmetric relations the way round that was given."""
        return [
            replace(extraction, relations=tuple(sorted(given[relation] for relation in extraction.relations)))
            for extraction, given in zip(found, self.relations, strict=True)
        ]


def imposed(
    ner: NerStage, relation: RelationStage | None, documents: Sequence[Document], extractions: Sequence[Extraction]
) -> Imposed:
    """What of ``extractions`` the stages can express; the rest is left out."""
    spans: list[np.ndarray] = []
    expressed: list[set[tuple[int, int]]] = [set() for _ in documents]
    for window, candidates in ner.candidates(documents):
        classes = span_classes(candidates, extractions[window.document].entities, ner.class_of)
        spans.append(np.stack((classes, np.ones(len(classes))), axis=1))
        expressed[window.document].update(zip(candidates.start.tolist(), candidates.end.tolist(), strict=True))
    entities = [
        tuple(sorted(one_per_span([e for e in extraction.entities if (e.start, e.end) in of])))
        for extraction, of in zip(extractions, expressed, strict=True)
    ]
    if relation is None:
        return Imposed(spans, entities, [], [{} for _ in documents])
    relations = [
        [r for r in extraction.relations if {r.head, r.tail} <= set(of)]
        for extraction, of in zip(extractions, entities, strict=True)
    ]
    classes_of = [pair_classes(*parts, relation.classes) for parts in zip(entities, relations, strict=True)]
    types_of = [np.array([ner.class_of[entity.type] for entity in of], dtype=np.int64) for of in entities]
    pairs = []
    for columns in relation.pairs(documents, entities)[1]:
        document = columns[0, 0]
        rows = np.full((len(columns), len(relation.classes) + 1), IMPOSSIBLE)
        rows[np.arange(len(rows)), classes_of[document][columns[:, 1], columns[:, 2]]] = 0
        rows[:, -1] = types_of[document][columns[:, 2]]
        pairs.append(rows)
    schema = relation.config.schema
    return Imposed(spans, entities, pairs, [{schema.ordered(r): r for r in of} for of in relations])
