"""Scores → entities and relations: both directions of a pair together, and the overlap filters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from baselines.plmarker.configuration import NIL, Overlap, PlMarkerConfig, RelationClasses
from iter_bench.document import Entity, Extraction, Relation


def overlap(first: Entity, second: Entity) -> bool:
    """Whether two spans share a word."""
    return first.start < second.end and second.start < first.end


def without_overlaps(entities: Iterable[Entity], which: Overlap) -> list[Entity]:
    """The entities from the best score down, without those that overlap a better one of their type, or of any type."""
    ranked = sorted(entities, key=lambda entity: -entity.score)
    if which == "keep":
        return ranked
    kept: list[Entity] = []
    taken: set[tuple[str, int]] = set()
    for entity in ranked:
        words = {(entity.type if which == "same_type" else "", word) for word in range(entity.start, entity.end)}
        if taken.isdisjoint(words):
            kept.append(entity)
            taken |= words
    return kept


def without_overlapping_pairs(relations: Iterable[Relation], ranks: Sequence[float]) -> list[Relation]:
    """The relations from the best rank down, without those that overlap a better one of their type at head and tail."""
    kept: list[Relation] = []
    with_head_at: defaultdict[tuple[str, int], list[Relation]] = defaultdict(list)
    for _, relation in sorted(zip(ranks, relations, strict=True), key=lambda pair: -pair[0]):
        places = [(relation.type, word) for word in range(relation.head.start, relation.head.end)]
        if not any(overlap(relation.tail, better.tail) for place in places for better in with_head_at[place]):
            kept.append(relation)
            for place in places:
                with_head_at[place].append(relation)
    return kept


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """What stage 2 says of K ordered pairs; with a pair the other way round is always there too.

    Attributes:
        document: [K] index of the document.
        subject, object: [K] indices among its entities.
        scores: [K, classes] log-probabilities.
        type: [K] class of the object's type as predicted with this subject.
    """

    document: np.ndarray
    subject: np.ndarray
    object: np.ndarray
    scores: np.ndarray
    type: np.ndarray


@dataclass(frozen=True, slots=True)
class _Found:
    """A relation before the filter: indices of head and tail, class, log-probability, classes of the ends' types."""

    head: int
    tail: int
    kind: int
    rank: float
    head_type: int
    tail_type: int


def decode_pairs(
    ids: Sequence[str],
    entities: Sequence[Sequence[Entity]],
    pairs: ScoredPairs | None,
    config: PlMarkerConfig,
    classes: RelationClasses,
) -> list[Extraction]:
    """One extraction a document.

    Both directions of a pair add their log-probabilities, and the best class counts. With ``entity_types`` "re", a pair one
    of whose ends stage 2 calls no entity is dropped, and an entity has the type that it has in its best relation.

    Args:
        ids: of the documents.
        entities: of the documents; spans differ.
        pairs: none where no document has two entities.
        config: its settings say what is done.
        classes: of the scores.
    """
    found: list[list[_Found]] = [[] for _ in ids]
    for document, relation in _best(pairs, config, classes) if pairs is not None else ():
        found[document].append(relation)
    return [_extraction(*parts, config, classes) for parts in zip(ids, entities, found, strict=True)]


def _best(pairs: ScoredPairs, config: PlMarkerConfig, classes: RelationClasses) -> Iterable[tuple[int, _Found]]:
    """(document, relation) of each pair of entities that has one."""
    size = int(max(pairs.subject.max(), pairs.object.max())) + 1
    low, high = np.minimum(pairs.subject, pairs.object), np.maximum(pairs.subject, pairs.object)
    # a pair of several windows counts once, as its first window has it; then both directions stand side by side
    key = ((pairs.document * size + low) * size + high) * 2 + (pairs.subject > pairs.object)
    rows = np.unique(key, return_index=True)[1]
    there, back = rows[::2], rows[1::2]
    scores = pairs.scores[there] + pairs.scores[back][:, classes.swap]
    best = scores.argmax(1)
    chosen = best != NIL
    if config.settings.entity_types == "re":
        chosen &= (pairs.type[there] != NIL) & (pairs.type[back] != NIL)
    there, back, best, rank = there[chosen], back[chosen], best[chosen], scores[chosen].max(1)
    inverse = best >= len(classes.names)
    head, tail = np.where(inverse, back, there), np.where(inverse, there, back)
    columns = (
        pairs.document[head],
        pairs.subject[head],
        pairs.object[head],
        np.where(inverse, classes.swap[best], best),
        rank,
        pairs.type[tail],  # the row whose subject is the tail has the head as its object
        pairs.type[head],
    )
    for document, *relation in zip(*(column.tolist() for column in columns), strict=True):
        yield document, _Found(*relation)


def _extraction(
    id_: str, entities: Sequence[Entity], found: list[_Found], config: PlMarkerConfig, classes: RelationClasses
) -> Extraction:
    own = list(entities)
    relations = [Relation(own[f.head], own[f.tail], classes.names[f.kind], float(np.exp(f.rank / 2))) for f in found]
    if config.settings.re_overlap == "same_type":
        kept = without_overlapping_pairs(relations, [f.rank for f in found])
    else:
        kept = relations
    if config.settings.entity_types == "ner":
        return Extraction(id_, tuple(own), tuple(sorted(kept)))
    by_ends = {(own[f.head], own[f.tail]): f for f in found}
    types: dict[Entity, str] = {}
    for relation in sorted(kept, key=lambda r: -by_ends[r.head, r.tail].rank):
        f = by_ends[relation.head, relation.tail]
        types.setdefault(relation.head, config.entity_types[f.head_type - 1])
        types.setdefault(relation.tail, config.entity_types[f.tail_type - 1])
    retyped = {entity: Entity(entity.start, entity.end, types.get(entity, entity.type), entity.score) for entity in own}
    return Extraction(
        id_,
        tuple(retyped.values()),
        tuple(sorted(Relation(retyped[r.head], retyped[r.tail], r.type, r.score) for r in kept)),
    )
