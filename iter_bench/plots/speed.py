"""What a practitioner asks: F1 against samples a second and against joules, and how near the hardware's limit a system is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from matplotlib.axes import Axes

from iter_bench.errors import UserError
from iter_bench.plots.labels import Labels
from iter_bench.plots.panels import grid, legend
from iter_bench.plots.style import HALO, TITLE_SIZE, Plot, in_style, look, plain_numbers
from iter_bench.records import Record
from iter_bench.settings import dtype_of
from iter_bench.tables.captions import provenance
from iter_bench.tables.runs import Group, group_runs, on_test, percent
from iter_bench.tables.speed import benchmarks
from iter_bench.tables.throughput import commands
from iter_bench.throughput.schema import ThroughputRecord

ABOUT = (
    "F1 (strict; means over runs with their standard deviation) against {}, of the fastest VALID throughput record of the same "
    "system, encoder and lengths that names no setting which the runs don't have. Settings that share a record stand at its x, "
    "the first with the largest mark and the widest bar, so that none hides another. Speeds of scored passes, which are no "
    "benchmark, are in the table `speed` alone."
)
SIZES = (8, 5.5, 3.5)
"""Points of the marks that share an x; the last is for all more."""
ROOFLINE = (
    "Operations that the architecture needs, counted from shapes, a second of the whole timed region (documents in, "
    "extractions out), against those for each byte of weights that a batch reads once, or, in records that don't tell bytes, "
    "against those of a batch. Solid line: what the highest rates of matrix product and of copy that were measured on that "
    "machine allow; dotted: half of that matrix-product rate. A machine's rates differ from day to day: each record's share of "
    "those measured beside it is in Table 1. What is missing to the line is time in which no such operation ran, or days on "
    "which the machine was slower."
)


@in_style
def speed(runs: Sequence[Record], throughput: Sequence[ThroughputRecord] = ()) -> Plot:
    """F1 (RE+, or NER without relations) against samples a second; a panel a data set and machine.

    Raises:
        UserError: no throughput record is of the system, encoder and lengths of a run.
    """
    return _drawn(runs, throughput, "samples/s", lambda record: record.rate.median)


@in_style
def energy(runs: Sequence[Record], throughput: Sequence[ThroughputRecord]) -> Plot:
    """F1 against joules a sample, as `speed`.

    Raises:
        UserError: no such throughput record holds energy, as those of a GPU do.
    """
    measured = [record for record in throughput if record.power]
    return _drawn(runs, measured, "joules a sample", lambda record: record.power.joules_per_sample)


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
            ax.plot([x], [y], color=of.color, marker=of.marker, linestyle="none", label=of.label)
            ax.vlines([x], unit * record.rate.p5, unit * record.rate.p95, color=of.color, linewidth=0.8)
        ceiling = max(record.ceiling.flops for record in records) / 1e9
        copied = math.inf if by_batch else max(record.ceiling.copy_rate for record in records) / 1e9
        places, bend = [line.get_xdata()[0] for line in ax.lines], ceiling / copied
        roof = sorted([min(places) / 2, max(places) * 2, *([bend] if bend else [])])
        ax.plot(roof, [min(ceiling, copied * x) for x in roof], color="black", linewidth=1, label="measured ceiling")
        ax.axhline(ceiling / 2, color="black", linewidth=0.8, linestyle=":", label="half of the matrix-product rate")
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


def _drawn(
    runs: Sequence[Record], throughput: Sequence[ThroughputRecord], xlabel: str, value: Callable[[ThroughputRecord], float]
) -> Plot:
    measured = [group for group in group_runs(on_test(runs)) if benchmarks(group, throughput)]
    groups = group_runs([record for group in measured for record in group.records])  # told from those that are drawn alone
    panels: dict[tuple[str, str], list[tuple[Group, ThroughputRecord]]] = {}
    for group in groups:
        for record in benchmarks(group, throughput):
            panels.setdefault((group.dataset, record.hardware), []).append((group, record))
    if not panels:
        raise UserError(
            f"no VALID record of throughput tells {xlabel} of a system, encoder and lengths that runs have; measure first "
            "(`iter-bench throughput`)"
        )
    labels = Labels([[group for group, _ in of] for of in panels.values()], encoders=True)
    figure, axes = grid(len(panels), wide=True)
    for ax, ((dataset, hardware), of) in zip(axes, sorted(panels.items()), strict=True):
        _marks(ax, [(group, value(record)) for group, record in of], labels)
        ax.set_xlabel(xlabel)
        ax.set_title(f"{dataset}\nspeed: {hardware}", fontsize=TITLE_SIZE)
    legend(figure, axes)
    used = list({record.run_id: record for of in panels.values() for _, record in of}.values())
    shown = [record for group in groups for record in group.records]
    told = f"{labels.explained()}{labels.alike()}{_conditions(shown, used)}; {provenance(shown)}"
    return Plot(figure, " ".join([ABOUT.format(xlabel), told, *commands(used)]))


def _conditions(runs: Sequence[Record], throughput: Sequence[ThroughputRecord]) -> str:
    """Under what speed was measured and under what F1, which isn't the same."""
    structures = _listed(
        {"gold": "new weights with the gold structure imposed", "predicted": "trained weights"}[r.structure] for r in throughput
    )
    documents = _listed(
        f"{r.documents.documents} {'' if r.settings.workload.corpus else 'generated '}documents" for r in throughput
    )
    sizes, machines = _listed(str(r.settings.batch_size) for r in throughput), _listed(r.hardware for r in throughput)
    trained = _listed(dtype_of(r.settings.training.precision, r.device) for r in runs)
    return (
        f"Speed: {structures}, {_listed(r.execution['dtype'] for r in throughput)}, calls of {documents} at batch {sizes}, on "
        f"{machines}. F1: trained weights, {trained}, the data set's own documents"
    )


def _listed(words: Iterable[str]) -> str:
    return " or ".join(sorted(set(words)))


def _marks(ax: Axes, points: Sequence[tuple[Group, float]], labels: Labels) -> None:
    """A mark for each group at its x; of those that share an x the later ones are smaller, and their bars thinner."""
    criterion = "re_plus" if any("re_plus" in group.records[0].scores.test["strict"] for group, _ in points) else "ner"
    at = [x for _, x in points]
    ax.set(ylabel=f"{'RE+' if criterion == 're_plus' else 'NER'} F1 (%)", xscale="log")
    for i, (group, x) in enumerate(points):
        f1, std = percent(group, criterion, "strict")
        of, size = look(group.system), SIZES[min(at[:i].count(x), len(SIZES) - 1)]
        ax.errorbar(
            [x],
            [f1],
            yerr=[std] if std else None,
            color=of.color,
            marker=of.marker,
            markersize=size,
            fillstyle=labels.fill(group),
            linestyle="none",
            elinewidth=size / 5,
            path_effects=[HALO],
            label=labels.name(group),
        )
    low, high = min(at), max(at)
    width = max(math.log(high / low), math.log(2))
    ax.set_xlim(low * math.exp(-0.3 * width), high * math.exp(0.3 * width))
    ax.margins(y=0.1)
    plain_numbers(ax.xaxis)
