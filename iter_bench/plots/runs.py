"""Figures of trained runs, from their records: scores, learning curves, and precision against recall over λ (figure 2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from iter_bench.errors import UserError
from iter_bench.plots.style import COLUMN_WIDTH, FILLS, PAGE_WIDTH, RATIOS, Plot, in_style, look
from iter_bench.records import Record
from iter_bench.scoring import CRITERIA, Convention, Criterion
from iter_bench.tables.captions import provenance
from iter_bench.tables.runs import Group, group_runs

LABELS = {"ner": "NER", "re": "RE", "re_plus": "RE+", "precision": "precision", "recall": "recall", "f1": "F1"}
PANEL_HEIGHT = 2.2
# One system under several settings in a panel keeps its colour and mark; its variants differ in these, the last for all more.
STRENGTHS = (1.0, 0.55, 0.3)


@in_style
def scores(records: Sequence[Record], convention: Convention = "strict") -> Plot:
    """F1 on the test split by criterion: a point a run, the system's mark at their mean; a panel a data set and encoder.

    Raises:
        UserError: there are no records.
    """
    panels = panels_of(records)
    figure, axes = grid(len(panels))
    for ax, ((dataset, encoder), groups) in zip(axes, panels.items(), strict=True):
        criteria = [c for c in CRITERIA if any(c in g.records[0].scores.test[convention] for g in groups)]
        for i, group in enumerate(groups):
            fill = FILLS[variant(groups, i)]
            _score_marks(ax, group, convention, criteria, fill, offset=(i - (len(groups) - 1) / 2) * 0.8 / len(groups))
        ax.set_xticks(range(len(criteria)), [LABELS[criterion] for criterion in criteria])
        ax.set_xlim(-0.5, len(criteria) - 0.5)
        ax.grid(axis="x", visible=False)
        ax.margins(y=0.15)
        ax.set(title=f"{dataset}, {encoder}", ylabel="F1 (%)")
    legend(figure, axes)
    about = f"F1 on the scored split, convention {convention}; small points are single runs, large marks their means."
    return Plot(figure, f"{about} {provenance(records)}")


@in_style
def learning_curve(records: Sequence[Record]) -> Plot:
    """F1 on dev and training loss over epochs: thin lines are runs, thick ones their mean; a row a data set and encoder.

    Raises:
        UserError: there are no records with a history.
    """
    records = [record for record in records if record.history]
    panels = panels_of(records)
    figure = Figure(figsize=(PAGE_WIDTH, PANEL_HEIGHT * len(panels)))
    rows = figure.subplots(len(panels), 2, squeeze=False)
    for (left, right), ((dataset, encoder), groups) in zip(rows, panels.items(), strict=True):
        for i, group in enumerate(groups):
            strength = STRENGTHS[variant(groups, i)]
            system, label = look(group.system), group_label(group)
            look_of = {"color": system.color, "strength": strength}
            for stage, loss_line in zip(dict.fromkeys(e.stage for e in group.records[0].history), ("-", "--"), strict=False):
                histories = [[e for e in record.history if e.stage == stage] for record in group.records]
                for criterion, line in (("re_plus", "-"), ("ner", "--")):
                    curves = [{e.epoch + 1: 100 * e.dev[criterion] for e in h if criterion in e.dev} for h in histories]
                    _curves(left, curves, f"{label}, {LABELS[criterion]}", linestyle=line, **look_of)
                losses = [{e.epoch + 1: sum(e.loss.values()) for e in history} for history in histories]
                _curves(right, losses, label if stage is None else f"{label}, {stage}", linestyle=loss_line, **look_of)
        left.set(title=f"{dataset}, {encoder}", xlabel="epoch", ylabel="F1 on dev (%)")
        right.set(title=f"{dataset}, {encoder}", xlabel="epoch", ylabel="training loss a sample", yscale="log")
        for ax in (left, right):
            ax.xaxis.get_major_locator().set_params(integer=True)
        right.yaxis.set_major_formatter(LogFormatter())
        right.yaxis.set_minor_formatter(LogFormatter())
    legend(figure, rows[:, 0] if any(ax.lines for ax in rows[:, 0]) else rows[:, 1])
    about = "F1 on dev (strict) and mean training loss a sample, by epoch; thin lines are single runs, thick ones their means."
    return Plot(figure, f"{about} {provenance(records)}")


@in_style
def lambda_curve(records: Sequence[Record]) -> Plot:
    """Precision, recall and F1 of RE+ over the decision boundary λ, all runs and their means; a panel a group of runs.

    Raises:
        UserError: no record has such a curve.
    """
    records = [record for record in records if record.lambda_curve]
    groups = group_runs(_some(records))
    figure, axes = grid(len(groups))
    for ax, group in zip(axes, groups, strict=True):
        for ratio, (color, line) in RATIOS.items():
            curves = [{p.lambda_: 100 * getattr(p, ratio) for p in record.lambda_curve} for record in group.records]
            _curves(ax, curves, LABELS[ratio], color=color, linestyle=line)
        ax.axvline(0.5, color="#808080", linewidth=0.8, linestyle=":", zorder=1)
        ax.set(title=f"{group.dataset}, {group_label(group)}, {group.encoder}", xlabel="λ", ylabel="RE+ (%)", xlim=(0, 1))
    legend(figure, axes)
    about = (
        "RE+ (strict) on the scored split over λ, the probability above which a relation is kept (dotted: the default, 0.5); "
        "thin lines are single runs, thick ones their means."
    )
    return Plot(figure, f"{about} {provenance(records)}")


def _some(records: Sequence[Record]) -> Sequence[Record]:
    if not records:
        raise UserError("no record holds what this figure shows; train first (`iter-bench train`, `make reproduce`)")
    return records


def panels_of(records: Sequence[Record]) -> dict[tuple[str, str], list[Group]]:
    """(data set, encoder) → its groups. Raises UserError where there are no records."""
    panels: dict[tuple[str, str], list[Group]] = {}
    for group in group_runs(_some(records)):
        panels.setdefault((group.dataset, group.encoder), []).append(group)
    return panels


def grid(panels: int) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, two a row."""
    columns = min(2, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(PAGE_WIDTH if columns == 2 else COLUMN_WIDTH, PANEL_HEIGHT * rows))
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[panels:]:
        unused.remove()
    return figure, axes[:panels]


