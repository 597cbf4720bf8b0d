"""How cost grows: seconds a document against one of N, E, ω and L, where records vary that one alone.

Fitted is t = c · xᵃ by least squares on logarithms. The exponent a is that of the whole timed region, encoder included, so it
tells what a user pays for a longer document, not the complexity of a single step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from iter_bench.throughput.schema import ThroughputRecord

POINTS = 3
"""Values of the varied quantity that a fit needs at least."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A quantity that cost may grow with.

    Attributes:
        name: its letter.
        value: what a record has of it, or None.
        workload: fields of the workload that vary with it.
        model: the setting of a system that is it.
        stated: system → complexity that section 3.5 of the paper states for it.
    """

    name: str
    value: Callable[[ThroughputRecord], float | None]
    workload: frozenset[str] = frozenset()
    model: str | None = None
    stated: tuple[tuple[str, str], ...] = ()

    def rest(self, record: ThroughputRecord) -> str:
        """All that must be equal for a fit over this variable."""
        settings = record.settings
        subject = settings.subject.model_copy(
            update={"model": {name: value for name, value in settings.subject.model.items() if name != self.model}}
        )
        fixed = settings.model_copy(update={"subject": subject}).model_dump_json(exclude={"workload": set(self.workload)})
        return f"{record.structure} {fixed}"


@dataclass(frozen=True, slots=True)
class Fit:
    """An exponent with its standard error, the records that it is of (ascending), and the variable's values."""

    variable: Variable
    records: tuple[ThroughputRecord, ...]
    values: tuple[float, ...]
    exponent: float
    error: float


def seconds(record: ThroughputRecord) -> float:
    """Median seconds a document."""
    return median(record.samples) / record.documents.documents


def _order(record: ThroughputRecord) -> tuple[Any, ...]:
    settings = record.settings
    weights = tuple(subject.weights for subject in settings.lineup)
    place = settings.lineup.index(settings.subject)
    return settings.hardware, weights, settings.batch_size, place, settings.workload.density


def _of_model(name: str) -> Callable[[ThroughputRecord], Any]:
    return lambda record: record.settings.subject.model.get(name)


VARIABLES = (
    Variable(
        "N",
        lambda record: record.documents.subtokens[1],
        workload=frozenset({"name", "count", "shortest", "longest", "mean"}),
        stated=(("iter", "O(N)"),),
    ),
    Variable(
        "E",
        lambda record: record.documents.entities / record.documents.documents,
        workload=frozenset({"density"}),
        stated=(("iter", "O(E²)"),),
    ),
    Variable("ω", _of_model("omega"), model="omega", stated=(("iter", "O(N·ω)"),)),
    Variable("L", _of_model("max_span_words"), model="max_span_words"),
)


def fits(records: Sequence[ThroughputRecord]) -> list[Fit]:
    """A fit for each variable and each set of VALID records of one length that differ in it alone, `POINTS` values at least."""
    from scipy.stats import linregress

    valid = [record for record in records if record.valid and record.settings.workload.length is not None]
    valid.sort(key=_order)
    found = []
    for variable in VARIABLES:
        groups: dict[str, list[tuple[float, ThroughputRecord]]] = {}
        for record in valid:
            if value := variable.value(record):
                groups.setdefault(variable.rest(record), []).append((value, record))
        for members in groups.values():
            members.sort(key=lambda member: member[0])
            values, of = zip(*members, strict=True)
            if len(set(values)) < POINTS:
                continue
            line = linregress([math.log(value) for value in values], [math.log(seconds(record)) for record in of])
            found.append(Fit(variable, of, values, float(line.slope), float(line.stderr)))
    return found
