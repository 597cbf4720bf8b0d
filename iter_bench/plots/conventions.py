"""What each scoring convention does to the same predictions, drawn from records of runs."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from iter_bench.plots.labels import Labels
from iter_bench.plots.panels import legend, panels_of
from iter_bench.plots.runs import LABELS
from iter_bench.plots.style import CONVENTIONS, PAGE_WIDTH, Plot, in_style
from iter_bench.records import Record
from iter_bench.scoring import CRITERIA, Criterion
from iter_bench.tables.captions import provenance
from iter_bench.tables.runs import Group, percent

ROW_HEIGHT, FRAME_HEIGHT = 0.17, 0.6
"""Inches, of a row of marks and of title and axis of a panel."""
NER_ALIKE = "pl_marker"
"""The convention that differs from `strict` in relations alone, so that it has no mark of NER."""


@in_style
def conventions(records: Sequence[Record]) -> Plot:
    """F1 of the same predictions in every convention, means over runs; a panel a data set and encoder, a row a criterion.

    Panels follow each other down the first column of the page, then the second, each as high as its rows.

    Raises:
        UserError: there are no records.
    """
    panels = panels_of(records)
    labels = Labels(panels.values())
    heights = [FRAME_HEIGHT + ROW_HEIGHT * sum(len(_criteria(group)) for group in groups) for groups in panels.values()]
    figure, axes = _columns(heights)
    for ax, ((dataset, encoder), groups) in zip(axes, panels.items(), strict=True):
        ticks = []
        for group in groups:
            for criterion in _criteria(group):
                for i, (convention, (color, marker)) in enumerate(CONVENTIONS.items()):
                    if (criterion, convention) == ("ner", NER_ALIKE):
                        continue
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
    about = "F1 of the same predictions in the three scoring conventions, means over runs with their standard deviation. "
    about += "NER is the same in `strict` and `pl_marker`, which differ in symmetric relations alone."
    return Plot(figure, f"{about} {labels.explained()}{provenance(records)}")


def _columns(heights: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """A figure with a panel of each height, in inches, in two columns that are as equally high as their order allows."""
    first = min(range(1, len(heights) + 1), key=lambda count: max(sum(heights[:count]), sum(heights[count:])))
    columns = [column for column in (heights[:first], heights[first:]) if column]
    height = max(map(sum, columns))
    figure, axes = Figure(figsize=(PAGE_WIDTH, height)), []
    for place, column in zip(figure.add_gridspec(1, 2), columns, strict=False):
        rows = [*column, *([height - sum(column)] if sum(column) < height else [])]  # the last stays empty
        axes += map(figure.add_subplot, list(place.subgridspec(len(rows), 1, height_ratios=rows))[: len(column)])
    return figure, axes


def _criteria(group: Group) -> list[Criterion]:
    return [criterion for criterion in CRITERIA if criterion in group.records[0].scores.test["strict"]]
