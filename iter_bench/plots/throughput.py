"""Figure 3: documents a second against parameters, published ones beside as hollow marks, and against length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import ScalarFormatter

from iter_bench import published
from iter_bench.errors import UserError
from iter_bench.plots.runs import grid, legend
from iter_bench.plots.style import FILLS, TITLE_SIZE, Plot, in_style, look, plain_numbers
from iter_bench.throughput.schema import ThroughputRecord
from iter_bench.throughput.settings import PROFILES, Subject

REGION = "documents in, Python entities and relations out, systems measured in alternation."
BY_SIZE = (
    "Documents a second against parameters, both logarithmic. Filled, with a bar from the 5th to the 95th percentile: medians "
    f"measured here, {REGION} Hollow: what the paper printed (Table 1), each with its hardware and batch size (b)."
)
BY_LENGTH = (
    "Documents a second against their length, both logarithmic: median, and from the 5th to the 95th percentile; " + REGION
)
STRUCTURES = {
    "gold": "New weights, which decide nothing: every system was given the gold structure.",
    "predicted": "Trained weights and what they predict.",
}


@in_style
def by_size(records: Sequence[ThroughputRecord]) -> Plot:
    """A panel for each data set and machine, as in the paper: its Table 1 hollow, what was measured here filled.

    Raises:
        UserError: there is no VALID record of a data set.
    """
    shown = [record for record in records if record.valid and record.settings.workload.name in PROFILES]
    panels: dict[tuple[int, str], list[ThroughputRecord]] = {}
    for record in shown:
        panels.setdefault((list(PROFILES).index(record.settings.workload.name), record.hardware), []).append(record)
    if not panels:
        raise UserError("no VALID record holds documents of a data set; measure first (`iter-bench throughput`)")
    figure, axes = grid(len(panels))
    for ax, ((_, hardware), members) in zip(axes, sorted(panels.items()), strict=True):
        title = PROFILES[members[0].settings.workload.name]["title"]
        _published(ax, title)
        for record in members:
            rate, of = record.rate, look(record.system)
            x = [record.parameters / 1e6]
            ax.plot(x, [rate.median], color=of.color, marker=of.marker, linestyle="none", label=f"{of.label}, measured")
            ax.vlines(x, rate.p5, rate.p95, color=of.color, linewidth=0.8)
        ax.set(xlabel="million parameters", ylabel="documents/s")
        ax.set_title(f"{title}\n{hardware}", fontsize=TITLE_SIZE)
        ax.margins(x=0.15, y=0.15)
        ax.set_xscale("log")
        ax.set_yscale("log")
        plain_numbers(ax.xaxis)
        plain_numbers(ax.yaxis)
    legend(figure, axes)
    return Plot(figure, f"{BY_SIZE} {_provenance(shown)}")


@in_style
def by_length(records: Sequence[ThroughputRecord]) -> Plot:
    """A panel for each line-up of systems at one batch size, under one set of rules on one machine; a line a system.

    Raises:
        UserError: no two VALID records of such a panel are of different lengths.
    """
    ours = [record for record in records if record.valid and record.settings.workload.length is not None]
    panels: dict[tuple[Any, ...], list[ThroughputRecord]] = {}
    for record in sorted(ours, key=lambda record: record.documents.subtokens[1]):
        panels.setdefault(_panel(record), []).append(record)
    panels = {key: of for key, of in panels.items() if len({record.settings.workload.length for record in of}) > 1}
    if not panels:
        raise UserError("no VALID records are of documents of several lengths; measure first (`iter-bench throughput`)")
    figure, axes = grid(len(panels))
    for ax, (_, members) in zip(axes, sorted(panels.items()), strict=True):
        settings = members[0].settings
        for subject in settings.lineup:
            if own := [record for record in members if record.settings.subject == subject]:
                _line(ax, subject, settings.lineup, own)
        weights = " + ".join(dict.fromkeys(subject.weights for subject in settings.lineup))
        ax.set(xlabel="sub-tokens a document", ylabel="documents/s")
        ax.set_title(f"{weights}, batch {settings.batch_size}\n{settings.hardware}", fontsize=TITLE_SIZE)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.xaxis.set_major_formatter(ScalarFormatter())
        plain_numbers(ax.yaxis)
    legend(figure, axes)
    return Plot(figure, f"{BY_LENGTH} {_provenance([record for of in panels.values() for record in of])}")


FIGURES: dict[str, Callable[[Sequence[ThroughputRecord]], Plot]] = {
    "figure3-throughput": by_size,
    "figure3-throughput-lengths": by_length,
}
"""File name → what draws the figure."""


def _provenance(records: Sequence[ThroughputRecord]) -> str:
    structures = " ".join(STRUCTURES[name] for name in sorted({record.structure for record in records}))
    hardware = "; ".join(sorted({record.hardware for record in records}))
    return f"{structures} {len(records)} VALID records. Hardware: {hardware}."


def _published(ax: Axes, dataset: str) -> None:
    """The paper's Table 1 of a data set."""
    table = published.figures(table=1)
    names = {printed: name for name, printed in published.SYSTEMS.items()}
    for row in table[table.dataset == dataset].itertuples():
        of = look(names.get(row.system, row.system))
        marks = {"color": of.color, "marker": of.marker, "fillstyle": "none", "linestyle": "none"}
        ax.plot([row.parameters_millions], [row.value], label=f"{of.label}, published", **marks)
        where = f"{row.hardware.removeprefix('1x ')}, b{row.batch_size:g}" if row.hardware else "unstated hardware"
        at = (row.parameters_millions, row.value)
        ax.annotate(where, at, xytext=(0, 4), textcoords="offset points", ha="center", fontsize=5)


def _panel(record: ThroughputRecord) -> tuple[Any, ...]:
    """What all records of a panel share, in the order of panels."""
    settings = record.settings
    weights = tuple(subject.weights for subject in settings.lineup)
    shared = settings.model_dump_json(include={"lineup": True, "rules": True, "workload": {"density"}})
    return settings.hardware, weights, settings.batch_size, record.structure, shared


def _line(ax: Axes, subject: Subject, lineup: Sequence[Subject], records: Sequence[ThroughputRecord]) -> None:
    system = look(subject.system)
    twins = [other for other in lineup if other.system == subject.system]
    variant = min(twins.index(subject), len(FILLS) - 1)
    mixed = len({other.weights for other in lineup}) > 1
    label = f"{system.label}, {subject.weights}" if mixed else system.label
    if len(twins) > 1 and subject.model:
        label += f" ({', '.join(f'{name}={value}' for name, value in sorted(subject.model.items()))})"
    x = [record.documents.subtokens[1] for record in records]
    ax.plot(
        x, [r.rate.median for r in records], color=system.color, marker=system.marker, fillstyle=FILLS[variant], label=label
    )
    low, high = [record.rate.p5 for record in records], [record.rate.p95 for record in records]
    ax.fill_between(x, low, high, color=system.color, alpha=0.2, linewidth=0)
