"""F1 against nesting depth and against length, on the embedded corpus."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from iter_bench.errors import UserError
from iter_bench.plots.runs import grid, legend
from iter_bench.plots.style import FILLS, Plot, in_style, look
from iter_bench.records import Record
from iter_bench.tables import slices
from iter_bench.tables.text import Made


@in_style
def depth(records: Sequence[Record]) -> Plot:
    """NER and RE+ F1 against ω of the documents; two panels a data set and encoder, a line a system and setting.

    Raises:
        UserError: no record is of a data set with several depths.
    """
    return _drawn(slices.depth(records), "ω", "ω of the document")


@in_style
def length(records: Sequence[Record]) -> Plot:
    """NER and RE+ F1 against the words of a document, as `depth`.

    Raises:
        UserError: no record is of the embedded corpus.
    """
    return _drawn(slices.length(records), "words", "words of the document")


def _drawn(made: Made, x: str, label: str) -> Plot:
    if not len(made.frame):
        raise UserError("no record is of the embedded corpus; train first (`make reproduce`)")
    panels = [
        (about, of, column)
        for about, of in made.frame.groupby(["dataset", "encoder"])
        for column in ("NER F1", "RE+ F1")
        if of[column].notna().any()
    ]
    figure, axes = grid(len(panels))
    for ax, ((dataset, encoder), of, column) in zip(axes, panels, strict=True):
        lines = list(of.groupby(["system", "setting"], dropna=False))
        for i, (group, points) in enumerate(lines):
            _line(ax, points, x, column, group, offset=i - (len(lines) - 1) / 2, fill=_fill(lines, i))
        if x == "ω":
            ax.set_xticks(sorted(set(of[x])))
        ax.set(title=f"{dataset}, {encoder}", xlabel=label, ylabel=f"{column.replace(' F1', '')} F1 (%)", ylim=(0, 100))
    legend(figure, axes)
    return Plot(figure, f"{made.title} on the embedded corpus; bars: 95 % interval over documents. {' '.join(made.notes)}")


def _line(ax: Axes, points: pd.DataFrame, x: str, column: str, group: tuple[str, str], *, offset: float, fill: str) -> None:
    of, setting = look(group[0]), group[1]
    at = points[x] + offset * 0.012 * (points[x].max() - points[x].min())  # so that bars don't hide each other
    label = f"{of.label} ({setting})" if setting else of.label
    ax.plot(at, points[column], color=of.color, marker=of.marker, fillstyle=fill, label=label)
    ax.vlines(at, points[f"{column} low"], points[f"{column} high"], color=of.color, linewidth=0.8)


def _fill(lines: list[tuple[tuple[str, str], pd.DataFrame]], i: int) -> str:
    earlier = sum(system == lines[i][0][0] for (system, _), _ in lines[:i])
    return FILLS[min(earlier, len(FILLS) - 1)]
