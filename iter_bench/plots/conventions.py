"""What each scoring convention does to the same predictions, drawn from records of runs."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from iter_bench.plots.labels import Labels
from iter_bench.plots.panels import legend, panels_of
from iter_bench.plots.runs import LABELS
from iter_bench.plots.style import CONVENTIONS, PAGE_WIDTH, Plot, in_style
from iter_bench.records import Record
from iter_bench.scoring import CRITERIA, Criterion
from iter_bench.tables.captions import provenance
from iter_bench.tables.paper import percent
from iter_bench.tables.runs import Group

ROW_HEIGHT, FRAME_HEIGHT = 0.2, 0.6
"""Inches, of a row of marks and of title and axis of a panel."""


@in_style
def conventions(records: Sequence[Record]) -> Plot:
    """F1 of the same predictions in every convention, means over runs; a panel a data set and encoder, a row a criterion.

    Raises:
        UserError: there are no records.
    """
    panels = panels_of(records)
    labels = Labels(panels.values())
    heights = [FRAME_HEIGHT + ROW_HEIGHT * sum(len(_criteria(group)) for group in groups) for groups in panels.values()]
    rows = [max(heights[i : i + 2]) for i in range(0, len(heights), 2)]
    figure = Figure(figsize=(PAGE_WIDTH, sum(rows)))
    axes = list(figure.subplots(len(rows), 2, squeeze=False, height_ratios=rows).flat)
    for unused in axes[len(panels) :]:
        unused.remove()
    axes = axes[: len(panels)]
    for ax, ((dataset, encoder), groups) in zip(axes, panels.items(), strict=True):
        ticks = []
        for group in groups:
            for criterion in _criteria(group):
                for i, (convention, (color, marker)) in enumerate(CONVENTIONS.items()):
                    f1, std = percent(group, criterion, convention)
                    ax.errorbar(
                        [f1],
                        [len(ticks) + (i - 1) * 0.22],
                        xerr=None if std is None else [std],
                        linestyle="none",
                        elinewidth=0.8,
                        color=color,
                        marker=marker,
                        fillstyle="none",
                        label=convention,
                    )
                ticks.append(f"{labels.name(group)}, {LABELS[criterion]}")
        ax.set_yticks(range(len(ticks)), ticks, fontsize=6)
        ax.set(title=f"{dataset}, {encoder}", xlabel="F1 (%)", ylim=(len(ticks) - 0.5, -0.5))
    legend(figure, axes)
    about = "F1 of the same predictions in the three scoring conventions, means over runs with their standard deviation."
    return Plot(figure, f"{about} {labels.numbers()}{provenance(records)}")


def _criteria(group: Group) -> list[Criterion]:
    return [criterion for criterion in CRITERIA if criterion in group.records[0].scores.test["strict"]]
