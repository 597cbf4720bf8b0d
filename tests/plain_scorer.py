"""The scorer written a second time, with plain sets, and extractions that are partly wrong to hold the first one against."""

from __future__ import annotations

import pytest
from fuzzing import SCHEMA

from iter_bench import scoring
from iter_bench.document import Document, Entity, Extraction, Relation


def spoilt(document: Document) -> Extraction:
    """Gold without its first entity, with another type of its last, with relations turned round, and something made up."""
    kinds = SCHEMA.entity_types
    found = {
        entity: Entity(entity.start, entity.end, kinds[1 - kinds.index(entity.type)] if last else entity.type)
        for entity in document.entities[1:]
        for last in [entity == document.entities[-1]]
    }
    backwards = {Relation(found[r.tail], found[r.head], r.type) for r in document.relations if {r.head, r.tail} <= found.keys()}
    made_up = Entity(len(document.words) - 1, len(document.words), kinds[0])
    links = {Relation(other, made_up, kind) for other in found.values() for kind in SCHEMA.relation_types if other != made_up}
    return Extraction(document.id, tuple(sorted({*found.values(), made_up})), tuple(sorted(backwards | links)))


def agree(documents, extractions) -> None:
    """Counts and ratios in every convention, by every criterion, of all and of each type, are those of plain sets."""
    found = {e.id: e for e in extractions}
    scores = scoring.score(documents, extractions, SCHEMA)
    for convention in scoring.CONVENTIONS:
        for criterion in scoring.CRITERIA:
            kinds, symmetric = SCHEMA.relation_types, SCHEMA.symmetric
            if criterion == "ner":
                kinds, symmetric = SCHEMA.entity_types, ()
            by_type = {kind: [0, 0, 0] for kind in kinds}
            for document in documents:
                gold, own = (items_of(side, document.words, convention, criterion) for side in (document, found[document.id]))
                for i, items_ in enumerate((gold & own, own - gold, gold - own)):
                    for kind, *_ in items_:
                        by_type[kind][i] += 2 if convention == "pl_marker" and kind in symmetric else 1
            score = scores[convention][criterion]
            whole = [sum(counts) for counts in zip(*by_type.values(), strict=True)]
            tallies = [(score, whole), *((score["per_type"][kind], counts) for kind, counts in by_type.items())]
            for tally, counts in tallies:
                assert [tally[name] for name in ("tp", "fp", "fn")] == counts, (convention, criterion)
                hits, wrong, missed = counts
                ratios = [
                    hits / max(1, hits + wrong),
                    hits / max(1, hits + missed),
                    2 * hits / max(1, 2 * hits + wrong + missed),
                ]
                assert [tally[name] for name in ("precision", "recall", "f1")] == pytest.approx(ratios)


def items_of(side, words, convention, criterion) -> set:
    """What is compared of an annotation, each with its type in front."""

    def mention(entity, typed):
        place = words[entity.start : entity.end] if convention == "surface" else (entity.start, entity.end)
        return (place, entity.type) if typed else (place,)

    if criterion == "ner":
        return {(entity.type, mention(entity, False)) for entity in side.entities}
    ends = [(r.type, *(mention(end, criterion == "re_plus") for end in (r.head, r.tail))) for r in side.relations]
    return {(kind, *(sorted(pair) if kind in SCHEMA.symmetric else pair)) for kind, *pair in ends}
