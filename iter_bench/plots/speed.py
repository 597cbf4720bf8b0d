"""What a practitioner asks: F1 against samples a second and against joules, and how near the hardware's limit a system is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from iter_bench.errors import UserError
from iter_bench.plots.labels import fill, label, settings
from iter_bench.plots.runs import grid, legend
from iter_bench.plots.style import TITLE_SIZE, Plot, in_style, look, plain_numbers
from iter_bench.records import Record
from iter_bench.tables import speed as table
from iter_bench.throughput.schema import ThroughputRecord

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

    Raises:
        UserError: no record has a timed prediction.
    """
    made = table.speed(runs, throughput)
    if not len(made.frame):
        raise UserError("no record holds a timed prediction; train first (`iter-bench train`, `make reproduce`)")
    panels = list(made.frame.groupby(["dataset", "source", "hardware"]))
    figure, axes = grid(len(panels))
    for ax, ((dataset, source, hardware), rows) in zip(axes, panels, strict=True):
        _marks(ax, rows, "samples/s")
        ax.set_title(f"{dataset}, {source}\n{hardware}", fontsize=TITLE_SIZE)
    legend(figure, axes)
    about = "F1 (strict) against samples/s, means over runs with their standard deviation. "
    return Plot(figure, f"{about}{settings(list(rows.itertuples()) for _, rows in panels)}{' '.join(made.notes)}")


@in_style
def energy(runs: Sequence[Record], throughput: Sequence[ThroughputRecord]) -> Plot:
    """F1 against joules a sample, as `speed`; where nothing was measured, the panel says so.

    Raises:
        UserError: there are no records of runs.
    """
    made = table.speed(runs, throughput)
    if not len(made.frame):
        raise UserError("no record holds a timed prediction; train first (`iter-bench train`, `make reproduce`)")
    panels = list(made.frame.dropna(subset="joules").groupby(["dataset", "hardware"]))
    figure, axes = grid(max(1, len(panels)))
    for ax, ((dataset, hardware), rows) in zip(axes, panels, strict=False):
        _marks(ax, rows, "joules")
        ax.set_title(f"{dataset}\n{hardware}", fontsize=TITLE_SIZE)
    if panels:
        legend(figure, axes)
    else:
        axes[0].set(xlabel="joules a sample", ylabel="F1 (%)", xticks=[], yticks=[])
        axes[0].text(0.5, 0.5, NO_ENERGY, ha="center", va="center", transform=axes[0].transAxes)
    about = "F1 (strict) against joules a sample, means over runs with their standard deviation. "
    return Plot(figure, f"{about}{made.notes[0]}" + ("" if panels else " Nothing was measured for this."))


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
            x, y = unit * _batch(record) if by_batch else record.work.flops / record.work.read, unit * record.rate.median
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
    return Plot(figure, f"{ROOFLINE} {len(shown)} VALID records. Hardware: {hardware}.")


def _batch(record: ThroughputRecord) -> int:
    """Documents of a batch; a call may have fewer than fit into one."""
    return min(record.settings.batch_size, record.documents.documents)


def _marks(ax: Axes, rows: pd.DataFrame, x: str) -> None:
    criterion = "RE+" if rows["measured RE+ F1"].notna().any() else "NER"
    column = f"measured {criterion} F1"
    groups = list(rows.rename(columns={x: "x", column: "f1", f"{column} std": "std"}).itertuples())
    for row in groups:
        of = look(row.system)
        ax.errorbar(
            [row.x],
            [row.f1],
            yerr=None if pd.isna(row.std) else [row.std],
            color=of.color,
            marker=of.marker,
            markersize=6,
            fillstyle=fill(row, groups),
            linestyle="none",
            elinewidth=0.8,
            label=f"{label(row, groups)}, {row.encoder}",
        )
    ax.set(xlabel="samples/s" if x == "samples/s" else "joules a sample", ylabel=f"{criterion} F1 (%)", xscale="log")
    ax.margins(x=0.3, y=0.3)
    plain_numbers(ax.xaxis)
