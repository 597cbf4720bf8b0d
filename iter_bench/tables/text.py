"""Tables that set measured beside published: numbers for reading, and the file that a table is.

In most of these tables scores are in percent; where they aren't, ``text`` is. A column ``X std`` is the deviation of ``X``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from iter_bench.tables.output import write


@dataclass(frozen=True, slots=True)
class Made:
    """A table with all that it is shown with.

    Attributes:
        title: what it is.
        frame: the numbers.
        notes: sentences below it: convention, seeds, hardware.
        text: the strings for reading, where they aren't those that `readable` gives.
    """

    title: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()
    text: pd.DataFrame | None = None

    @property
    def shown(self) -> pd.DataFrame:
        """The strings for reading."""
        return readable(self.frame) if self.text is None else self.text

    def write(self, folder: Path, name: str) -> list[Path]:
        """Writes ``name.csv``, ``name.md`` with the title and the notes below, and ``name.tex`` with them as caption."""
        return write(self.frame, self.shown, folder, name, [f"{self.title}.", *self.notes])


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """Strings: ``mean ± std``, published values as printed, differences with a sign, nothing where nothing was measured."""
    text = {}
    for name in frame.columns:
        if name.endswith(" std"):
            continue
        stds = frame[f"{name} std"] if f"{name} std" in frame else [None] * len(frame)
        text[name] = [_cell(name, value, std) for value, std in zip(frame[name], stds, strict=True)]
    return pd.DataFrame(text, columns=list(text), dtype=str)


def _cell(name: str, value: Any, std: Any) -> str:
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, str):
        return value
    if name.startswith("difference"):
        return f"{value:+.2f}"
    if name.endswith("samples/s"):
        return f"{value:.1f}"
    if not name.startswith(("published", "measured", "strict", "pl_marker", "surface")) or name.endswith(
        (" M", "seeds", "folds")
    ):
        return f"{value:g}"
    printed = f"{value:.1f}" if name.startswith("published") and round(value, 1) == value else f"{value:.2f}"
    return printed if std is None or pd.isna(std) else f"{printed} ± {std:.2f}"
