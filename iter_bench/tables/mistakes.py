"""Which mistakes each system makes: the classes of `iter_bench.mistakes` from records, as shares of the gold items."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

import pandas as pd

from iter_bench import mistakes, scoring
from iter_bench.records import Record
from iter_bench.tables.captions import provenance
from iter_bench.tables.runs import ABOUT, Group, group_runs, on_test
from iter_bench.tables.text import Made

SHARES = (
    "Means over runs, convention `strict`. Classes are in percent of the gold items, so those from hit to missed make 100; "
    "spurious ones come on top. Each gold item is paired with at most one predicted item. "
)
ENTITIES = (
    "type: right borders, wrong type; boundary: right type, borders that overlap the right ones; both: neither, but "
    "overlapping; missed, spurious: nothing overlaps that is not paired otherwise."
)
RELATIONS = (
    "direction: head and tail exchanged; type: the right pair under another type; entities: right type, both ends overlap the "
    "right ones; missed: though both entities were found; missed entity: one of them wasn't; spurious: between two right "
    "entities; spurious entity: one of them is wrong. P, R, F1 given entities: of the relations between entities that were "
    "found and are right, alone: what the relation step does once the entities are there."
)


def entities(records: Sequence[Record]) -> Made:
    """A row a group of runs: where its entities go wrong."""
    kept = with_mistakes(records)
    rows = [group.about | shares(group, "entities") for group in group_runs(kept)]
    columns = [*ABOUT, "gold", *(f"{name} %" for name in mistakes.ENTITY_CLASSES)]
    return _made("Mistakes in entities", rows, columns, ENTITIES, kept, records)


def relations(records: Sequence[Record]) -> Made:
    """A row a group of runs: where its relations go wrong, and how good they are given right entities."""
    kept = [record for record in with_mistakes(records) if "relations" in record.mistakes]
    rows = []
    for group in group_runs(kept):
        rows.append(group.about | shares(group, "relations"))
        ratios = zip(*(given_entities(record) for record in group.records), strict=True)
        rows[-1] |= {f"{name} given entities": 100 * mean(of) for name, of in zip(("P", "R", "F1"), ratios, strict=True)}
    columns = [*ABOUT, "gold", *(f"{name} %" for name in mistakes.RELATION_CLASSES)]
    columns += [f"{ratio} given entities" for ratio in ("P", "R", "F1")]
    return _made("Mistakes in relations", rows, columns, RELATIONS, kept, records)


def with_mistakes(records: Sequence[Record]) -> list[Record]:
    """Those scored on a test split that hold mistakes; records of schema version 1 don't."""
    return [record for record in on_test(records) if record.mistakes]


def left_out(records: Sequence[Record]) -> tuple[str, ...]:
    """A sentence on the runs that were recorded before mistakes were counted; none where there are no such runs."""
    scored, kept = on_test(records), with_mistakes(records)
    older = group_runs([record for record in scored if record not in kept], scored)
    told = [
        f"{group.system} on {group.dataset}{f' ({group.setting})' if group.setting else ''}, "
        f"{len(group.records)} {'run' if len(group.records) == 1 else 'runs'}"
        for group in older
    ]
    return (f"Recorded before mistakes were counted, so not here: {'; '.join(told)}.",) if told else ()


def shares(group: Group, kind: mistakes.Kind) -> dict[str, float]:
    """``gold`` items, and each class as ``<class> %`` of them, means over the group's runs."""
    names = mistakes.ENTITY_CLASSES if kind == "entities" else mistakes.RELATION_CLASSES
    counted = [record.mistakes[kind] for record in group.records]
    gold = [hit + lost for hit, _, lost in map(mistakes.totals, counted)]
    of = {"gold": mean(gold)}
    for name in names:
        of[f"{name} %"] = mean(100 * classes.get(name, 0) / max(n, 1) for classes, n in zip(counted, gold, strict=True))
    return of


def given_entities(record: Record) -> tuple[float, float, float]:
    """Precision, recall and F1 of relations between entities that were found and are right, in [0, 1]."""
    hit, given = record.mistakes["relations"]["hit"], record.mistakes["given"]
    return scoring.precision_recall_f1(hit, given["predicted"] - hit, given["gold"] - hit)


def _made(
    title: str, rows: list[dict[str, Any]], columns: list[str], meaning: str, kept: Sequence[Record], records: Sequence[Record]
) -> Made:
    frame = pd.DataFrame(rows, columns=columns)
    text = frame.map(lambda value: f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value))
    notes = (SHARES + meaning, *left_out(records), provenance(kept))
    return Made(title, frame, notes, text)
