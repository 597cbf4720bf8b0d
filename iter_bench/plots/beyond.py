"""Figures beyond the paper, from records of runs: what a scoring convention does, and F1 against speed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from statistics import mean

from iter_bench.plots.runs import LABELS, grid, legend, panels_of, variant
from iter_bench.plots.style import CONVENTIONS, FILLS, Plot, in_style, look
from iter_bench.records import Record
from iter_bench.scoring import CRITERIA
from iter_bench.tables.captions import provenance
from iter_bench.tables.runs import Group


@in_style
def conventions(records: Sequence[Record]) -> Plot:
    """F1 of the same predictions in every convention, means over runs; a panel a data set and encoder.

    Raises:
        UserError: there are no records.
    """
    panels = panels_of(records)
    figure, axes = grid(len(panels))
    for ax, ((dataset, encoder), groups) in zip(axes, panels.items(), strict=True):
        ticks = []
        for group in groups:
            for criterion in (c for c in CRITERIA if c in group.records[0].scores.test["strict"]):
                for i, (convention, (color, marker)) in enumerate(CONVENTIONS.items()):
                    f1 = 100 * mean(record.scores.test[convention][criterion].f1 for record in group.records)
                    at, label = len(ticks) + 0.2 * (i - 1), convention
                    ax.plot([at], [f1], linestyle="none", color=color, marker=marker, label=label)
                ticks.append(f"{_numbered(group, groups)}\n{LABELS[criterion]}")
        ax.set_xticks(range(len(ticks)), ticks, fontsize=5.5)
        ax.set(title=f"{dataset}, {encoder}", ylabel="F1 (%)", xlim=(-0.5, len(ticks) - 0.5))
        ax.grid(axis="x", visible=False)
    legend(figure, axes)
    about = (
        "F1 of the same predictions in the three scoring conventions, means over runs; numbers tell settings of a system apart."
    )
    return Plot(figure, f"{about} {provenance(records)}")


@in_style
def speed(records: Sequence[Record]) -> Plot:
    """F1 (RE+, or NER without relations) against samples a second of the scored prediction; a panel a data set.

    Raises:
        UserError: no record has a timed prediction.
    """
    records = [record for record in records if record.prediction]
    panels: dict[str, list] = {}
    for (dataset, _), groups in panels_of(records).items():
        panels.setdefault(dataset, []).extend(groups)
    figure, axes = grid(len(panels))
    for ax, (dataset, groups) in zip(axes, panels.items(), strict=True):
        criterion = "re_plus" if "re_plus" in groups[0].records[0].scores.test["strict"] else "ner"
        for i, group in enumerate(groups):
            rates = [record.prediction.samples_per_second for record in group.records]
            f1 = [100 * record.scores.test["strict"][criterion].f1 for record in group.records]
            marks = {"linestyle": "none", "color": look(group.system).color, "marker": look(group.system).marker}
            marks["fillstyle"] = FILLS[variant(groups, i)]
            ax.plot(rates, f1, markersize=3, alpha=0.4, **marks)
            ax.plot([mean(rates)], [mean(f1)], markersize=6, label=f"{_numbered(group, groups)}, {group.encoder}", **marks)
        ax.set(title=dataset, xlabel="samples/s", ylabel=f"{LABELS[criterion]} F1 (%)", xscale="log")
        ax.margins(x=0.3, y=0.3)
    legend(figure, axes)
    about = (
        "F1 (strict) against samples/s of the scored prediction: one pass without warm-up, beside other work, no benchmark; "
        "small points are single runs, large marks their means."
    )
    return Plot(figure, f"{about} {_settings(panels.values())}{provenance(records)}")


def _numbered(group: Group, groups: Sequence[Group]) -> str:
    """The system's label, with a number where it has several settings."""
    same = [other for other in groups if (other.system, other.encoder) == (group.system, group.encoder)]
    return f"{look(group.system).label}{f' {same.index(group) + 1}' if len(same) > 1 else ''}"


def _settings(panels: Iterable[Sequence[Group]]) -> str:
    """What the numbers stand for, for the caption."""
    named = [f"{_numbered(g, groups)} on {g.dataset}: {g.setting}. " for groups in panels for g in groups if g.setting]
    return re.sub(r"\d+\.\d{4,}", lambda number: f"{float(number[0]):.3g}", "".join(named))
