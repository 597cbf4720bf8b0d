"""How runs are named in figures: the system, with a number where it has several settings, which the caption explains."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from iter_bench.plots.style import FILLS, look
from iter_bench.tables.runs import Group

Panels = Iterable[Sequence[Group]]
"""The groups that each panel of a figure shows."""


def of_rows(rows: pd.DataFrame, known: Sequence[Group]) -> list[Group]:
    """The group of ``known`` that each row of a table is about."""
    groups = {(of.dataset, of.system, of.encoder, of.setting): of for of in known}
    return [groups[key] for key in rows[["dataset", "system", "encoder", "setting"]].itertuples(index=False, name=None)]


def label(of: Group) -> str:
    """The system's label; ``ITER 2`` where several settings of it are known with the same data set and encoder."""
    return look(of.system).label + (f" {of.number}" if of.number else "")


def with_encoder(of: Group) -> str:
    """The label and the encoder, for panels that show several of these."""
    return f"{label(of)}, {of.encoder}"


def settings(panels: Panels) -> str:
    """What the numbers stand for, for the caption; empty where there are none."""
    named = dict.fromkeys(
        f"{label(of)} on {of.dataset}, {of.encoder}: {of.setting or 'the default'}. " for of in _shown(panels) if of.number
    )
    return re.sub(r"\d+\.\d{4,}", lambda number: f"{float(number[0]):.3g}", "".join(named))


def nth(of: Group, panels: Panels, name: Callable[[Group], str] = label) -> int:
    """Which ``name`` it is of those that its system has in the legend, from 0: the same in all panels, as the legend is."""
    names = dict.fromkeys(name(other) for other in _shown(panels) if other.system == of.system)
    return list(names).index(name(of))


def fill(of: Group, panels: Panels, name: Callable[[Group], str] = label) -> str:
    """How its marks are filled: which of `FILLS`, another for each ``name`` of its system, the last for all more."""
    return FILLS[min(nth(of, panels, name), len(FILLS) - 1)]


def alike(panels: Panels, name: Callable[[Group], str] = label) -> str:
    """Which groups of a panel `fill` draws alike, for the caption; empty where it tells all apart."""
    panels, named = list(panels), {}
    for panel in panels:
        for system in dict.fromkeys(of.system for of in panel):
            last = [of for of in panel if of.system == system and fill(of, panels, name) == FILLS[-1]]
            if len(set(map(name, last))) > 1:
                names = "; ".join(dict.fromkeys(map(with_encoder, last)))
                named[f"On {last[0].dataset} these marks are alike: {names}. "] = None
    return "".join(named)


def _shown(panels: Panels) -> list[Group]:
    shown = [of for panel in panels for of in panel]
    return sorted(shown, key=lambda of: (of.dataset, of.system, of.encoder, of.number or 0))
