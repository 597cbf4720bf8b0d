"""What of the gold annotation PL-Marker can express, and what is lost to its span limit, windows and filters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from baselines.plmarker.decoding import without_overlapping_pairs, without_overlaps
from baselines.plmarker.ner import NerStage
from baselines.plmarker.relation import RelationStage, one_per_span
from iter_bench.document import Document, Entity, Extraction, Relation
from iter_bench.systems import Reachable


def reachable(ner: NerStage, relation: RelationStage | None, documents: Sequence[Document]) -> Reachable:
    """As ``System.reachable``: one loss is counted for each gold item, the first that applies."""
    lost: Counter[str] = Counter()
    windows = ner.windows.windows(documents)
    notes = ner.windows.notes(documents, windows)
    in_windows, reasons = ner.windows.reachable_gold(documents, windows)
    lost.update({reason: count for reason, count in reasons.items() if reason.startswith("entities")})
    spans: list[set[tuple[int, int]]] = [set() for _ in documents]
    for window, candidates in ner.candidates(documents):
        spans[window.document].update(zip(candidates.start.tolist(), candidates.end.tolist(), strict=True))
    entities = [_entities(found.entities, of, ner, lost) for found, of in zip(in_windows, spans, strict=True)]
    together: list[set[frozenset[Entity]]] = [set() for _ in documents]
    if relation is not None:
        windows = relation.windows.windows(documents)
        notes.update({f"{what}, stage 2": count for what, count in relation.windows.notes(documents, windows).items()})
        for window, within in zip(windows, relation.windows.within(documents, windows), strict=True):
            together[window.document].update(frozenset((r.head, r.tail)) for r in within.relations)
    found = [
        Extraction(document.id, tuple(sorted(kept)), tuple(_relations(document, kept, pairs, relation, lost)))
        for document, kept, pairs in zip(documents, entities, together, strict=True)
    ]
    return Reachable(found, lost, notes)


def _entities(gold: Sequence[Entity], spans: set[tuple[int, int]], ner: NerStage, lost: Counter[str]) -> set[Entity]:
    settings = ner.config.settings
    short = [entity for entity in gold if entity.end - entity.start <= settings.max_span_words]
    _count(lost, f"entities: longer than max_span_words={settings.max_span_words}", gold, short)
    candidates = [entity for entity in short if (entity.start, entity.end) in spans]
    _count(lost, "entities: they reach over the end of their sentence", short, candidates)
    single = one_per_span(candidates)
    _count(lost, "entities: second type of the same span", candidates, single)
    # of spans that overlap, the most are kept if those count that end first
    kept = without_overlaps([replace(entity, score=-entity.end) for entity in single], settings.ner_overlap)
    _count(lost, "entities: they overlap another one" + " of their type" * (settings.ner_overlap != "any"), single, kept)
    return set(kept)


def _relations(
    document: Document,
    entities: set[Entity],
    together: set[frozenset[Entity]],
    relation: RelationStage | None,
    lost: Counter[str],
) -> list[Relation]:
    gold = document.relations
    ends = [r for r in gold if r.head in entities and r.tail in entities]
    _count(lost, "relations: an entity of theirs is unreachable", gold, ends)
    near = [r for r in ends if frozenset((r.head, r.tail)) in together]
    _count(lost, "relations: their entities are in no common window", ends, near)
    single = list({frozenset((r.head, r.tail)): r for r in reversed(near)}.values())[::-1]
    _count(lost, "relations: second one of the same two entities", near, single)
    if relation is None or relation.config.settings.re_overlap == "keep":
        return sorted(single)
    # In gold order: where three overlap, another order may leave more, so this loss is an upper bound.
    decoded = {relation.config.schema.ordered(r): r for r in single}
    kept = [decoded[r] for r in without_overlapping_pairs(decoded, [0.0] * len(decoded))]
    _count(lost, "relations: they overlap another one of their type at both ends", single, kept)
    return sorted(kept)


def _count(lost: Counter[str], reason: str, before: Sequence[object], after: Sequence[object]) -> None:
    if fewer := len(before) - len(after):
        lost[reason] += fewer
