"""Figure 1: ITER's three steps drawn for one document, from gold or from what a model extracted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from iter_bench.document import Document, Entity, Extraction, Relation
from iter_bench.plots.style import PAGE_WIDTH, Plot, in_style

HALO = [withStroke(linewidth=1.5, foreground="white")]
"""Keeps a label legible on an arc, of which it hides little."""
COLORS = {"is_left": "#000000", "is_span": "#E69F00", "is_link": "#56B4E9"}
"""Of the strokes of each step; none is a system's. Text is black, so that it can be read."""


@in_style
def steps(document: Document, extraction: Extraction | None = None, *, source: str = "gold") -> Plot:
    """Three rows over the words: where spans start, which words end them and with what type, which spans are related.

    Args:
        document: the words; its annotation is drawn unless ``extraction`` is given.
        extraction: what a model found in the document.
        source: where the annotation comes from, for the caption.
    """
    annotated = extraction or document
    levels = _levels(annotated.entities)
    nested = max(1, 0.4 + 0.3 * max(levels.values(), default=0))  # times the height that three levels need
    figure = Figure(figsize=(max(PAGE_WIDTH, 0.36 * len(document.words)), 1.9 + nested))
    rows = figure.subplots(3, 1, sharex=True, height_ratios=(0.6, 1.4 * nested, 2))
    for ax, name in zip(rows, COLORS, strict=True):
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
        ax.set(yticks=[], ylim=(0, nested if name == "is_span" else 1))
        ax.grid(False)
        ax.spines[["left", "bottom"]].set_visible(False)
        ax.tick_params(length=0)
    for start in sorted({entity.start for entity in annotated.entities}):
        rows[0].text(start, 0.4, "[", color=COLORS["is_left"], ha="center", va="center", fontsize=13, weight="bold", gid="left")
    for entity, level in levels.items():
        _span(rows[1], entity, 0.12 + 0.3 * level)
    arcs = _arcs(annotated.relations)
    for (head, tail), types in arcs.items():
        height = 0.2 + 0.65 * abs(tail - head) / len(document.words)  # the higher the farther they are apart
        over = 0.12 if head > tail and (tail, head) in arcs else 0  # the arc back lies above the other
        _link(rows[2], head, tail, height + over, ", ".join(types))
    words = [_literal(word) for word in document.words]
    rows[2].set_xticks(range(len(words)), words, rotation=60, ha="right", rotation_mode="anchor")
    rows[2].set_xlim(-0.7, len(words) - 0.3)
    about = (
        "`is_left` marks where spans start, `is_span` the words that end them and their type, `is_link` which spans are "
        "related, by arcs from the last word of the head to that of the tail"
    )
    return Plot(figure, f"ITER's three steps on {document.id}, {source}: {about}.")


def _literal(text: str) -> str:
    """The text as it is, whatever dollar signs would make of it."""
    return text.replace("$", r"\$")


def _arcs(relations: Sequence[Relation]) -> dict[tuple[int, int], list[str]]:
    """The types between each pair of words, the last one of a head and that of a tail, which nested spans may share."""
    arcs: dict[tuple[int, int], list[str]] = {}
    for relation in relations:
        arcs.setdefault((relation.head.end - 1, relation.tail.end - 1), []).append(relation.type)
    return arcs


def _levels(entities: tuple[Entity, ...]) -> dict[Entity, int]:
    """The row in which each span is drawn, so that nested ones don't hide each other."""
    levels: dict[Entity, int] = {}
    for entity in sorted(entities, key=lambda e: (e.end - e.start, e.start)):
        taken = {level for other, level in levels.items() if other.start < entity.end and entity.start < other.end}
        levels[entity] = min(set(range(len(taken) + 1)) - taken)
    return levels


def _span(ax: Axes, entity: Entity, height: float) -> None:
    left, right = entity.start - 0.3, entity.end - 0.7
    ax.plot([left, left, right, right], [height - 0.08, height, height, height - 0.08], color=COLORS["is_span"], gid="span")
    ax.text((left + right) / 2, height + 0.03, _literal(entity.type), ha="center", va="bottom", fontsize=6)


def _link(ax: Axes, head: int, tail: int, height: float, text: str) -> None:
    """An arc from the head's last word to the tail's."""
    middle, half = (head + tail) / 2, abs(tail - head) / 2
    angles = np.linspace(np.pi, 0.0, 50) if head < tail else np.linspace(0.0, np.pi, 50)
    x, y = middle + half * np.cos(angles), height * np.sin(angles)
    ax.plot(x, y, color=COLORS["is_link"], linewidth=1, gid="link")
    arrow = {"arrowstyle": "-|>", "color": COLORS["is_link"], "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7}
    ax.annotate("", (x[-1], y[-1]), (x[-4], y[-4]), arrowprops=arrow, annotation_clip=False)
    ax.text(middle, height + 0.02, _literal(text), ha="center", va="bottom", fontsize=6, path_effects=HALO)
