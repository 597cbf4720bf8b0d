"""What a practitioner asks: F1 against samples a second and against joules, and how near the hardware's limit a system is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

from iter_bench.errors import UserError
from iter_bench.plots.labels import Labels, of_rows
from iter_bench.plots.panels import grid, legend
from iter_bench.plots.style import TITLE_SIZE, Plot, in_style, look, plain_numbers
from iter_bench.records import Record
from iter_bench.tables import speed as table
from iter_bench.tables.beyond import on_test
from iter_bench.tables.captions import provenance
from iter_bench.tables.runs import Group
from iter_bench.tables.throughput import commands
from iter_bench.throughput.schema import ThroughputRecord

ABOUT = "means over runs with their standard deviation. Marks of the same x stand side by side, tied to a grey line at it."
BESIDE = 7
"""Points between marks of the same x."""
THREAD = {"color": "#808080", "linewidth": 0.6}
PASSES = (
    "Scored passes, which are no benchmark, are drawn only for data sets that no throughput record is of; horizontal: from the "
    "slowest to the fastest run."
)
NO_ENERGY = "Joules were not measured:\nno VALID throughput record is of a GPU\n(docs/throughput.md)."
ROOFLINE = (
    "Operations that the architecture needs, counted from shapes, a second of the whole timed region (documents in, "
    "extractions out), against those for each byte of weights that a batch reads once, or, in records that don't tell bytes, "
    "against those of a batch. Solid line: what the rates of matrix product and copy measured beside allow; dotted: half of "
    "the product's. What is missing to the line is time in which no such operation ran."
)


@in_style
def speed(runs: Sequence[Record], throughput: Sequence[ThroughputRecord] = ()) -> Plot:
    """F1 (RE+, or NER without relations) against samples a second; a panel a data set, source of the speed and machine.

    Scored passes are shown for data sets alone that no throughput record is of.

    Raises:
        UserError: no record has a timed prediction.
    """
    made = table.speed(runs, throughput)
    if not len(made.frame):
        raise UserError("no record holds a timed prediction; train first (`iter-bench train`, `make reproduce`)")
    frame = made.frame
    benchmarked = frame.loc[frame.source == table.BENCHMARK, "dataset"]
    frame = frame[(frame.source == table.BENCHMARK) | ~frame.dataset.isin(benchmarked)]
    panels = list(frame.groupby(["dataset", "source", "hardware"]))
    groups = of_rows((rows for _, rows in panels), on_test(runs))
    labels = Labels(groups, encoders=True)
    figure, axes = grid(len(panels))
    for ax, ((dataset, source, hardware), rows), of in zip(axes, panels, groups, strict=True):
        _marks(ax, rows, "samples/s", of, labels, passes=source == table.SCORED)
        ax.set_title(f"{dataset}, {source}\n{hardware}", fontsize=TITLE_SIZE)
    legend(figure, axes)
    return Plot(figure, f"F1 (strict) against samples/s, {ABOUT} {PASSES} {_explained(frame, groups, labels, throughput)}")


@in_style
def energy(runs: Sequence[Record], throughput: Sequence[ThroughputRecord]) -> Plot:
    """F1 against joules a sample, as `speed`; where nothing was measured, the panel says so.

    Raises:
        UserError: there are no records of runs.
    """
    made = table.speed(runs, throughput)
    if not len(made.frame):
        raise UserError("no record holds a timed prediction; train first (`iter-bench train`, `make reproduce`)")
    frame = made.frame.dropna(subset="joules")
    panels = list(frame.groupby(["dataset", "hardware"]))
    groups = of_rows((rows for _, rows in panels), on_test(runs))
    labels = Labels(groups, encoders=True)
    figure, axes = grid(max(1, len(panels)))
    for ax, ((dataset, hardware), rows), of in zip(axes, panels, groups, strict=False):
        _marks(ax, rows, "joules", of, labels)
        ax.set_title(f"{dataset}\n{hardware}", fontsize=TITLE_SIZE)
    if panels:
        legend(figure, axes)
    else:
        axes[0].set(xlabel="joules a sample", ylabel="F1 (%)", xticks=[], yticks=[])
        axes[0].text(0.5, 0.5, NO_ENERGY, ha="center", va="center", transform=axes[0].transAxes)
    return Plot(figure, f"F1 (strict) against joules a sample, {ABOUT} {_explained(frame, groups, labels, throughput)}")


@in_style
def roofline(throughput: Sequence[ThroughputRecord]) -> Plot:
    """Operations a second that were reached, beside the measured ceiling; a panel a machine, number format and x axis.

    Raises:
        UserError: no VALID record holds operations and ceiling.
    """
    panels: dict[tuple[str, str, bool], list[ThroughputRecord]] = {}
    for record in throughput:
        if record.valid and record.work and record.ceiling:
            panels.setdefault((record.hardware, record.ceiling.dtype, record.work.read is None), []).append(record)
    if not panels:
        raise UserError("no VALID record holds counted operations and a ceiling; measure first (`iter-bench throughput`)")
    figure, axes = grid(len(panels))
    for ax, ((hardware, dtype, by_batch), records) in zip(axes, sorted(panels.items()), strict=True):
        for record in records:
            of, unit = look(record.system), record.work.flops / 1e9
            x, y = unit * record.batch if by_batch else record.work.flops / record.work.read, unit * record.rate.median
            ax.plot([x], [y], color=of.color, marker=of.marker, linestyle="none", fillstyle="none", label=of.label)
            ax.vlines([x], unit * record.rate.p5, unit * record.rate.p95, color=of.color, linewidth=0.8)
        ceiling = max(record.ceiling.flops for record in records) / 1e9
        copied = math.inf if by_batch else max(record.ceiling.copy_rate for record in records) / 1e9
        places, bend = [line.get_xdata()[0] for line in ax.lines], ceiling / copied
        roof = sorted([min(places) / 2, max(places) * 2, *([bend] if bend else [])])
        ax.plot(roof, [min(ceiling, copied * x) for x in roof], color="black", linewidth=1, label="measured ceiling")
        ax.axhline(ceiling / 2, color="black", linewidth=0.8, linestyle=":", label="half of the product's")
        ax.set(ylabel="G operations/s", xscale="log", yscale="log")
        ax.set_xlabel("G operations a batch" if by_batch else "operations a byte of weights")
        ax.margins(0.15)
        plain_numbers(ax.xaxis)
        plain_numbers(ax.yaxis)
        ax.set_title(f"{hardware}\n{dtype}", fontsize=TITLE_SIZE)
    legend(figure, axes)
    shown = [record for of in panels.values() for record in of]
    hardware = "; ".join(sorted({record.hardware for record in shown}))
    about = f"{ROOFLINE} {len(shown)} VALID records. Hardware: {hardware}."
    return Plot(figure, " ".join([about, *commands(shown)]))


def _explained(
    frame: pd.DataFrame, groups: Sequence[Sequence[Group]], labels: Labels, throughput: Sequence[ThroughputRecord]
) -> str:
    """Names, sources, and where the runs and records that are shown come from."""
    runs = {record.run_id: record for of in groups for group in of for record in group.records}
    measured = [record for record in throughput if record.rate.median in set(frame["samples/s"])]
    named = f"{labels.numbers()}{labels.alike()}{table.NOTE}"
    return " ".join([named, provenance(list(runs.values())), *commands(measured)])


def _marks(ax: Axes, rows: pd.DataFrame, x: str, groups: Sequence[Group], labels: Labels, *, passes: bool = False) -> None:
    """A mark a row, where ``x`` is the same beside a line at it; with ``passes`` a line from the slowest run to the fastest."""
    criterion = "RE+" if rows["measured RE+ F1"].notna().any() else "NER"
    column = f"measured {criterion} F1"
    at, ends = rows[x].tolist(), rows[x].tolist()
    ax.set(xlabel="samples/s" if x == "samples/s" else "joules a sample", ylabel=f"{criterion} F1 (%)", xscale="log")
    for i, (group, f1, std) in enumerate(zip(groups, rows[column], rows[f"{column} std"], strict=True)):
        of, same = look(group.system), [j for j, other in enumerate(at) if other == at[i]]
        if passes:
            rates = [record.prediction.samples_per_second for record in group.records]
            ax.hlines(f1, min(rates), max(rates), color=of.color, linewidth=0.8)
            ends += rates
        bar = 0 if pd.isna(std) else std
        ax.update_datalim([(at[i], f1 - bar), (at[i], f1 + bar)])  # which marks that are moved don't do themselves
        aside = BESIDE * (same.index(i) - (len(same) - 1) / 2)
        if i == same[0] != same[-1]:
            ax.vlines(at[i], 0, 1, transform=ax.get_xaxis_transform(), zorder=1, **THREAD)
        if aside:
            tie = {"arrowstyle": "-", "shrinkA": 3, "shrinkB": 0, **THREAD}
            ax.annotate("", (at[i], f1), (aside, 0), textcoords="offset points", arrowprops=tie)
        ax.errorbar(
            [at[i]],
            [f1],
            yerr=[bar] if bar else None,
            transform=ax.transData + ScaledTranslation(aside / 72, 0, ax.figure.dpi_scale_trans),
            color=of.color,
            marker=of.marker,
            markersize=6,
            fillstyle=labels.fill(group),
            linestyle="none",
            elinewidth=0.8,
            label=labels.name(group),
        )
    low, high = min(ends), max(ends)
    width = max(math.log(high / low), math.log(2))
    ax.set_xlim(low * math.exp(-0.3 * width), high * math.exp(0.3 * width))
    ax.margins(y=0.3)
    plain_numbers(ax.xaxis)
