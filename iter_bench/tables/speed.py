"""F1 beside speed and energy, for every system and encoder: of throughput records where there are any, else of the scored pass.

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
from iter_bench.tables.beyond import on_test
from iter_bench.tables.captions import provenance
from iter_bench.tables.paper import percent
from iter_bench.tables.runs import Group, group_runs
from iter_bench.tables.text import Made, readable
from iter_bench.tables.throughput import number
from iter_bench.throughput.schema import ThroughputRecord
from iter_bench.throughput.settings import workload_of

BENCHMARK, SCORED = "throughput record", "scored pass"
NOTE = (
    "F1 in percent, `strict`, mean ± sample standard deviation over runs. Source `throughput record`: the median of the "
    "fastest VALID record of the same system and encoder on documents of about the data set's lengths, by the rules of "
    "docs/throughput.md; where these are generated (Table 1), they aren't those that F1 is of. `scored pass`: the one "
    "prediction that was scored, in the training's precision, without warm-up and perhaps beside other work: no benchmark, to "
    "be compared neither with the other source nor with another row. Joules a sample come from throughput records on a GPU "
    "alone; an empty cell was not measured."
)
COLUMNS = ["dataset", "system", "encoder", "setting", "runs"]
COLUMNS += [f"measured {name} F1{std}" for name in ("NER", "RE+") for std in ("", " std")]
COLUMNS += ["samples/s", "source", "dtype", "batch size", "structure", "joules", "hardware"]


def speed(runs: Sequence[Record], throughput: Sequence[ThroughputRecord]) -> Made:
    """A row a group of runs and source of its speed."""
    rows, used = [], []
    for group in group_runs(on_test(runs)):
        measured = [*_benchmarks(group, throughput), *_scored_pass(group)]
        used += group.records if measured else []
        rows += [_about(group) | of for of in measured]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    text = readable(frame).assign(
        **{
            "samples/s": [number(value) for value in frame["samples/s"]],
            "joules": ["" if pd.isna(value) else f"{value:.3g}" for value in frame["joules"]],
        }
    )
    return Made("F1 beside speed and energy", frame, (NOTE, provenance(used)), text)


def _about(group: Group) -> dict[str, Any]:
    row = group.about | {"runs": len(group.records)}
    for name, criterion in (("NER", "ner"), ("RE+", "re_plus")):
        row[f"measured {name} F1"], row[f"measured {name} F1 std"] = percent(group, criterion, "strict")
    return row


def _benchmarks(group: Group, throughput: Sequence[ThroughputRecord]) -> Iterator[dict[str, Any]]:
    """The fastest VALID record on each machine."""
    settings = group.records[0].settings
    workload = workload_of(settings.data)
    fitting = [r for r in throughput if r.valid and r.system == group.system and r.settings.workload.name == workload]
    fitting = [r for r in fitting if r.settings.subject.weights.removeprefix("random:") == group.encoder]
    fitting = [r for r in fitting if r.settings.subject.model.items() <= settings.model.items()]
    for hardware in sorted({record.hardware for record in fitting}):
        best = max((record for record in fitting if record.hardware == hardware), key=lambda record: record.rate.median)
        yield {
            "samples/s": best.rate.median,
            "source": BENCHMARK,
            "dtype": best.execution["dtype"],
            "batch size": best.batch,
            "structure": best.structure,
            "joules": best.power and best.power.joules_per_sample,
            "hardware": hardware,
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
            "structure": "predicted",
            "hardware": hardware.pop(),
        }
