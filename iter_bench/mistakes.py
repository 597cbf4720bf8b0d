"""Which mistakes a system makes: every gold and every predicted item falls into one class, counted over documents.

Items are those of convention ``strict``: an entity by position and type, a relation by its type and both typed ends, a
symmetric pair unordered. Each gold item is paired with at most one predicted item, first those that are equal, then by the
classes in the order below, so that

- gold = hit + the paired classes + the missed ones,
- predicted = hit + the paired classes + the spurious ones,

and all but ``hit`` add up to the scorer's false negatives and false positives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar

from iter_bench.document import Document, Entity, Extraction, Relation, Schema

Item = TypeVar("Item", Entity, Relation)
Rank = Callable[[Item, Item], int]
"""How well a gold and a predicted item fit a class; 0: not at all."""

ENTITY_PAIRED = ("type", "boundary", "both")
"""Right borders and a wrong type; right type and other borders that overlap; neither, but overlapping."""
ENTITY_CLASSES = ("hit", *ENTITY_PAIRED, "missed", "spurious")

RELATION_PAIRED = ("direction", "type", "entities")
"""Head and tail exchanged; the right pair under another type; the right type, with both ends overlapping the right ones."""
RELATION_CLASSES = ("hit", *RELATION_PAIRED, "missed", "missed entity", "spurious", "spurious entity")
"""``missed`` and ``spurious`` are between entities that were found, and that are right; with ``entity`` one of them wasn't."""

GIVEN = ("gold", "predicted")
"""Relations between entities that were found and are right: the base of recall and of precision given right entities."""

Kind = Literal["entities", "relations", "given"]
Mistakes = dict[Kind, dict[str, int]]
CLASSES: dict[Kind, tuple[str, ...]] = {"entities": ENTITY_CLASSES, "relations": RELATION_CLASSES, "given": GIVEN}


def count(documents: Sequence[Document], extractions: Sequence[Extraction], schema: Schema) -> Mistakes:
    """Counts over all documents: ``entities`` by `ENTITY_CLASSES`; with relation types ``relations``, ``given`` as well.

    Args:
        documents: gold.
        extractions: one for each document, in the same order.
        schema: says which relations are symmetric.
    """
    entities, relations, given = Counter(), Counter(), Counter()
    for document, extraction in zip(documents, extractions, strict=True):
        entities.update(_entities(set(document.entities), set(extraction.entities)))
        gold, found = ({schema.ordered(r) for r in of.relations} for of in (document, extraction))
        predicted = {*extraction.entities, *(end for relation in found for end in (relation.head, relation.tail))}
        right = predicted & set(document.entities)
        relations.update(_relations(gold, found, right))
        given.update(gold=sum(_between(r, right) for r in gold), predicted=sum(_between(r, right) for r in found))
    counted: Mistakes = {"entities": {name: entities[name] for name in ENTITY_CLASSES}}
    if schema.relation_types:
        counted["relations"] = {name: relations[name] for name in RELATION_CLASSES}
        counted["given"] = {name: given[name] for name in GIVEN}
    return counted


def totals(classes: Mapping[str, int]) -> tuple[int, int, int]:
    """What the classes of entities, or of relations, add up to: true positives, false positives, false negatives."""
    paired = sum(classes.get(name, 0) for name in {*ENTITY_PAIRED, *RELATION_PAIRED})
    missed, spurious = (sum(n for name, n in classes.items() if name.startswith(side)) for side in ("missed", "spurious"))
    return classes["hit"], paired + spurious, paired + missed


def bounds(classes: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Between what the classes of relations leave each side of ``given``.

    Those that were hit, or that have the right pair of entities, are among them, and those of class ``entities`` may be.
    """
    sure = sum(classes[name] for name in ("hit", "direction", "type"))
    left = {"gold": sure + classes["missed"], "predicted": sure + classes["spurious"]}
    return {side: (least, least + classes["entities"]) for side, least in left.items()}


def _entities(gold: set[Entity], found: set[Entity]) -> Counter[str]:
    def shared(a: Entity, b: Entity) -> int:
        return max(0, min(a.end, b.end) - max(a.start, b.start))

    ranks: list[Rank] = [
        lambda a, b: int((a.start, a.end) == (b.start, b.end)),
        lambda a, b: shared(a, b) * (a.type == b.type),
        shared,
    ]
    counts, missed, spurious = _paired(gold, found, dict(zip(ENTITY_PAIRED, ranks, strict=True)))
    return counts + Counter(missed=len(missed), spurious=len(spurious))


def _relations(gold: set[Relation], found: set[Relation], right: set[Entity]) -> Counter[str]:
    def overlapping(a: Relation, b: Relation) -> int:
        ends = ((a.head, b.head), (a.tail, b.tail))
        return int(a.type == b.type and all(x.start < y.end and y.start < x.end for x, y in ends))

    ranks: list[Rank] = [
        lambda a, b: int((a.type, a.head, a.tail) == (b.type, b.tail, b.head)),
        lambda a, b: int({a.head, a.tail} == {b.head, b.tail}),
        overlapping,
    ]
    counts, missed, spurious = _paired(gold, found, dict(zip(RELATION_PAIRED, ranks, strict=True)))
    for name, left in (("missed", missed), ("spurious", spurious)):
        counts.update(name if _between(relation, right) else f"{name} entity" for relation in left)
    return counts


def _paired(gold: set[Item], found: set[Item], ranks: dict[str, Rank]) -> tuple[Counter[str], set[Item], set[Item]]:
    """Counts of the hits and of each paired class, and what is left on either side; the best-fitting pairs first."""
    counts = Counter(hit=len(gold & found))
    missed, spurious = gold - found, found - gold
    for name, rank in ranks.items():
        fitting = sorted((-rank(a, b), a, b) for a in missed for b in spurious if rank(a, b))
        for _, a, b in fitting:
            if a in missed and b in spurious:
                missed.remove(a)
                spurious.remove(b)
                counts[name] += 1
    return counts, missed, spurious


def _between(relation: Relation, right: set[Entity]) -> bool:
    return relation.head in right and relation.tail in right
