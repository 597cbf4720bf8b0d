"""The paper's tables 3, 4 and 6 from records: what was published and what was measured, in columns of their own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Any

import pandas as pd

from iter_bench import published
from iter_bench.records import Record
from iter_bench.scoring import Convention, Criterion
from iter_bench.tables.captions import provenance
from iter_bench.tables.runs import Group, group_runs, percent
from iter_bench.tables.text import Made

METRICS: dict[str, tuple[str, Criterion, Convention]] = {
    "NER": ("ner_f1", "ner", "strict"),
    "RE+": ("re_plus_f1", "re_plus", "strict"),
    "RE+∗": ("re_plus_f1", "re_plus", "pl_marker"),
}
CONVENTIONS = (
    "F1 in percent; published as printed, measured as mean ± sample standard deviation over runs. Measured convention: "
    "`strict`, by position; ∗: `pl_marker`, a symmetric pair counts twice. The released ITER compares mentions by their words, "
    "which is more lenient (table `conventions`). An empty cell was not measured, or not published."
)

NEAREST = (
    "Measured runs stand beside the published row of the same system and encoder, or, where there is none, of the same system "
    "with the fewest parameters that didn't diverge: then the difference is also one of encoders."
)


def scored_groups(records: Sequence[Record]) -> list[Group]:
    """Groups of runs that were scored on the test split of a data set that the paper has."""
    return [group for group in group_runs(records) if group.dataset in published.DATASETS]


def records_of(groups: Iterable[Group]) -> list[Record]:
    """All their records."""
    return [record for group in groups for record in group.records]


def main_results(records: Sequence[Record]) -> Made:
    """Table 3: every published system, and ours beside the published one that they are nearest to."""
    figures = published.figures(table=3)
    printed, groups, rows = printed_rows(figures), scored_groups(records), []
    names = {row["dataset"]: None for row in printed}
    for dataset in names:
        there = [row for row in printed if row["dataset"] == dataset]
        ours = [group for group in groups if published.DATASETS[group.dataset] == dataset]
        beside = [(nearest_row(group, there), group) for group in ours]
        for row in there:
            matched = [group for nearest, group in beside if nearest is row]
            rows += [_side_by_side(row, group) for group in matched or [None]]
        rows += [_side_by_side({"dataset": dataset}, group) for nearest, group in beside if nearest is None]
    return Made(
        "Table 3: main results",
        pd.DataFrame(rows, columns=_main_columns()),
        (CONVENTIONS, NEAREST, *published.told(published.letters(figures)), provenance(records_of(groups))),
    )


def encoders(records: Sequence[Record]) -> Made:
    """Table 4: ITER by encoder on ACE05, and on every data set that several encoders were measured on."""
    groups = [group for group in scored_groups(records) if group.system == "iter"]
    several = {g.dataset for g in groups if len({o.encoder for o in groups if o.dataset == g.dataset}) > 1}
    groups = [g for g in groups if g.dataset in several or published.DATASETS[g.dataset] == "ACE05"]
    figures, rows, used = published.figures(table=4), [], []
    for row in printed_rows(figures):
        same = [g for g in groups if published.DATASETS[g.dataset] == "ACE05" and _same(row, g)]
        used += same
        rows += [_side_by_side(row, group) for group in same or [None]]
    rows += [_side_by_side({"dataset": published.DATASETS[g.dataset]}, g) for g in groups if g not in used]
    columns = [name for name in _main_columns() if "∗" not in name]
    columns.insert(columns.index("measured encoder"), "published samples/s")
    columns.insert(columns.index("difference NER"), "measured samples/s")
    speeds = (
        "Published samples/s: one H100, batch 8. Measured samples/s: the one scored prediction of each run, no benchmark; "
        "the hardware is not the paper's, so no difference is given."
    )
    return Made(
        "Table 4: encoders",
        pd.DataFrame(rows, columns=columns),
        (CONVENTIONS, speeds, *published.told(published.letters(figures)), provenance(records_of(groups))),
    )


def precision_recall(records: Sequence[Record]) -> Made:
    """Table 6: precision, recall and F1 by data set, criterion and convention; ours beside what they are nearest to."""
    groups, rows = scored_groups(records), []
    figures = published.figures(table=6)
    printed = printed_rows(figures)
    beside = [(nearest_row(g, [p for p in printed if p["dataset"] == published.DATASETS[g.dataset]]), g) for g in groups]
    matched = set()
    for entry in figures.itertuples():
        criterion = entry.metric.removesuffix("_f1")
        row = {"dataset": entry.dataset, "system": entry.system, "criterion": criterion, "convention": entry.convention}
        row["published encoder"] = entry.encoder
        for name, value, std in (
            ("P", entry.precision, entry.precision_std),
            ("R", entry.recall, entry.recall_std),
            ("F1", entry.value, entry.std),
        ):
            row |= {f"published {name}": value, f"published {name} std": std}
        row["published seeds"] = int(entry.seeds)
        of_row = (entry.dataset, entry.system, entry.encoder)
        near = [g for p, g in beside if p is not None and (p["dataset"], p["system"], p["encoder"]) == of_row]
        near = [group for group in near if criterion in group.records[0].scores.test[entry.convention]]
        for group in near:
            measured = _precision_recall(group, criterion, entry.convention)
            rows.append(row | measured | {"difference F1": measured["measured F1"] - entry.value})
            matched.add((id(group), criterion, entry.convention))
        rows += [] if near else [row]
    for group in groups:
        for convention in ("strict", "pl_marker"):
            for criterion in group.records[0].scores.test[convention]:
                same = convention != "strict" and percent(group, criterion, convention) == percent(group, criterion, "strict")
                if same or (id(group), criterion, convention) in matched:
                    continue  # without symmetric types, and for NER, the second convention says nothing new
                row = {
                    "dataset": published.DATASETS[group.dataset],
                    "system": published.SYSTEMS.get(group.system, group.system),
                }
                row |= {"criterion": criterion, "convention": convention}
                rows.append(row | _precision_recall(group, criterion, convention))
    ratios = [f"{name}{std}" for name in ("P", "R", "F1") for std in ("", " std")]
    columns = ["dataset", "system", "criterion", "convention", "published encoder"]
    columns += [*(f"published {name}" for name in ratios), "published seeds", "measured encoder"]
    columns += ["setting", *(f"measured {name}" for name in ratios), "measured seeds", "measured folds", "difference F1"]
    frame = pd.DataFrame(rows, columns=columns)
    order = {name: i for i, name in enumerate(dict.fromkeys(figures["dataset"]))}
    frame = frame.sort_values("dataset", key=lambda names: names.map(order), kind="stable").reset_index(drop=True)
    note = "Criterion `re` of the paper does not state its convention; it stands with `strict`, a symmetric pair counting once."
    return Made(
        "Table 6: precision, recall, F1",
        frame,
        (CONVENTIONS, NEAREST, note, provenance(records_of(groups))),
    )


def _main_columns() -> list[str]:
    columns = ["dataset", "system", "published encoder", "published M", *(f"published {name}" for name in METRICS)]
    columns += ["published note"]
    columns += ["measured encoder", "setting", "measured M", "measured seeds", "measured folds"]
    columns += [f"measured {name}{std}" for name in METRICS for std in ("", " std")]
    return columns + [f"difference {name}" for name in METRICS]


def printed_rows(figures: pd.DataFrame) -> list[dict[str, Any]]:
    """One row a data set, system and encoder as printed, with the values by their names in `METRICS`."""
    names = {(metric, convention): name for name, (metric, _, convention) in METRICS.items()}
    letters = published.letters(figures)
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for entry in figures.itertuples():
        row = rows.setdefault(
            (entry.dataset, entry.system, entry.encoder),
            {"dataset": entry.dataset, "system": entry.system, "encoder": entry.encoder, "millions": entry.parameters_millions},
        )
        row[names.get((entry.metric, entry.convention), "samples/s")] = entry.value
        row["note"] = letters.get(entry.note) or row.get("note")
        row["diverged"] = "diverged" in str(entry.note)
    return list(rows.values())


def _same(row: dict[str, Any], group: Group) -> bool:
    system = published.SYSTEMS.get(group.system, group.system)
    return row["system"] == system and published.same_encoder(row["encoder"], group.records[0].settings.encoder)


def nearest_row(group: Group, printed: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The published row of the same system: that with the same encoder, else with the fewest parameters.

    One whose training diverged stands for no other encoder.
    """
    same = [row for row in printed if row["system"] == published.SYSTEMS.get(group.system)]
    sizes = [math.inf if pd.isna(row["millions"]) else row["millions"] for row in same]
    by_size = zip(same, sizes, strict=True)
    return min(by_size, key=lambda of: (not _same(of[0], group), of[0].get("diverged", False), of[1]), default=(None, 0))[0]


