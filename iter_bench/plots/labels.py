"""How runs are named in figures: the system and, where a figure shows several settings of it, what tells them apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from iter_bench.plots.style import FILLS, look
from iter_bench.records import Record
from iter_bench.tables.runs import Group, group_runs

SHORT = 24
"""Characters of a difference that fits into a legend."""


def of_rows(panels: Iterable[pd.DataFrame], records: Sequence[Record]) -> list[list[Group]]:
    """The groups of ``records`` that the rows of each panel's table are about, told apart among those that are shown."""
    groups = {(of.dataset, of.system, of.encoder, of.setting): of for of in group_runs(records)}
    about = ["dataset", "system", "encoder", "setting"]
    found = [[groups[key].records for key in rows[about].itertuples(index=False, name=None)] for rows in panels]
    shown = {record.run_id: record for panel in found for of in panel for record in of}
    again = {of.records[0].run_id: of for of in group_runs(list(shown.values()))}
    return [[again[of[0].run_id] for of in panel] for panel in found]


class Labels:
    """Names and marks of all groups of a figure, the same in all panels, as the legend is.

    A system is called by its label alone where its data set and encoder have one setting in the figure, else by what the
    settings differ in (``ITER, epochs=15``), or, where that isn't short for each, by numbers from 1 (``ITER 2``).

    Args:
        panels: the groups that each panel shows, grouped by `group_runs` from what the figure shows and nothing else.
        encoders: for panels of several encoders, which are named too.
    """

    def __init__(self, panels: Iterable[Sequence[Group]], *, encoders: bool = False) -> None:
        self._panels, self._encoders = list(panels), encoders
        shown = {of.records[0].run_id: of for panel in self._panels for of in panel}
        self._shown = sorted(shown.values(), key=lambda of: (of.dataset, of.system, of.encoder, of.number or 0))
        self._settings: dict[tuple[str, str, str], list[str]] = {}
        for of in self._shown:
            self._settings.setdefault((of.dataset, of.system, of.encoder), []).append(of.setting)

    def name(self, of: Group) -> str:
        """What the legend calls it."""
        return self._within(of) + (f", {of.encoder}" if self._encoders else "")

    def nth(self, of: Group) -> int:
        """Which name it is of those of its system, from 0."""
        return list(dict.fromkeys(self.name(other) for other in self._shown if other.system == of.system)).index(self.name(of))

    def fill(self, of: Group) -> str:
        """How its marks are filled: which of `FILLS`, another for each name of its system, the last for all more."""
        return FILLS[min(self.nth(of), len(FILLS) - 1)]

    def numbers(self) -> str:
        """What the numbers stand for, for the caption; empty where there are none."""
        numbered = [of for of in self._shown if self._numbered(of)]
        return "".join(f"{self._within(of)} on {of.dataset}, {of.encoder}: {of.setting or 'the default'}. " for of in numbered)

    def alike(self) -> str:
        """Which groups of a panel `fill` draws alike, for the caption; empty where it tells all apart."""
        named: dict[str, None] = {}
        for panel in self._panels:
            for system in dict.fromkeys(of.system for of in panel):
                last = [of for of in panel if of.system == system and self.fill(of) == FILLS[-1]]
                if len(names := dict.fromkeys(f"{self._within(of)}, {of.encoder}" for of in last)) > 1:
                    named[f"On {last[0].dataset} these marks are alike: {'; '.join(names)}. "] = None
        return "".join(named)

    def _within(self, of: Group) -> str:
        """Its name among those of its data set and encoder."""
        system = look(of.system).label
        if of.number is None:
            return system
        return f"{system} {of.number}" if self._numbered(of) else f"{system}, {_difference(of.setting)}"

    def _numbered(self, of: Group) -> bool:
        """Whether the settings of its system, data set and encoder have no short differences that tell them apart."""
        settings = self._settings[of.dataset, of.system, of.encoder]
        differences = set(map(_difference, settings))
        return len(settings) > 1 and (len(differences) < len(settings) or max(map(len, differences)) > SHORT)


def _difference(setting: str) -> str:
    """In a few characters, which leave out the group that a field of the settings is in."""
    return re.sub(r"\b(training|model|data)\.", "", setting) or "default"
