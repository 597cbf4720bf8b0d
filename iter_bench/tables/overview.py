"""On one page: what was published and what was measured, of relations' F1 and of speed; and what no prediction can reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from iter_bench import published
from iter_bench.records import Record
from iter_bench.scoring import CRITERIA
from iter_bench.tables import throughput as speeds
from iter_bench.tables.captions import provenance
from iter_bench.tables.output import LABELS
from iter_bench.tables.paper import nearest_row, printed_rows, records_of, scored_groups
from iter_bench.tables.runs import percent, ranges
from iter_bench.tables.text import Made
from iter_bench.throughput.schema import ThroughputRecord

COLUMNS = ["quantity", "dataset", "system", "published", "published encoder", "published hardware", "measured", "measured std"]
COLUMNS += ["measured encoder", "measured hardware", "setting", "runs", "table"]
F1 = (
    "F1 in percent, convention `strict`, mean ± sample standard deviation over runs (seeds or folds); RE+, or NER where a data "
    "set has no relations. It stands beside the published row of the same system and encoder or, where there is none, of the "
    "same system with the fewest parameters that didn't diverge, so that a difference is also one of encoders; empty where "
    "that has another convention alone; all that is published is in `table3-main`."
)
SPEED = (
    "ITER ÷ ASP is how many times as fast as ASP ITER is, documents in and extractions out: 4× is four times as fast. Where "
    "their encoders differ both are named, ITER's first, and a ratio is one of encoders too. Measured in alternation, with "
    "`setting` the reading; published for the same size, hardware and batch size. Where published hardware is empty, the paper "
    "names none; where a published value is, it has none of the same size, hardware and batch size."
)
BOUNDS = (
    "Upper bounds (F1 of a perfect prediction under the system's limits): what of the gold annotation that is scored a system "
    "can't express, by its design or its settings, and the F1 in percent that a prediction of all the rest would have, the "
    "least of those runs. A system that was run on a data set and isn't listed could express all of it."
)


def summary(runs: Sequence[Record], throughput: Sequence[ThroughputRecord]) -> Made:
    """A row a group of runs on the paper's data sets, then a row a speed-up of ITER that was measured on their lengths."""
    groups = scored_groups(runs)
    sets, systems = list(published.DATASETS.values()), [*published.SYSTEMS, *sorted({group.system for group in groups})]
    groups.sort(key=lambda group: (sets.index(published.DATASETS[group.dataset]), systems.index(group.system)))
    printed = printed_rows(published.figures(table=3))
    rows = []
    for group in groups:
        dataset = published.DATASETS[group.dataset]
        near = nearest_row(group, [row for row in printed if row["dataset"] == dataset]) or {}
        criterion = "re_plus" if "re_plus" in group.records[0].scores.test["strict"] else "ner"
        printed_f1 = near.get(LABELS[criterion], float("nan"))
        f1, std = percent(group, criterion, "strict")
        rows.append(
            {
                "quantity": f"{LABELS[criterion]} F1",
                "dataset": dataset,
                "system": published.SYSTEMS.get(group.system, group.system),
                "published": printed_f1,
                "published encoder": None if pd.isna(printed_f1) else near["encoder"],
                "measured": f1,
                "measured std": std,
                "measured encoder": group.encoder,
                "measured hardware": "; ".join(sorted({record.hardware for record in group.records})),
                "setting": group.setting if group.short is None else group.short,
                "runs": len(group.records),
                "table": "table3-main",
            }
        )
    rows += _speed_ups(throughput)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    notes = (F1, SPEED, speeds.PROSE, provenance(records_of(groups)))
    return Made("Published and measured", frame, notes, _readable(frame))


def _speed_ups(throughput: Sequence[ThroughputRecord]) -> Iterator[dict[str, Any]]:
    made = speeds.data_sets(throughput).frame
    made = made.assign(place=made["dataset"].map(list(dict.fromkeys(made["dataset"])).index))
    for row in made[made["speed-up of ITER"].notna()].sort_values(["place", "system"], kind="stable").to_dict("records"):
        about = {name: row[name] for name in ("dataset", "published encoder", "published hardware")}
        yield about | {
            "quantity": "samples/s",
            "system": f"ITER ÷ {row['system']}",
            "published": row["published speed-up of ITER"],
            "measured": row["speed-up of ITER"],
            "measured encoder": " ÷ ".join(
                dict.fromkeys(row[of].removeprefix("random:") for of in ("ITER's encoder", "encoder"))
            ),
            "measured hardware": row["hardware"],
            "setting": f"{row['reading']}, batch {row['batch size']:g}",
            "table": "table1-throughput",
        }


def _readable(frame: pd.DataFrame) -> pd.DataFrame:
    text = frame.drop(columns="measured std").astype(object)
    speed = frame["quantity"] == "samples/s"
    for name, form in (("published", "{:g}".format), ("measured", "{:.2f}".format)):
        text[name] = [f"{speeds.number(of)}×" if times else form(of) for of, times in zip(frame[name], speed, strict=True)]
    spread = zip(text["measured"], frame["measured std"], strict=True)
    text["measured"] = [value if pd.isna(std) else f"{value} ± {std:.2f}" for value, std in spread]
    text["runs"] = [f"{value:g}" for value in frame["runs"]]
    return text.where(frame[text.columns].notna(), "").astype(str)


def upper_bounds(records: Sequence[Record]) -> Made:
    """A row a data set and system that can't express all of its gold annotation."""
    limited: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.data["test"].unreachable:
            limited.setdefault((record.dataset, record.system), []).append(record)
    rows = []
    for (dataset, system), members in sorted(limited.items()):
        splits = [record.data["test"] for record in members]
        reasons = dict.fromkeys(reason for split in splits for reason in split.unreachable)
        counts = [f"{ranges({split.unreachable.get(reason, 0) for split in splits})} {reason}" for reason in reasons]
        row = {"dataset": dataset, "system": system, "runs": len(members)}
        for criterion in (c for c in CRITERIA if any(c in split.ceiling for split in splits)):
            row[f"{LABELS[criterion]} F1"] = 100 * min(split.ceiling.get(criterion, 1) for split in splits)
        rows.append(row | {"limits": "; ".join(counts)})
    columns = ["dataset", "system", "runs", *(f"{LABELS[criterion]} F1" for criterion in CRITERIA), "limits"]
    frame = pd.DataFrame(rows, columns=columns)
    text = frame.map(lambda value: "" if pd.isna(value) else f"{value:.1f}" if isinstance(value, float) else str(value))
    return Made("Upper bounds", frame, (BOUNDS,), text)
