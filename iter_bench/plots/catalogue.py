"""All figures of ``results/figures`` that are of no single profile, and what they are made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from iter_bench import data
from iter_bench.plots import slices
from iter_bench.plots.conventions import conventions
from iter_bench.plots.mistakes import mistakes
from iter_bench.plots.runs import lambda_curve
from iter_bench.plots.speed import energy, roofline, speed
from iter_bench.plots.steps import steps
from iter_bench.plots.style import Plot
from iter_bench.plots.throughput import FIGURES as THROUGHPUT
from iter_bench.records import Record
from iter_bench.tables.catalogue import Sources
from iter_bench.tables.runs import group_runs, on_test
from iter_bench.throughput.schema import ThroughputRecord


def _steps(_: Sources) -> Plot:
    related = [document for document in data.load("synthetic", "train").documents if len(document.relations) >= 3]
    return steps(min(related, key=lambda document: len(document.words)), source="gold of the embedded corpus")


def _several_seeds(records: Sequence[Record]) -> list[Record]:
    """Runs scored on test that share their settings with other seeds or folds."""
    groups = group_runs(on_test(records))
    return [record for group in groups if len(group.records) > 1 for record in group.records]


def _of_throughput(draw: Callable[[Sequence[ThroughputRecord]], Plot]) -> Callable[[Sources], Plot]:
    return lambda sources: draw(sources.throughput)


FIGURES: dict[str, Callable[[Sources], Plot]] = {
    "figure1-steps": _steps,
    "figure2-lambda": lambda sources: lambda_curve(_several_seeds(sources.records)),
    **{name: _of_throughput(draw) for name, draw in THROUGHPUT.items()},
    "conventions": lambda sources: conventions(on_test(sources.records)),
    "mistakes": lambda sources: mistakes(sources.records),
    "depth": lambda sources: slices.depth(sources.records),
    "length": lambda sources: slices.length(sources.records),
    "speed": lambda sources: speed(sources.records, sources.throughput),
    "energy": lambda sources: energy(sources.records, sources.throughput),
    "roofline": lambda sources: roofline(sources.throughput),
}
"""File name → what draws the figure, in the order in which they are shown; UserError where no record holds it."""
