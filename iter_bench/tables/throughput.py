"""Table 1, a table a reading and how cost grows, from VALID throughput records; what was published has its own columns."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd

from iter_bench import published
from iter_bench.observation.parts import PARTS
from iter_bench.tables.text import Made
from iter_bench.throughput.growth import POINTS, fits, seconds
from iter_bench.throughput.readings import MEANINGS, READINGS, by_reading
from iter_bench.throughput.schema import ThroughputRecord
from iter_bench.throughput.settings import WORKLOADS

TITLES = {name: workload["title"] for name, workload in WORKLOADS.items()}
ABOUT = (
    "A sample is a document (a source sentence). Timed is one region for every system: documents in, Python entities and "
    "relations out, host and device synchronised at both ends. Samples/s are the median [5th, 95th percentile] of "
)
MEANING = (
    "Structure `gold`: new weights decide nothing, so every system is given the gold structure, all computation done; "
    "`predicted`: trained weights, their own. Speed-up of ITER: its median over the row's, measured in alternation with it "
    "in the same cell. Share of the ceiling: the time that the operations counted from shapes would take at the rates of "
    "matrix product and copy that were measured beside, of the median. Tokenising to decoding: milliseconds a document, "
    "from calls of their own that wait around each part, so that their sum isn't the timed call's. A batch size is the "
    "most that a batch may hold: it has no more than the `documents` of a call, and budgets of sub-tokens make it smaller. "
    "An empty cell was not measured. Source `embedded`: generated sentences with about the length and density of the data set "
    "that a row is named after (iter_bench/throughput/workloads.toml; lengths are those of the paper's Table 1; without "
    "relations where it has none), not the data set itself."
)
STAGES = (
    "PL-Marker has an encoder in each of its two stages: what is measured counts both, the published 108 M are one BERT-base."
)
PUBLISHED = (
    "Published: Table 1 of the paper, on its own hardware and by its own rules; where published hardware is empty, the paper "
    "names none. Measured rows stand beside the published one of the same system with the same encoder, or else with the "
    "nearest number of parameters; nothing is computed across. Published speed-up: the paper's ITER of the same size, hardware "
    "and batch size over the row."
)
PROSE = (
    "The paper's prose claims up to 23, 22 and 42 times ASP's speed and 12.5 times PL-Marker's; its table gives neither 42 nor "
    "12.5."
)
GROWTH = (
    "Fitted: seconds a document = c · xᵃ, least squares on logarithms of the medians, ± standard error of a, over records of a "
    "system that differ in x alone. Time is the whole timed region, encoder included. N: mean sub-tokens a document; entities "
    "grow with it at the same density. E: entities a document at the same length. ω, L: the systems' settings `omega` and "
    "`max_span_words`. Section 3.5 states O(N) for is_left, O(N·ω) for is_span and O(E²) for is_link; it leaves out the "
    "encoder, whose attention is O(N²), and says nothing of ASP and PL-Marker."
)


PRINTED = ("dataset", "system", *(f"published {name}" for name in ("encoder", "M", "batch size", "hardware")))
PRINTED += ("published samples/s", "published speed-up of ITER", "published note")


def data_sets(records: Sequence[ThroughputRecord]) -> Made:
    """Table 1: documents of the lengths and density of a data set, or of the data set itself, beside what was published."""
    of_kind = [record for record in records if record.settings.workload.length is None]
    shown = _shown(of_kind)
    readings = {record.run_id: READINGS[name] for name, of in by_reading(records).items() for record in of}

    def measured(record: ThroughputRecord) -> dict[str, Any]:
        return {"reading": readings[record.run_id], **_row(record, shown)}

    rows = []
    for name, title in TITLES.items():
        printed = _printed(title)
        ours = [record for record in shown if record.settings.workload.name == name]
        beside = [(_nearest(record, printed), record) for record in ours]
        for row in printed:
            rows += [row | measured(record) for nearest, record in beside if nearest is row] or [row]
        rows += [measured(record) for nearest, record in beside if nearest is None]
    frame = pd.DataFrame(rows, columns=[*PRINTED, "reading", *_columns()[2:]])
    told = published.told(published.letters(published.figures(table=1)))
    return Made("Table 1: throughput", frame, (*_notes(of_kind, shown), PUBLISHED, PROSE, STAGES, *told), _readable(frame))


def of_reading(name: str, records: Sequence[ThroughputRecord]) -> Made:
    """All that was measured in one of the `READINGS`: data sets, then documents of one length."""
    of_kind = by_reading(records)[name]
    shown = _shown(of_kind)
    frame = pd.DataFrame([_row(record, shown) for record in shown], columns=_columns())
    return Made(f"Table 1, {READINGS[name]}", frame, (MEANINGS[name], *_notes(of_kind, shown)), _readable(frame))


def growth(records: Sequence[ThroughputRecord]) -> Made:
    """How time grows with N, E, ω and L, beside what section 3.5 of the paper states."""
    rows, found = [], fits(records)
    for fit in found:
        settings = fit.records[0].settings
        setting = {name: value for name, value in settings.subject.model.items() if name != fit.variable.model}
        fixed = {"length": settings.workload.longest} if fit.variable.name != "N" else {}
        if fit.variable.name != "E":
            fixed["entities per 100 words"] = f"{settings.workload.density:g}"
        rows.append(
            {
                "system": published.SYSTEMS.get(fit.records[0].system, fit.records[0].system),
                "encoder": settings.subject.weights,
                "batch size": settings.batch_size,
                "x": fit.variable.name,
                "setting": ", ".join(f"{name}={value}" for name, value in (fixed | setting).items()),
                "points": len(fit.values),
                "x from": fit.values[0],
                "x to": fit.values[-1],
                "ms from": 1000 * seconds(fit.records[0]),
                "ms to": 1000 * seconds(fit.records[-1]),
                "exponent": fit.exponent,
                "exponent error": fit.error,
                "stated in 3.5": dict(fit.variable.stated).get(fit.records[0].system, ""),
                "hardware": settings.hardware,
            }
        )
    frame = pd.DataFrame(rows)
    if not rows:
        return Made("How cost grows", frame, (f"No {POINTS} VALID records differ in N, E, ω or L alone.",))
    text = frame.drop(columns="exponent error").map(lambda value: number(value) if isinstance(value, float) else value)
    spread = zip(frame["exponent"], frame["exponent error"], strict=True)
    text["exponent"] = [f"{value:.2f} ± {error:.2f}" for value, error in spread]
    fitted = [record for fit in found for record in fit.records]
    return Made("How cost grows", frame, (GROWTH, *commands(fitted)), text.astype(str))


TABLES: dict[str, Callable[[Sequence[ThroughputRecord]], Made]] = {
    "table1-throughput": data_sets,
    **{f"table1-throughput-{name}": partial(of_reading, name) for name in READINGS},
    "table1-throughput-growth": growth,
}
"""File name → what makes the table."""
CITED = ("samples/s", "samples/s p5", "samples/s p95", "speed-up of ITER", "share of ceiling", "exponent")
"""Columns whose numbers a text may cite, for ``iter-bench verify``."""
BRIEF = ("dataset", "system", "encoder", "setting", "batch size", "sub-tokens", "entities", "samples/s", "speed-up of ITER")
"""Columns that a terminal shows of what was measured, with the hardware."""


def brief(made: Made) -> pd.DataFrame:
    """The measured rows for a terminal; no row where nothing was measured."""
    if "samples/s" not in made.shown:
        return pd.DataFrame()
    text = made.shown[made.shown["samples/s"] != ""]
    return text[[name for name in (*BRIEF, "share of ceiling", "hardware") if name in text]]


def counterpart(record: ThroughputRecord, records: Sequence[ThroughputRecord]) -> ThroughputRecord | None:
    """The VALID record of ITER that was measured in alternation with ``record``, on the same kind of structure.

    Where the line-up holds several ITERs, that with the same encoder; None where that leaves none, or several.
    """
    cell = _cell(record)
    near = [other for other in records if other.system == "iter" and other.valid and other.started == record.started]
    iters = [other for other in near if _cell(other) == cell]
    weights = record.settings.subject.weights
    same = [other for other in iters if other.settings.subject.weights == weights] or iters
    return same[0] if len(same) == 1 else None


def _cell(record: ThroughputRecord) -> tuple[Any, ...]:
    return record.settings.model_dump_json(exclude={"subject"}), record.started, record.structure


def _shown(records: Sequence[ThroughputRecord]) -> list[ThroughputRecord]:
    """The VALID ones in the order of rows."""
    return sorted((record for record in records if record.valid), key=_order)


def _order(record: ThroughputRecord) -> tuple[Any, ...]:
    settings = record.settings
    place = list(WORKLOADS).index(settings.workload.name) if settings.workload.name in WORKLOADS else len(WORKLOADS)
    weights = tuple(subject.weights for subject in settings.lineup)
    within = settings.lineup.index(settings.subject)
    workload = settings.workload
    return (settings.hardware, place, weights, settings.batch_size, workload.longest, workload.density, record.started, within)


def _printed(dataset: str) -> list[dict[str, Any]]:
    """The rows of the paper's Table 1 for a data set, in its order."""
    table = published.figures(table=1)
    letters = published.letters(table)
    table = table[table.dataset == dataset]
    rows = []
    for entry in table.itertuples():
        row = {"dataset": dataset, "system": entry.system, "published encoder": entry.encoder}
        row |= {"published M": entry.parameters_millions, "published batch size": entry.batch_size}
        row |= {"published hardware": entry.hardware or None, "published samples/s": entry.value}
        row["published note"] = letters.get(entry.note)
        same = table[(table.system == "ITER") & (table.hardware == entry.hardware) & (table.batch_size == entry.batch_size)]
        same = [iter_.value for iter_ in same.itertuples() if _size(iter_.encoder) == _size(entry.encoder)]
        if entry.system != "ITER" and len(same) == 1:
            row["published speed-up of ITER"] = same[0] / entry.value
        rows.append(row)
    return rows


