"""Which mistakes each system makes: what became of the gold items, and what was invented besides."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from iter_bench import mistakes as classes
from iter_bench.errors import UserError
from iter_bench.plots.labels import Labels
from iter_bench.plots.panels import panels_of
from iter_bench.plots.style import PAGE_WIDTH, Plot, in_style
from iter_bench.records import Record
from iter_bench.tables.captions import provenance
from iter_bench.tables.mistakes import ENTITIES, RELATIONS, SHARES, left_out, shares, with_mistakes
from iter_bench.tables.runs import Group

LOOKS = {
    "hit": ("#D0D0D0", ""),
    "type": ("#E69F00", ""),
    "boundary": ("#56B4E9", ""),
    "direction": ("#56B4E9", ""),
    "both": ("#CC79A7", ""),
    "entities": ("#CC79A7", ""),
    "missed": ("#7A7A7A", ""),
    "missed entity": ("#FFFFFF", "////"),
    "spurious": ("#303030", ""),
    "spurious entity": ("#FFFFFF", "...."),
}
"""Colour and hatch of a class; none is a system's colour."""
KINDS = {"entities": classes.ENTITY_CLASSES, "relations": classes.RELATION_CLASSES}
ROW_HEIGHT, FRAME_HEIGHT, LEGEND_HEIGHT = 0.22, 0.65, 0.6
"""Inches: of a bar, of a panel's title and axis, of the legends."""


@in_style
def mistakes(records: Sequence[Record]) -> Plot:
    """Bars of the classes in percent of gold, spurious ones to the left of 0; a row a data set and encoder.

    Raises:
        UserError: no record holds mistakes.
    """
    kept = with_mistakes(records)
    if not kept:
        raise UserError("no record holds classes of mistakes; train first (`iter-bench train`, `make reproduce`)")
    panels = panels_of(kept)
    labels = Labels(panels.values())
    heights = [FRAME_HEIGHT + ROW_HEIGHT * len(groups) for groups in panels.values()]
    figure = Figure(figsize=(PAGE_WIDTH, sum(heights) + LEGEND_HEIGHT))
    rows = figure.subplots(len(panels), 2, squeeze=False, height_ratios=heights)
    for axes, ((dataset, encoder), groups) in zip(rows, panels.items(), strict=True):
        for ax, (kind, names) in zip(axes, KINDS.items(), strict=True):
            shown = [group for group in groups if kind in group.records[0].mistakes]
            if not shown:
                ax.remove()
                continue
            for i, group in enumerate(shown):
                _bar(ax, group, i, kind, names)
            ax.use_sticky_edges = False  # else the bars to the left end on the axis, as if cut off
            ax.axvline(0, color="black", linewidth=0.6)
            ax.set_yticks(range(len(shown)), [labels.name(group) for group in shown])
            ax.set(title=f"{dataset}, {encoder}: {kind}", xlabel="% of gold", ylim=(len(shown) - 0.5, -0.5))
            ax.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")  # shares; their side says which are spurious
            ax.grid(axis="y", visible=False)
    for column, place in enumerate(("outside lower left", "outside lower right")):
        handles = next((ax.get_legend_handles_labels() for ax in rows[:, column] if ax.containers), ((), ()))
        named = dict(zip(reversed(handles[1]), reversed(handles[0]), strict=True))
        named = {name: named[name] for name in list(KINDS.values())[column] if name in named}
        figure.legend(named.values(), named.keys(), loc=place, ncols=3)
    about = f"{SHARES}Spurious ones stand left of 0. Entities: {ENTITIES} Relations: {RELATIONS.partition(' P, R, F1')[0]}"
    return Plot(figure, " ".join([about, *left_out(records), f"{labels.explained()}{provenance(kept)}"]))


def _bar(ax: Axes, group: Group, row: int, kind: classes.Kind, names: Sequence[str]) -> None:
    of, right, left = shares(group, kind), 0.0, 0.0
    for name in names:
        share, (color, hatch) = of[f"{name} %"], LOOKS[name]
        spurious = name.startswith("spurious")
        start = left - share if spurious else right
        ax.barh(row, share, left=start, height=0.7, color=color, hatch=hatch, edgecolor="black", linewidth=0.4, label=name)
        left, right = (start, right) if spurious else (left, right + share)