def _side_by_side(row: dict[str, Any], group: Group | None) -> dict[str, Any]:
    cells = {"dataset": row["dataset"], "system": row.get("system"), "published encoder": row.get("encoder")}
    cells |= {"published M": row.get("millions"), "published samples/s": row.get("samples/s")}
    cells |= {f"published {name}": row.get(name) for name in METRICS} | {"published note": row.get("note")}
    if group is None:
        return cells
    cells["system"] = published.SYSTEMS.get(group.system, group.system)
    cells |= _about(group) | {"measured M": round(group.records[0].parameters / 1e6, 1)}
    rates = [record.prediction.samples_per_second for record in group.records if record.prediction]
    if rates and len({record.hardware for record in group.records}) == 1:
        cells["measured samples/s"] = mean(rates)
    for name, (_, criterion, convention) in METRICS.items():
        value, std = percent(group, criterion, convention)
        cells |= {f"measured {name}": value, f"measured {name} std": std}
        if value is not None and row.get(name) is not None:
            cells[f"difference {name}"] = value - row[name]
    return cells


def _precision_recall(group: Group, criterion: Criterion, convention: Convention) -> dict[str, Any]:
    cells = _about(group)
    for name, ratio in (("P", "precision"), ("R", "recall"), ("F1", "f1")):
        cells[f"measured {name}"], cells[f"measured {name} std"] = percent(group, criterion, convention, ratio)
    return cells


def _about(group: Group) -> dict[str, Any]:
    counts = {"measured seeds": len(group.seeds), "measured folds": len(group.folds) or None}
    return {"measured encoder": group.encoder, "setting": group.setting, **counts}