def _size(encoder: str) -> str:
    return encoder.rsplit("-", 1)[-1]


def _nearest(record: ThroughputRecord, printed: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The published row of the same system: that with the same encoder, else with the nearest number of parameters."""
    encoder = record.settings.subject.weights.removeprefix("random:")

    def distance(row: dict[str, Any]) -> tuple[bool, float]:
        same = published.same_encoder(row["published encoder"], encoder)
        return not same, abs(math.log(1e6 * row["published M"] / record.parameters))

    rows = [row for row in printed if row["system"] == published.SYSTEMS.get(record.system)]
    return min(rows, key=distance, default=None)


def _columns() -> list[str]:
    rates = [
        "samples/s",
        "samples/s p5",
        "samples/s p95",
        "speed-up of ITER",
        "ITER's encoder",
        "share of ceiling",
        "operations",
    ]
    rest = [*(f"{name} ms" for name in PARTS), "peak memory", "watts", "joules"]
    about = ["dataset", "system", "encoder", "setting", "parameters", "batch size", "documents", "source", "sub-tokens"]
    return [*about, "entities", *rates, *rest, "hardware"]


def _row(record: ThroughputRecord, records: Sequence[ThroughputRecord]) -> dict[str, Any]:
    settings, documents = record.settings, record.documents
    workload, subject = settings.workload, settings.subject
    own = [f"{name}={value}" for name, value in sorted(subject.model.items())]
    how = [value if name != "compile" else f"compiled: {value}" for name, value in sorted(record.execution.items())]
    row = {
        "dataset": TITLES.get(workload.name, workload.name),
        "documents": documents.documents,
        "source": f"{workload.corpus}, test" if workload.corpus else "embedded",
        "sub-tokens": documents.subtokens[1],
        "entities": documents.entities / documents.documents,
        "system": published.SYSTEMS.get(record.system, record.system),
        "encoder": subject.weights,
        "setting": ", ".join([record.structure, *(value for value in how if value != "compiled: none"), *own]),
        "parameters": record.parameters,
        "batch size": settings.batch_size,
        "samples/s": record.rate.median,
        "samples/s p5": record.rate.p5,
        "samples/s p95": record.rate.p95,
        "share of ceiling": record.work and record.work.share,
        "operations": record.work and record.work.flops,
        "peak memory": record.peak_memory,
        "watts": record.power and record.power.watts,
        "joules": record.power and record.power.joules_per_sample,
        "hardware": record.hardware,
    }
    row |= {f"{name} ms": 1000 * seconds / documents.documents for name, seconds in record.parts.items()}
    if record.system != "iter" and (iter_record := counterpart(record, records)) is not None:
        row["speed-up of ITER"] = iter_record.rate.median / record.rate.median
        row["ITER's encoder"] = iter_record.settings.subject.weights
    return row


def _readable(frame: pd.DataFrame) -> pd.DataFrame:
    forms: dict[str, Callable[[Any], str]] = {
        "published M": "{:g}".format,
        "published batch size": "{:g}".format,
        "published samples/s": "{:g}".format,
        "published speed-up of ITER": lambda value: f"{number(value)}×",
        "sub-tokens": "{:.1f}".format,
        "documents": "{:.0f}".format,
        "batch size": "{:.0f}".format,
        "entities": "{:.1f}".format,
        "parameters": lambda value: f"{value / 1e6:.1f} M",
        "samples/s": number,
        "speed-up of ITER": lambda value: f"{number(value)}×",
        "share of ceiling": "{:.1%}".format,
        "operations": lambda value: f"{value / 1e9:.3g} G",
        "peak memory": lambda value: f"{value / 2**30:.2f} GiB",
        "watts": "{:.0f}".format,
        "joules": "{:.3g}".format,
    }
    text, parts = {}, [f"{part} ms" for part in PARTS]
    for name in frame.columns.drop(["samples/s p5", "samples/s p95", "ITER's encoder", *parts, "hardware"]):
        text[name] = ["" if pd.isna(value) else forms.get(name, str)(value) for value in frame[name]]
    text[f"{' + '.join(PARTS)}, ms"] = [
        ""
        if pd.isna([*of]).all()
        else " + ".join("–" if pd.isna(ms) else f"{ms:.0f}" if ms >= 10 else f"{ms:.2g}" for ms in of)
        for of in frame[parts].itertuples(index=False)
    ]
    text["hardware"] = ["" if pd.isna(value) else value for value in frame["hardware"]]
    spread = zip(text["samples/s"], frame["samples/s p5"], frame["samples/s p95"], strict=True)
    text["samples/s"] = [f"{value} [{number(low)}, {number(high)}]" if value else "" for value, low, high in spread]
    return pd.DataFrame({name: values for name, values in text.items() if any(values)}, dtype=str)


def number(value: float) -> str:
    """Three digits at least, and none after the point from 100 on."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _notes(of_kind: Sequence[ThroughputRecord], shown: Sequence[ThroughputRecord]) -> tuple[str, ...]:
    left_out = f"INVALID records of this kind, not shown: {len(of_kind) - len(shown)}."
    if not shown:
        return ("Nothing was measured for this.", left_out)
    calls, spent = min(len(record.samples) for record in shown), min(sum(record.samples) for record in shown)
    return (f"{ABOUT}at least {calls} calls and {spent:.3g} s.", MEANING, left_out, *commands(shown))


def commands(records: Sequence[ThroughputRecord]) -> tuple[str, ...]:
    """A sentence with the commands that measured the records, as these name them; none where they name none."""
    sweeps = {found[1] for record in records if (found := re.search(r" throughput (\S+)", record.environment.command))}
    return (f"Command: {', '.join(f'`iter-bench throughput {name}`' for name in sorted(sweeps))}.",) if sweeps else ()
