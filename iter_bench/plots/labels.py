"""How runs are named in figures: the system and, where a figure shows several settings of it, what tells them apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from iter_bench.plots.style import FILLS, look
from iter_bench.records import Record
from iter_bench.tables.runs import ABOUT, Group, group_runs


def of_rows(panels: Iterable[pd.DataFrame], records: Sequence[Record]) -> list[list[Group]]:
    """The groups of ``records`` that the rows of each panel's table are about, told apart among those that are shown."""
    groups = {(of.dataset, of.system, of.encoder, of.setting): of for of in group_runs(records)}
    about = [*ABOUT[:-1]]
    found = [[groups[key].records for key in rows[about].itertuples(index=False, name=None)] for rows in panels]
    shown = {record.run_id: record for panel in found for of in panel for record in of}
    again = {of.records[0].run_id: of for of in group_runs(list(shown.values()))}
    return [[again[of[0].run_id] for of in panel] for panel in found]


class Labels:
    """Names and marks of all groups of a figure, the same in all panels, as the legend is.

    A system is called by its label alone where its data set and encoder have one setting in the figure, else by the one or two
    settings that tell it apart (``ITER, 15 epochs``), or, where more differ, by numbers from 1 (``ITER 2``).

    Args:
        panels: the groups that each panel shows, grouped by `group_runs` from what the figure shows and nothing else.
        encoders: for panels of several encoders, which are named too.
    """

    def __init__(self, panels: Iterable[Sequence[Group]], *, encoders: bool = False) -> None:
        self._panels, self._encoders = list(panels), encoders
        shown = {of.records[0].run_id: of for panel in self._panels for of in panel}
        self._shown = sorted(shown.values(), key=lambda of: (of.dataset, of.system, of.encoder, of.setting))
        self._of_subject: dict[tuple[str, str, str], list[Group]] = {}
        for of in self._shown:
            self._of_subject.setdefault((of.dataset, of.system, of.encoder), []).append(of)

    def name(self, of: Group) -> str:
        """What the legend calls it."""
        return self._within(of) + (f", {of.encoder}" if self._encoders else "")

    def nth(self, of: Group) -> int:
        """Which name it is of those of its system, from 0."""
        return list(dict.fromkeys(self.name(other) for other in self._shown if other.system == of.system)).index(self.name(of))

    def fill(self, of: Group) -> str:
        """How its marks are filled: which of `FILLS`, another for each name of its system, the last for all more."""
        return FILLS[min(self.nth(of), len(FILLS) - 1)]

    def explained(self) -> str:
        """What names stand for of which one leaves out a setting that differs, as numbers do, for the caption; else empty."""
        several = [members for members in self._of_subject.values() if len(members) > 1]
        told = [of for members in several if any(of.short != of.setting for of in members) for of in members]
        return "".join(f"{self._within(of)} on {of.dataset}, {of.encoder}: {of.setting or 'the default'}. " for of in told)

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
        system, members = look(of.system).label, self._of_subject[of.dataset, of.system, of.encoder]
        if len(members) == 1:
            return system
        numbered = self._numbered(members)
        return f"{system} {numbered.index(of) + 1}" if of in numbered else f"{system}, {_readable(of.short)}"

    @staticmethod
    def _numbered(members: Sequence[Group]) -> list[Group]:
        """Those of one system, data set and encoder that no short name tells from the others."""
        shorts = [of.short for of in members]
        return [of for of in members if len(members) > 1 and (of.short is None or shorts.count(of.short) > 1)]


def _readable(short: str) -> str:
    """Without the groups that fields of the settings are in."""
    return re.sub(r"\bepochs=(\d+)", r"\1 epochs", re.sub(r"\b(training|model|data)\.", "", short)) or "default"
