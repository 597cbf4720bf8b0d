"""F1 against ω and against length, on the embedded corpus."""

from __future__ import annotations

from collections.abc import Sequence

from iter_bench.errors import UserError
from iter_bench.plots.labels import Labels, of_rows
from iter_bench.plots.panels import grid, legend
from iter_bench.plots.style import Plot, in_style, look
from iter_bench.records import Record
from iter_bench.tables import slices
from iter_bench.tables.text import Made


@in_style
def depth(records: Sequence[Record]) -> Plot:
    """NER and RE+ F1 against ω of the documents; two panels a data set and encoder, a line a system and setting.

    Raises:
        UserError: no record is of a data set whose documents differ in ω.
    """
    return _drawn(slices.depth(records), records, "ω", "ω of the document", "in documents of one sentence")


@in_style
def length(records: Sequence[Record]) -> Plot:
    """NER and RE+ F1 against the words of a document, as `depth`.

    Raises:
        UserError: no record is of the embedded corpus.
    """
    return _drawn(slices.length(records), records, "words", "words of the document", "in documents of several sentences")


def _drawn(made: Made, records: Sequence[Record], x: str, xlabel: str, kind: str) -> Plot:
    if not len(made.frame):
        raise UserError(f"no record is of the embedded corpus {kind}; train first (`make reproduce`)")
    panels = [
        (about, of, column)
        for about, of in made.frame.groupby(["dataset", "encoder"])
        for column in ("NER F1", "RE+ F1")
        if of[column].notna().any()
    ]
    shown = of_rows((of.drop_duplicates(["system", "setting"]) for _, of, _ in panels), records)
    labels = Labels(shown)
    figure, axes = grid(len(panels))
    for ax, ((dataset, encoder), of, column), groups in zip(axes, panels, shown, strict=True):
        lines = of.groupby(["system", "setting"], sort=False)
        for i, ((_, points), group) in enumerate(zip(lines, groups, strict=True)):
            at = points[x] + (i - (len(groups) - 1) / 2) * 0.012 * (points[x].max() - points[x].min())  # none hides another
            look_of = look(group.system)
            marks = {"color": look_of.color, "marker": look_of.marker, "fillstyle": labels.fill(group)}
            ax.plot(at, points[column], label=labels.name(group), **marks)
            ax.vlines(at, points[f"{column} low"], points[f"{column} high"], color=look_of.color, linewidth=0.8)
        if x == "ω":
            ax.set_xticks(sorted(set(of[x])))
        ax.set(title=f"{dataset}, {encoder}", xlabel=xlabel, ylabel=f"{column.replace(' F1', '')} F1 (%)", ylim=(0, 100))
    legend(figure, axes)
    about = f"{made.title} on the embedded corpus; bars: 95 % interval over documents. {labels.explained()}{labels.alike()}"
    return Plot(figure, f"{about}{' '.join(made.notes)}")
