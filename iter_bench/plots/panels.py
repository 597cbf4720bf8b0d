"""What figures of several panels share: which runs a panel shows, how panels stand on the page, one legend for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from iter_bench.errors import UserError
from iter_bench.plots.style import COLUMN_WIDTH, PAGE_WIDTH
from iter_bench.records import Record
from iter_bench.tables.runs import Group, group_runs

PANEL_HEIGHT = 2.2


def _some(records: Sequence[Record]) -> Sequence[Record]:
    if not records:
        raise UserError("no record holds what this figure shows; train first (`iter-bench train`, `make reproduce`)")
    return records


def panels_of(records: Sequence[Record], known: Sequence[Record] = ()) -> dict[tuple[str, str], list[Group]]:
    """(data set, encoder) → its groups, numbered among those of ``known`` too. Raises UserError where there are no records."""
    panels: dict[tuple[str, str], list[Group]] = {}
    for group in group_runs(_some(records), known):
        panels.setdefault((group.dataset, group.encoder), []).append(group)
    return panels


def grid(panels: int, *, wide: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, two a row; ``wide``: one that is alone takes the row."""
    columns = min(2, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(PAGE_WIDTH if columns == 2 or wide else COLUMN_WIDTH, PANEL_HEIGHT * rows))
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[panels:]:
        unused.remove()
    return figure, axes[:panels]


def legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend below all panels, which it neither hides nor shrinks, in as many columns as the figure is wide enough for."""
    handles = {}
    for ax in axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    for columns in range(min(3, len(handles)), 0, -1):
        drawn = figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)
        box = drawn.get_window_extent()
        if columns == 1 or box.width <= figure.bbox.width:
            figure.set_figheight(figure.get_figheight() + box.height / figure.dpi)
            break
        drawn.remove()
