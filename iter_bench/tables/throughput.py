"""Table 1 and the table of lengths: documents a second, from VALID throughput records only; nothing published is mixed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from iter_bench.tables.text import Made
from iter_bench.throughput.parts import PARTS
from iter_bench.throughput.schema import ThroughputRecord
from iter_bench.throughput.settings import PROFILES

TITLES = {name: profile["title"] for name, profile in PROFILES.items()}
ABOUT = (
    "A sample is a document (a source sentence). Timed is one region for every system: documents in, Python entities and "
    "relations out, host and device synchronised at both ends. Samples/s are the median [5th, 95th percentile] of "
)
MEANING = (
    "Structure `gold`: new weights decide nothing, so every system is given the gold structure, all computation done; "
    "`predicted`: trained weights, their own. Speed-up of ITER: its median over the row's, measured in alternation with it in "
    "the same cell. Share of the ceiling: the time that the operations counted from shapes would take at the rates of matrix "
    "product and copy that were measured beside, of the median. An empty cell was not measured."
)


def data_sets(records: Sequence[ThroughputRecord]) -> Made:
    """Table 1: documents of the lengths and density of a data set, or of the data set itself."""
    return _made("Table 1: throughput", records, lambda record: record.settings.workload.length is None)


def lengths(records: Sequence[ThroughputRecord]) -> Made:
    """The same for documents of one length."""
    return _made("Throughput by length", records, lambda record: record.settings.workload.length is not None)


def counterpart(record: ThroughputRecord, records: Sequence[ThroughputRecord]) -> ThroughputRecord | None:
    """The VALID record of ITER that was measured in alternation with ``record``, on the same kind of structure.

    Where the line-up holds several ITERs, that with the same encoder; None where that leaves none, or several.
    """
    cell = _cell(record)
    iters = [other for other in records if other.system == "iter" and other.valid and _cell(other) == cell]
    weights = record.settings.subject.weights
    same = [other for other in iters if other.settings.subject.weights == weights] or iters
    return same[0] if len(same) == 1 else None


def _cell(record: ThroughputRecord) -> tuple[Any, ...]:
    return record.settings.model_dump_json(exclude={"subject"}), record.started, record.structure


def _made(title: str, records: Sequence[ThroughputRecord], wanted: Callable[[ThroughputRecord], bool]) -> Made:
    of_kind = [record for record in records if wanted(record)]
    shown = sorted((record for record in of_kind if record.valid), key=_order)
    frame = pd.DataFrame([_row(record, shown) for record in shown], columns=_columns())
    return Made(title, frame, _notes(shown, len(of_kind) - len(shown)), _readable(frame))


def _order(record: ThroughputRecord) -> tuple[Any, ...]:
    settings = record.settings
    place = list(PROFILES).index(settings.workload.name) if settings.workload.name in PROFILES else len(PROFILES)
    weights = tuple(subject.weights for subject in settings.lineup)
    within = settings.lineup.index(settings.subject)
    return (settings.hardware, place, weights, settings.batch_size, settings.workload.longest, record.started, within)


def _columns() -> list[str]:
    rates = ["samples/s", "samples/s p5", "samples/s p95", "speed-up of ITER", "share of ceiling", "operations"]
    rest = [*(f"{name} ms" for name in PARTS), "peak memory", "watts", "joules"]
    about = ["dataset", "documents", "source", "sub-tokens", "system", "encoder", "setting", "parameters", "batch size"]
    return [*about, *rates, *rest, "hardware"]


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
        "system": record.system,
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
    return row


def _readable(frame: pd.DataFrame) -> pd.DataFrame:
    forms: dict[str, Callable[[Any], str]] = {
        "sub-tokens": "{:.1f}".format,
        "parameters": lambda value: f"{value / 1e6:.1f} M",
        "samples/s": number,
        "speed-up of ITER": lambda value: f"{number(value)}×",
        "share of ceiling": "{:.1%}".format,
        "operations": lambda value: f"{value / 1e9:.3g} G",
        "peak memory": lambda value: f"{value / 2**30:.2f} GiB",
        "watts": "{:.0f}".format,
        "joules": "{:.3g}".format,
    }
    text = {}
    for name in frame.columns.drop(["samples/s p5", "samples/s p95", *(f"{part} ms" for part in PARTS)]):
        text[name] = ["" if pd.isna(value) else forms.get(name, str)(value) for value in frame[name]]
    spread = zip(text["samples/s"], frame["samples/s p5"], frame["samples/s p95"], strict=True)
    text["samples/s"] = [f"{value} [{number(low)}, {number(high)}]" for value, low, high in spread]
    return pd.DataFrame({name: values for name, values in text.items() if any(values)}, dtype=str)


def number(value: float) -> str:
    """Three digits at least, and none after the point from 100 on."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _notes(shown: Sequence[ThroughputRecord], invalid: int) -> tuple[str, ...]:
    left_out = f"INVALID records of this kind, not shown: {invalid}."
    if not shown:
        return (left_out,)
    calls, seconds = min(len(record.samples) for record in shown), min(sum(record.samples) for record in shown)
    return (f"{ABOUT}at least {calls} calls and {seconds:.3g} s.", MEANING, left_out)