def group_label(group: Group) -> str:
    """The system's label, with its setting where it has several."""
    label = look(group.system).label
    return f"{label} ({group.setting})" if group.setting else label


def variant(groups: Sequence[Group], i: int) -> int:
    """How many groups before the i-th are of its system: which of `FILLS` it gets, the last for all more."""
    earlier = sum(group.system == groups[i].system for group in groups[:i])
    return min(earlier, len(FILLS) - 1)


def legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend below all panels, so that it hides nothing."""
    handles = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(3, len(handles)))


def _score_marks(
    ax: Axes, group: Group, convention: Convention, criteria: Sequence[Criterion], fill: str, offset: float
) -> None:
    system, means = look(group.system), []
    marks = {"linestyle": "none", "marker": system.marker, "color": system.color, "fillstyle": fill}
    for i, criterion in enumerate(criteria):
        tests = [record.scores.test[convention] for record in group.records]
        if not (runs := [100 * test[criterion].f1 for test in tests if criterion in test]):
            continue
        ax.plot([i + offset - 0.06] * len(runs), runs, markersize=3, alpha=0.5, markeredgewidth=0.5, **marks)
        means.append((i + offset + 0.03, mean(runs)))
        top = (i + offset, max(runs))
        ax.annotate(f"{means[-1][1]:.1f}", top, xytext=(0, 4), textcoords="offset points", ha="center", fontsize=6)
    ax.plot(*zip(*means, strict=True), markersize=5.5, label=group_label(group), **marks)


def _curves(
    ax: Axes, curves: Sequence[dict[float, float]], label: str, *, color: str, linestyle: str, strength: float = 1
) -> None:
    """Thin lines for the runs, a thick one for the mean where all runs have a value."""
    curves = [curve for curve in curves if curve]
    if not curves:
        return
    if len(curves) > 1:
        for curve in curves:
            ax.plot(list(curve), list(curve.values()), linewidth=0.5, alpha=0.5 * strength, color=color)
    common = sorted(set.intersection(*(set(curve) for curve in curves)))
    means = [mean(curve[x] for curve in curves) for x in common]
    ax.plot(
        common, means, label=label, color=color, alpha=strength, linestyle=linestyle, marker="." if len(common) == 1 else None
    )
