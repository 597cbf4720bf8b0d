"""How figures look: one style file, and one colour and mark for a system wherever it is drawn."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import wraps
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

STYLE = Path(__file__).with_name("style.mplstyle")
COLUMN_WIDTH = 3.3
PAGE_WIDTH = 6.8
"""Inches, of a figure over one and over both columns of a page."""
CLIP = re.compile(r"\bp[0-9a-f]{10}\b")
"""What matplotlib calls a clipping rectangle of an SVG."""
TITLE_SIZE = 7
"""Points, of titles with the name of a processor, which is long."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a system is drawn."""

    color: str
    marker: str
    label: str


SYSTEMS = {
    "iter": Look("#0072B2", "o", "ITER"),
    "asp": Look("#D55E00", "s", "ASP"),
    "plmarker": Look("#009E73", "^", "PL-Marker"),
}
OTHERS = (("#E69F00", "D"), ("#CC79A7", "P"), ("#56B4E9", "v"), ("#000000", "X"))
FILLS = ("full", "none", "left", "right", "bottom", "top")
"""How the marks of a system under several settings differ in a figure; the last is for all more."""
CONVENTIONS = {"strict": ("#000000", "x"), "pl_marker": ("#E69F00", "d"), "surface": ("#56B4E9", "*")}
"""Colour and mark of a scoring convention; none is a system's."""
RATIOS = {"precision": ("#E69F00", "--"), "recall": ("#56B4E9", "-."), "f1": ("#000000", "-")}
"""Colour and line of a quantity, in figures whose lines are quantities of one system; no colour is a system's."""


HALO = withStroke(linewidth=1.5, foreground="white")
"""Around a mark or number, so that it stands out from what it lies on."""


def look(system: str) -> Look:
    """The look of a system; one that is not of the suite gets the same of the other colours in every figure."""
    if system in SYSTEMS:
        return SYSTEMS[system]
    return Look(*OTHERS[zlib.crc32(system.encode()) % len(OTHERS)], system)


def rank(label: str) -> int:
    """Where a label stands that begins with a system's: in the order of `SYSTEMS`, all others last."""
    return next((i for i, of in enumerate(SYSTEMS.values()) if label.startswith(of.label)), len(SYSTEMS))


def plain_numbers(axis: Axis) -> None:
    """Names ticks of a logarithmic axis whose limits are final: at least two, and few enough not to touch.

    They are 1, 10, 100, …, or 1, 3, 10, …, or 1, 2, 5, …: the first of these that are three, else those of a linear axis.
    """
    low, high = axis.get_view_interval()
    for steps in ((1,), (1, 3), (1, 2, 5)):
        powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
        ticks = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
        if len(ticks) >= 3:
            break
    else:
        ticks = [tick for tick in MaxNLocator(5, steps=(1, 2, 5, 10)).tick_values(low, high) if low <= tick <= high]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def styled() -> AbstractContextManager[None]:
    """The style file, over matplotlib's own defaults and nobody's settings."""
    return mpl.rc_context(
        {**mpl.rcParamsDefault, **mpl.rc_params_from_file(STYLE, use_default_template=False), "backend": "agg"}
    )


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure with the caption that it must not be shown without: what is drawn, which seeds, which hardware."""

    figure: Figure
    caption: str


def in_style(draw: Callable[..., Plot]) -> Callable[..., Plot]:
    """Decorates a function that draws."""

    @wraps(draw)
    def drawn(*arguments: object, **options: object) -> Plot:
        with styled():
            return draw(*arguments, **options)

    return drawn


def png(plot: Plot, dpi: int = 120) -> bytes:
    """The figure as PNG for a screen."""
    buffer = BytesIO()
    with styled():
        plot.figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def save(plot: Plot, folder: Path, name: str) -> list[Path]:
    """Writes ``name.png``, ``name.svg`` and the caption as ``name.md``; the same plot gives the same SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{suffix}" for suffix in ("png", "svg", "md")]
    with styled():
        plot.figure.savefig(paths[0], metadata={"Software": None})
        plot.figure.savefig(paths[1], metadata={"Date": None, "Creator": None})
    paths[1].write_text(_numbered(paths[1].read_text(encoding="utf-8")), encoding="utf-8")
    paths[2].write_text(f"![{name}]({name}.png)\n\n{plot.caption}\n", encoding="utf-8")
    return paths


def _numbered(svg: str) -> str:
    """The drawing with its clipping rectangles called by their order: matplotlib's names tell their last, unwritten digits.

    These are another each time, since the layout's solver goes through its panels in any order.
    """
    names = dict.fromkeys(CLIP.findall(svg))
    numbers = {name: f"clip{number}" for number, name in enumerate(names, 1)}
    return CLIP.sub(lambda match: numbers[match[0]], svg)
