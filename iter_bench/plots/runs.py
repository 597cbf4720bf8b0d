"""Figures of trained runs, from their records: scores, learning curves, and precision against recall over λ (figure 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from statistics import mean

from matplotlib.axes import Axes

from iter_bench.plots.labels import Labels
from iter_bench.plots.panels import grid, legend, panels_of
from iter_bench.plots.style import HALO, RATIOS, Plot, in_style, look, plain_numbers
from iter_bench.records import Record
from iter_bench.scoring import CRITERIA, Criterion
from iter_bench.tables.captions import provenance
from iter_bench.tables.runs import Group

LABELS = {"ner": "NER", "re": "RE", "re_plus": "RE+", "precision": "precision", "recall": "recall", "f1": "F1"}
STRENGTHS = (1.0, 0.55, 0.3)
"""How the lines of a system under several settings differ in a panel of learning curves."""
STAGES = (None, "x", ".", "+")
"""How the lines of a system that is trained in stages differ."""


@in_style
def scores(records: Sequence[Record]) -> Plot:
    """F1 (strict) on the scored split by criterion: a point a run, a mark at their mean; a panel a data set and encoder.

    Raises:
        UserError: there are no records.
    """
    panels = panels_of(records)
    labels = Labels(panels.values())
    figure, axes = grid(len(panels), wide=max(map(len, panels.values())) > 4)
    for ax, ((dataset, encoder), groups) in zip(axes, panels.items(), strict=True):
        criteria = [c for c in CRITERIA if any(c in g.records[0].scores.test["strict"] for g in groups)]
        for i, group in enumerate(groups):
            room, middle = min(0.8 / len(groups), 0.3), (len(groups) - 1) / 2
            _score_marks(ax, group, criteria, labels, room=room, place=i - middle)
        ax.set_xticks(range(len(criteria)), [LABELS[criterion] for criterion in criteria])
        ax.set_xlim(-0.5, len(criteria) - 0.5)
        ax.grid(axis="x", visible=False)
        ax.margins(y=0.15)
        ax.set(title=f"{dataset}, {encoder}", ylabel="F1 (%)")
    legend(figure, axes)
    about = (
        "F1 on the scored split, convention strict; small points are single runs, large marks their means. Several "
        "settings of a system stand in the order of the legend."
    )
    return Plot(figure, f"{about} {labels.explained()}{labels.alike()}{provenance(records)}")


@in_style
def learning_curve(records: Sequence[Record]) -> Plot:
    """F1 on dev (where there is one) and training loss over epochs, lines as in `lambda_curve`.

    A row a data set and encoder, or, where a system has more settings than lines tell apart, a setting; two rows beside each
    other where there is no dev.

    Raises:
        UserError: there are no records with a history.
    """
    records = [record for record in records if record.history]
    panels = panels_of(records)
    labels = Labels(panels.values())
    rows = _rows(panels, labels)
    epochs = [epoch for record in records for epoch in record.history]
    scored = any(epoch.dev for epoch in epochs)
    figure, axes = grid(len(rows) * (1 + scored))
    for i, (title, groups) in enumerate(rows):
        left, right = (axes[2 * i], axes[2 * i + 1]) if scored else (None, axes[i])
        for group, name, strength in groups:
            stages = dict.fromkeys(epoch.stage for record in group.records for epoch in record.history)
            for stage, marker in zip(stages, cycle(STAGES), strict=False):
                looks = {"color": look(group.system).color, "strength": strength, "marker": marker}
                of_stage = f"{name} (stage {stage})" if stage else name
                histories = [[e for e in record.history if e.stage == stage] for record in group.records]
                for criterion, line in (("re_plus", "-"), ("ner", "--")) if left else ():
                    curves = [{e.epoch + 1: 100 * e.dev[criterion] for e in h if criterion in e.dev} for h in histories]
                    _curves(left, curves, f"{of_stage}, {LABELS[criterion]}", linestyle=line, **looks)
                pairs = zip(group.records, histories, strict=True)
                losses = [{e.epoch + 1: record.loss(e) for e in history} for record, history in pairs]
                _curves(right, losses, f"{of_stage}, loss", linestyle="-.", **looks)
        if left:
            left.set(title=title, xlabel="epoch", ylabel="F1 on dev (%)")
        right.set(title=title, xlabel="epoch", ylabel="training loss a sample", yscale="log")
        plain_numbers(right.yaxis)
    for ax in axes:
        ax.xaxis.get_major_locator().set_params(integer=True)
    legend(figure, axes)
    about = "F1 on dev (strict) and mean" if scored else "Mean"
    about += (
        " training loss a sample, by epoch; thin lines are single runs, thick ones their means. A loss is the sum over what a "
        "system trains: those of different systems can't be compared."
    )
    if any(epoch.stage for epoch in epochs):
        about += " Nor can those of stages, each of which counts its epochs anew."
    return Plot(figure, f"{about} {labels.explained()}{provenance(records)}")


def _rows(
    panels: Mapping[tuple[str, str], Sequence[Group]], labels: Labels
) -> list[tuple[str, list[tuple[Group, str, float]]]]:
    """Titles, and groups with name and strength of their lines: a row a panel, or a setting where strengths are too few."""
    shown = [of for groups in panels.values() for of in groups]
    places = [labels.nth(of) for of in shown]
    if max(places) >= len(STRENGTHS):
        return [(f"{of.dataset}, {labels.name(of)}, {of.encoder}", [(of, look(of.system).label, STRENGTHS[0])]) for of in shown]
    rows: dict[str, list[tuple[Group, str, float]]] = {}
    for of, place in zip(shown, places, strict=True):
        rows.setdefault(f"{of.dataset}, {of.encoder}", []).append((of, labels.name(of), STRENGTHS[place]))
    return list(rows.items())


@in_style
def lambda_curve(records: Sequence[Record]) -> Plot:
    """Precision, recall and F1 of RE+ over the decision boundary λ, all runs and their means; a panel a group of runs.

    Raises:
        UserError: no record has such a curve.
    """
    records = [record for record in records if record.lambda_curve]
    panels = panels_of(records)
    labels = Labels(panels.values())
    shown = [group for groups in panels.values() for group in groups]
    figure, axes = grid(len(shown))
    for ax, group in zip(axes, shown, strict=True):
        points = [[p for p in record.lambda_curve if p.precision or p.recall] for record in group.records]
        for ratio, (color, line) in RATIOS.items():
            curves = [{p.lambda_: 100 * getattr(p, ratio) for p in of} for of in points]
            _curves(ax, curves, LABELS[ratio], color=color, linestyle=line, marker=".")
        ax.axvline(0.5, color="#808080", linewidth=0.8, linestyle=":", zorder=1)
        title = f"{group.dataset}, {labels.name(group)}, {group.encoder}"
        ax.set(title=title, xlabel="λ", ylabel="RE+ (%)", xlim=(0, 1), ylim=(0, None))
    legend(figure, axes)
    about = (
        "RE+ (strict) on the scored split over λ, the probability above which a relation is kept (dotted: the default, 0.5); "
        "thin lines are single runs, thick ones their means, with a dot at every λ that was scored. Points where no "
        "correct relation is kept are omitted: at 1 none is kept at all, and precision is undefined."
    )
    return Plot(figure, f"{about} {labels.explained()}{provenance(records)}")


def _score_marks(ax: Axes, group: Group, criteria: Sequence[Criterion], labels: Labels, *, room: float, place: float) -> None:
    """Runs, and right of them their mean with its number; all in the group's ``room``, number ``place`` from the middle."""
    system, means = look(group.system), []
    marks = {"linestyle": "none", "marker": system.marker, "color": system.color, "fillstyle": labels.fill(group)}
    for i, criterion in enumerate(criteria):
        tests = [record.scores.test["strict"] for record in group.records]
        if not (runs := [100 * test[criterion].f1 for test in tests if criterion in test]):
            continue
        ax.plot([i + (place - 0.2) * room] * len(runs), runs, markersize=3, alpha=0.5, markeredgewidth=0.5, **marks)
        means.append((i + (place + 0.2) * room, mean(runs)))
        beside = {"xytext": (0, 4), "textcoords": "offset points", "ha": "center", "fontsize": 6, "path_effects": [HALO]}
        ax.annotate(f"{means[-1][1]:.1f}", means[-1], **beside)
    ax.plot(*zip(*means, strict=True), markersize=5.5, label=labels.name(group), **marks)


def _curves(
    ax: Axes,
    curves: Sequence[dict[float, float]],
    label: str,
    *,
    color: str,
    linestyle: str,
    marker: str | None,
    strength: float = 1,
) -> None:
    """Thin lines for the runs, a thick one for the mean where all runs have a value."""
    if not any(curves):
        return
    if len(curves) > 1:
        for curve in curves:
            ax.plot(list(curve), list(curve.values()), linewidth=0.5, alpha=0.5 * strength, color=color)
    common = sorted(set.intersection(*(set(curve) for curve in curves)))
    means = [mean(curve[x] for curve in curves) for x in common]
    marker = marker or ("." if len(common) == 1 else None)
    ax.plot(common, means, label=label, color=color, alpha=strength, linestyle=linestyle, marker=marker)
