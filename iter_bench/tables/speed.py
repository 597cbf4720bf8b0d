"""F1 beside speed and energy, for every system and encoder: of throughput records where there are any, and of the scored pass.

A throughput record belongs to a group of runs where system, encoder and the data set's lengths are the same, and it names no
setting of the system that the runs don't have. Of several on one machine the fastest VALID one counts, whatever its batch size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import mean
from typing import Any

import pandas as pd

from iter_bench.records import Record
from iter_bench.settings import dtype_of
from iter_bench.tables.captions import provenance
from iter_bench.tables.runs import ABOUT, Group, group_runs, on_test, percent
from iter_bench.tables.text import Made, readable
from iter_bench.tables.throughput import number
from iter_bench.throughput.schema import ThroughputRecord
from iter_bench.throughput.settings import workload_of

BENCHMARK, SCORED = "throughput record", "scored pass (no benchmark)"
NOTE = (
    "F1 in percent, `strict`, mean ± sample standard deviation over runs. Source `throughput record`: the median of the "
    "fastest VALID record of the same system and encoder that names no setting which the runs don't have (what it doesn't name "
    "is the system's default, whatever the runs have), on documents of about the data set's lengths, by the rules of "
    "docs/throughput.md; where these are generated (Table 1), they aren't those that F1 is of. Batch size: the most that a "
    "batch may hold, of so many `documents` a call. Source `scored pass (no benchmark)`: the one prediction that was scored, "
    "in the training's precision, without warm-up and perhaps beside other work: to be compared neither with the other source "
    "nor with another row. Joules a sample come from throughput records on a GPU alone; an empty cell was not measured."
)
NO_JOULES = "No throughput record of these is of a GPU, so there are no joules, and no figure `energy`."
COLUMNS = [*ABOUT]
COLUMNS += [f"measured {name} F1{std}" for name in ("NER", "RE+") for std in ("", " std")]
COLUMNS += ["samples/s", "source", "dtype", "batch size", "documents", "structure", "joules", "hardware"]


def speed(runs: Sequence[Record], throughput: Sequence[ThroughputRecord]) -> Made:
    """A row a group of runs and source of its speed."""
    rows, used = [], []
    for group in group_runs(on_test(runs)):
        measured = [*map(_benchmark, benchmarks(group, throughput)), *_scored_pass(group)]
        used += group.records if measured else []
        rows += [_about(group) | of for of in measured]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    text = readable(frame).assign(
        **{
            "samples/s": [number(value) for value in frame["samples/s"]],
            "joules": ["" if pd.isna(value) else f"{value:.3g}" for value in frame["joules"]],
        }
    )
    notes = (NOTE, *([] if frame["joules"].notna().any() else [NO_JOULES]), provenance(used))
    return Made("F1 beside speed and energy", frame, notes, text)


def benchmarks(group: Group, throughput: Sequence[ThroughputRecord]) -> list[ThroughputRecord]:
    """The fastest VALID record on each machine that tells how fast the system of ``group`` is, by name of the machine."""
    workload = workload_of(group.records[0].settings.data)
    fitting = [r for r in throughput if r.valid and r.settings.workload.name == workload and _is_of(r, group)]
    machines = sorted({record.hardware for record in fitting})
    return [max((r for r in fitting if r.hardware == machine), key=lambda r: r.rate.median) for machine in machines]


def _is_of(record: ThroughputRecord, group: Group) -> bool:
    """Whether that is how fast the group's system is: it was trained by one of the runs, or has new weights but is alike."""
    subject = record.settings.subject
    if subject.trained is not None:
        return record.trained_by in {run.run_id for run in group.records}
    alike = subject.model.items() <= group.records[0].settings.model.items()
    return record.system == group.system and subject.encoder.removeprefix("random:") == group.encoder and alike


def _about(group: Group) -> dict[str, Any]:
    row = group.about
    for name, criterion in (("NER", "ner"), ("RE+", "re_plus")):
        row[f"measured {name} F1"], row[f"measured {name} F1 std"] = percent(group, criterion, "strict")
    return row


def _benchmark(record: ThroughputRecord) -> dict[str, Any]:
    return {
        "samples/s": record.rate.median,
        "source": BENCHMARK,
        "dtype": record.execution["dtype"],
        "batch size": record.settings.batch_size,
        "documents": record.documents.documents,
        "structure": record.structure,
        "joules": record.power and record.power.joules_per_sample,
        "hardware": record.hardware,
    }


def _scored_pass(group: Group) -> Iterator[dict[str, Any]]:
    """The mean over the runs; nothing where one has none, or where they ran on several machines."""
    first = group.records[0]
    passes, hardware = [record.prediction for record in group.records], {record.hardware for record in group.records}
    if all(passes) and len(hardware) == 1:
        yield {
            "samples/s": mean(of.samples_per_second for of in passes),
            "source": SCORED,
            "dtype": dtype_of(first.settings.training.precision, first.device),
            "batch size": passes[0].batch_size,
            "documents": round(mean(of.documents for of in passes)),
            "structure": "predicted",
            "hardware": hardware.pop(),
        }
