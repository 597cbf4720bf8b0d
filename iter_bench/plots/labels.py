"""How runs are named in figures: the system, with a number where it has several settings, which the caption explains."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from iter_bench.plots.style import FILLS, look

Setting = str


class Named(Protocol):
    """A group of runs, or a table's row about one."""

    dataset: str
    system: str
    encoder: str
    setting: Setting


def label(of: Named, panel: Sequence[Named]) -> str:
    """The system's label; ``ITER 2`` where the panel shows several settings of it with the same encoder."""
    same = [other.setting for other in panel if (other.system, other.encoder) == (of.system, of.encoder)]
    number = f" {same.index(of.setting) + 1}" if len(same) > 1 else ""
    return look(of.system).label + number


def settings(panels: Iterable[Sequence[Named]]) -> str:
    """What the numbers stand for, for the caption; empty where there are none."""
    named: dict[str, None] = {}
    for panel in panels:
        for of in panel:
            if (name := label(of, panel)) != look(of.system).label:
                named[f"{name} on {of.dataset}: {of.setting or 'the default'}. "] = None
    return re.sub(r"\d+\.\d{4,}", lambda number: f"{float(number[0]):.3g}", "".join(named))


def fill(of: Named, panel: Sequence[Named]) -> str:
    """How the marks of a panel's group are filled: which of `FILLS`, the last for all more of the same system."""
    same = [other for other in panel if other.system == of.system]
    return FILLS[min(same.index(of), len(FILLS) - 1)]


def alike(panels: Iterable[Sequence[Named]]) -> str:
    """Which groups `fill` draws alike, for the caption; empty where it tells all apart."""
    named: dict[str, None] = {}
    for panel in panels:
        for system in dict.fromkeys(of.system for of in panel):
            same = [of for of in panel if of.system == system]
            if len(same) > len(FILLS):
                names = [f"{label(of, panel)}, {of.encoder}" for of in same[len(FILLS) - 1 :]]
                named[f"On {same[0].dataset} these marks are alike: {'; '.join(names)}. "] = None
    return "".join(named)
