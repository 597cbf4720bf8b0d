"""What figures of several panels share: which runs a panel shows, how panels stand on the page, one legend for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from iter_bench.errors import UserError
from iter_bench.plots.style import COLUMN_WIDTH, PAGE_WIDTH, look, rank
from iter_bench.records import Record
from iter_bench.tables.runs import Group, group_runs

PANEL_HEIGHT = 2.2


def panels_of(records: Sequence[Record]) -> dict[tuple[str, str], list[Group]]:
    """(data set, encoder) → its groups, in the order of `SYSTEMS`. Raises UserError where there are no records."""
    if not records:
        raise UserError("no record holds what this figure shows; train first (`iter-bench train`, `make reproduce`)")
    panels: dict[tuple[str, str], list[Group]] = {}
    for group in sorted(group_runs(records), key=lambda group: rank(look(group.system).label)):
        panels.setdefault((group.dataset, group.encoder), []).append(group)
    return dict(sorted(panels.items()))


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
    """One legend below all panels, which it neither hides nor shrinks, in as many columns as the figure is wide enough for.

    Systems stand in the order of `SYSTEMS`, each with its settings.
    """
    found: dict[str, Artist] = {}
    for ax in axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    handles = {name: found[name] for name in sorted(found, key=rank)}
    for columns in range(min(3, len(handles)), 0, -1):
        drawn = figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)
        box = drawn.get_window_extent()
        if columns == 1 or box.width <= figure.bbox.width:
            figure.set_figheight(figure.get_figheight() + box.height / figure.dpi)
            break
        drawn.remove()
