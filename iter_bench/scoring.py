"""Precision, recall and F1 of extractions against gold: criteria × conventions, in pure Python.

Criteria say what has to be right:

- ``ner``: an entity's boundaries and its type.
- ``re``: a relation's type and the boundaries of both its entities; entity types are ignored.
- ``re_plus``: as ``re``, and the types of both entities (the field's "strict" relation extraction).

Conventions say what is one item:

- ``strict``: an annotation at its position; a symmetric pair is unordered and counts once.
- ``pl_marker``: as ``strict``, but a symmetric pair counts twice, in gold, in what is predicted and in what is hit.
- ``surface``: as the released ITER compares: by the words of a mention instead of its position, so that equal mentions of
  one document are one item.

Items of a document form a set: what is predicted twice counts once. Counts are summed over documents before any ratio is
taken (micro), over types for ``macro``. ``docs/scoring.md`` has the reasons and what the released scorers do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Literal, get_args

from iter_bench.document import Document, Entity, Extraction, Relation, Schema
from iter_bench.errors import DataError

Criterion = Literal["ner", "re", "re_plus"]
Convention = Literal["strict", "pl_marker", "surface"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)

Counts = tuple[int, int, int]
"""True positives, false positives, false negatives."""


def score(documents: Sequence[Document], extractions: Sequence[Extraction], schema: Schema) -> dict[str, dict[str, Any]]:
    """Scores in every convention and by every criterion that the schema allows.

    Args:
        documents: gold.
        extractions: one for each document, in any order.
        schema: the types that may occur; without relation types there are no criteria ``re`` and ``re_plus``.

    Returns:
        convention → criterion → ``precision``, ``recall``, ``f1`` in [0, 1] (micro), ``tp``, ``fp``, ``fn``, ``macro`` (the
        unweighted means of precision, recall and F1 over those types that gold or prediction hold) and ``per_type`` (type →
        the first six, for every type of the schema). A ratio of nothing to nothing is 0.

    Raises:
        DataError: documents and extractions are not about the same ids, or one holds an unknown type or bad offsets.
    """
    pairs = _pairs(documents, extractions, schema)
    return {
        convention: {criterion: _score(pairs, schema, convention, criterion) for criterion in criteria(schema)}
        for convention in CONVENTIONS
    }


def criteria(schema: Schema) -> tuple[Criterion, ...]:
    """The criteria that make sense for a schema: ``ner`` alone where it has no relation types."""
    return CRITERIA if schema.relation_types else ("ner",)


def dev_scores(documents: Sequence[Document], extractions: Sequence[Extraction], schema: Schema) -> dict[Criterion, float]:
    """F1 in convention ``strict`` by criterion: what training selects by. Raises as `score` does."""
    pairs = _pairs(documents, extractions, schema)
    return {criterion: _score(pairs, schema, "strict", criterion)["f1"] for criterion in criteria(schema)}


def per_document_counts(
    documents: Sequence[Document],
    extractions: Sequence[Extraction],
    schema: Schema,
    convention: Convention,
    criterion: Criterion,
) -> list[Counts]:
    """(tp, fp, fn) of each document, in the order of ``documents``: what bootstrap and permutation tests resample.

    Their sums are the micro counts of `score`. Raises as `score` does.
    """
    counts = []
    for document, extraction in _pairs(documents, extractions, schema):
        tallies = _tally(document, extraction, schema, convention, criterion)
        counts.append(tuple(sum(tally.values()) for tally in tallies))
    return counts


def precision_recall_f1(tp: int, fp: int, fn: int) -> tuple[float, float, float]:
    """Ratios of counts; 0 where there is nothing to divide by."""
    precision = tp / (tp + fp) if tp + fp else 0.0
    recall = tp / (tp + fn) if tp + fn else 0.0
    return precision, recall, f1(tp, fp, fn)


def f1(tp: int, fp: int, fn: int) -> float:
    """The harmonic mean of precision and recall, straight from the counts; 0 if all counts are 0."""
    return 2 * tp / (2 * tp + fp + fn) if tp or fp or fn else 0.0


def _score(
    pairs: Iterable[tuple[Document, Extraction]], schema: Schema, convention: Convention, criterion: Criterion
) -> dict[str, Any]:
    totals: tuple[Counter[str], Counter[str], Counter[str]] = (Counter(), Counter(), Counter())
    for document, extraction in pairs:
        for total, tally in zip(totals, _tally(document, extraction, schema, convention, criterion), strict=True):
            total.update(tally)
    types = schema.entity_types if criterion == "ner" else schema.relation_types
    per_type = {name: _ratios(*(total[name] for total in totals)) for name in types}
    present = [entry for entry in per_type.values() if entry["tp"] or entry["fp"] or entry["fn"]]
    macro = {
        key: sum(entry[key] for entry in present) / len(present) if present else 0.0 for key in ("precision", "recall", "f1")
    }
    return {**_ratios(*(sum(total.values()) for total in totals)), "macro": macro, "per_type": per_type}


def _ratios(tp: int, fp: int, fn: int) -> dict[str, Any]:
    precision, recall, f1_ = precision_recall_f1(tp, fp, fn)
    return {"precision": precision, "recall": recall, "f1": f1_, "tp": tp, "fp": fp, "fn": fn}


def _tally(
    document: Document, extraction: Extraction, schema: Schema, convention: Convention, criterion: Criterion
) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """(tp, fp, fn) by type."""
    gold = _items(document, document, schema, convention, criterion)
    found = _items(document, extraction, schema, convention, criterion)
    doubled = schema.symmetric if convention == "pl_marker" and criterion != "ner" else frozenset()
    tallies = []
    for items in (gold & found, found - gold, gold - found):
        tally: Counter[str] = Counter()
        for type_, _ in items:
            tally[type_] += 2 if type_ in doubled else 1
        tallies.append(tally)
    return tuple(tallies)


def _items(
    document: Document, annotation: Document | Extraction, schema: Schema, convention: Convention, criterion: Criterion
) -> set[tuple[str, Hashable]]:
    """What is compared: (type, identity) pairs, whose identity depends on criterion and convention."""

    def mention(entity: Entity) -> Hashable:
        return document.words[entity.start : entity.end] if convention == "surface" else (entity.start, entity.end)

    def end(entity: Entity) -> Hashable:
        return (mention(entity), entity.type) if criterion == "re_plus" else mention(entity)

    def ends(relation: Relation) -> Hashable:
        head, tail = end(relation.head), end(relation.tail)
        if convention != "surface" and relation.head == relation.tail:
            # Wrong by definition, even where gold relates two types of the same words and `re` ignores types.
            return "self", head
        return frozenset((head, tail)) if relation.type in schema.symmetric else (head, tail)

    if criterion == "ner":
        return {(entity.type, mention(entity)) for entity in annotation.entities}
    return {(relation.type, ends(relation)) for relation in annotation.relations}


def _pairs(
    documents: Sequence[Document], extractions: Sequence[Extraction], schema: Schema
) -> list[tuple[Document, Extraction]]:
    """Each document with its extraction, both checked."""
    found: dict[str, Extraction] = {}
    for extraction in extractions:
        if extraction.id in found:
            raise DataError(f"document {extraction.id!r} has more than one extraction; give one for each document")
        found[extraction.id] = extraction
    pairs = []
    for document in documents:
        if document.id not in found:
            raise DataError(
                f"document {document.id!r} has no extraction, or stands twice; give one for each document, if empty"
            )
        extraction = found.pop(document.id)
        _check("gold", document, document, schema)
        _check("prediction", extraction, document, schema)
        pairs.append((document, extraction))
    if found:
        raise DataError(f"{len(found)} extractions are of no document, the first of {next(iter(found))!r}")
    return pairs


def _check(side: str, annotation: Document | Extraction, document: Document, schema: Schema) -> None:
    def fail(field: str, reason: str) -> None:
        raise DataError(f"{side}, document {document.id!r}, {field}: {reason}")

    def check_entity(entity: Entity, field: str) -> None:
        if entity.type not in schema.entity_types:
            fail(f"{field}.type", f"{entity.type!r} is no entity type of the schema ({', '.join(schema.entity_types)})")
        if not 0 <= entity.start < entity.end <= len(document.words):
            fail(field, f"words {entity.start}:{entity.end} are not in a document of {len(document.words)} words")

    for i, entity in enumerate(annotation.entities):
        check_entity(entity, f"entities[{i}]")
    for i, relation in enumerate(annotation.relations):
        if relation.type not in schema.relation_types:
            known = ", ".join(schema.relation_types) or "none"
            fail(f"relations[{i}].type", f"{relation.type!r} is no relation type of the schema ({known})")
        check_entity(relation.head, f"relations[{i}].head")
        check_entity(relation.tail, f"relations[{i}].tail")
