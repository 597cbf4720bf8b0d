"""Runs that the code of today would not give again, because a defect was mended since: whatever shows them says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from iter_bench.records.schema import Record


@dataclass(frozen=True, slots=True)
class Defect:
    """What was wrong with a system's runs.

    Attributes:
        system: its registered name.
        until: runs that began before are of the code with the defect.
        told: what it was and which way it bears on scores; follows "N runs of SYSTEM are of".
    """

    system: str
    until: datetime
    told: str


DEFECTS = (
    Defect(
        "asp",
        datetime(2026, 11, 30, 21, 42, tzinfo=UTC),  # 94bbc5a
        "a decoder that put a bracket before a text's first word by chance: their scores may be too low, and they are to be "
        "trained again",
    ),
)


def notes(records: Sequence[Record]) -> list[str]:
    """A sentence for each defect that some of the runs have."""
    told = []
    for defect in DEFECTS:
        count = sum(record.system == defect.system and record.started < defect.until for record in records)
        if count:
            runs = f"1 run of {defect.system} is" if count == 1 else f"{count} runs of {defect.system} are"
            told.append(f"{runs} of {defect.told}.")
    return told
