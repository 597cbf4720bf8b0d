"""Figure 3: documents a second against their length, from VALID throughput records only; nothing published is mixed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter, ScalarFormatter

from iter_bench.errors import UserError
from iter_bench.plots.runs import grid, legend
from iter_bench.plots.style import FILLS, Plot, in_style, look
from iter_bench.throughput.schema import ThroughputRecord
from iter_bench.throughput.settings import Subject

ABOUT = (
    "Documents a second against their length, both logarithmic: median, and from the 5th to the 95th percentile; documents in, "
    "Python entities and relations out, systems measured in alternation."
)
STRUCTURES = {
    "gold": "New weights, which decide nothing: every system was given the gold structure.",
    "predicted": "Trained weights and what they predict.",
}


@in_style
def throughput(records: Sequence[ThroughputRecord]) -> Plot:
    """A panel for each line-up of systems at one batch size, under one set of rules on one machine; a line a system.

    Raises:
        UserError: there is no VALID record of documents of one length.
    """
    shown = [record for record in records if record.valid and record.settings.workload.length is not None]
    panels: dict[tuple[Any, ...], list[ThroughputRecord]] = {}
    for record in sorted(shown, key=lambda record: record.documents.subtokens[1]):
        panels.setdefault(_panel(record), []).append(record)
    if not panels:
        raise UserError("no VALID record holds documents of one length; measure first (`iter-bench throughput`)")
    figure, axes = grid(len(panels))
    for ax, (_, members) in zip(axes, sorted(panels.items()), strict=True):
        settings = members[0].settings
        for subject in settings.lineup:
            if own := [record for record in members if record.settings.subject == subject]:
                _line(ax, subject, settings.lineup, own)
        weights = " + ".join(dict.fromkeys(subject.weights for subject in settings.lineup))
        ax.set(title=f"{weights}, batch {settings.batch_size}", xlabel="sub-tokens a document", ylabel="documents/s")
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.xaxis.set_major_formatter(ScalarFormatter())
        ax.yaxis.set_major_formatter(LogFormatter())
        ax.yaxis.set_minor_formatter(LogFormatter())
    legend(figure, axes)
    structures = " ".join(STRUCTURES[name] for name in sorted({record.structure for record in shown}))
    hardware = "; ".join(sorted({record.hardware for record in shown}))
    return Plot(figure, f"{ABOUT} {structures} {len(shown)} VALID records. Hardware: {hardware}.")


def _panel(record: ThroughputRecord) -> tuple[Any, ...]:
    """What all records of a panel share, in the order of panels."""
    settings = record.settings
    weights = tuple(subject.weights for subject in settings.lineup)
    shared = settings.model_dump_json(include={"lineup", "rules"})
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
