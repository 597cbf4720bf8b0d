"""Figure 1: ITER's three steps drawn for one document, from gold or from what a model extracted."""

from __future__ import annotations

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
    figure = Figure(figsize=(max(PAGE_WIDTH, 0.36 * len(document.words)), 2.9))
    rows = figure.subplots(3, 1, sharex=True, height_ratios=(0.6, 1.4, 2))
    for ax, name in zip(rows, COLORS, strict=True):
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
        ax.set(yticks=[], ylim=(0, 1))
        ax.grid(False)
        ax.spines[["left", "bottom"]].set_visible(False)
        ax.tick_params(length=0)
    for start in sorted({entity.start for entity in annotated.entities}):
        rows[0].text(start, 0.4, "[", color=COLORS["is_left"], ha="center", va="center", fontsize=13, weight="bold", gid="left")
    for entity, level in _levels(annotated.entities).items():
        _span(rows[1], entity, 0.12 + 0.3 * level)
    for relation in annotated.relations:
        _link(rows[2], relation, len(document.words))
    words = [word.replace("$", r"\$") for word in document.words]
    rows[2].set_xticks(range(len(words)), words, rotation=60, ha="right", rotation_mode="anchor")
    rows[2].set_xlim(-0.7, len(words) - 0.3)
    about = (
        "`is_left` marks where spans start, `is_span` the words that end them and their type, `is_link` which spans are "
        "related, by arcs from the last word of the head to that of the tail"
    )
    return Plot(figure, f"ITER's three steps on {document.id}, {source}: {about}.")


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
    ax.text((left + right) / 2, height + 0.03, entity.type, ha="center", va="bottom", fontsize=6)


def _link(ax: Axes, relation: Relation, words: int) -> None:
    """An arc from the head's last word to the tail's, the higher the farther they are apart."""
    head, tail = relation.head.end - 1, relation.tail.end - 1
    height = 0.2 + 0.65 * abs(tail - head) / words
    angles = np.linspace(np.pi, 0.0, 50) if head < tail else np.linspace(0.0, np.pi, 50)
    x, y = (head + tail) / 2 + abs(tail - head) / 2 * np.cos(angles), height * np.sin(angles)
    ax.plot(x, y, color=COLORS["is_link"], linewidth=1, gid="link")
    arrow = {"arrowstyle": "-|>", "color": COLORS["is_link"], "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7}
    ax.annotate("", (x[-1], y[-1]), (x[-4], y[-4]), arrowprops=arrow, annotation_clip=False)
    middle = (head + tail) / 2
    ax.text(middle, height + 0.02, relation.type, ha="center", va="bottom", fontsize=6, path_effects=HALO)
