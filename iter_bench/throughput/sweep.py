"""A sweep: the cells that belong together, as a file, and their execution within a budget of time, resumable.

A cell whose systems all have a VALID record that was measured here is skipped; a record that came with the clone says nothing
about this machine, nor about code that was changed since. The others are measured whole, so that systems that are compared
were measured in alternation; cells that were never measured come first, then those that were INVALID longest ago.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import product
from pathlib import Path

import torch
from pydantic import Field

from iter_bench import environment, records
from iter_bench.batching import undivided
from iter_bench.devices import default_device
from iter_bench.document import Document, Schema
from iter_bench.encoders import encoder_config, max_length
from iter_bench.errors import UserError
from iter_bench.execution import reason
from iter_bench.settings import Settings, content_id, load_named
from iter_bench.systems import System
from iter_bench.throughput import cells
from iter_bench.throughput.ceiling import measure_ceiling
from iter_bench.throughput.schema import WINDOW, ThroughputRecord
from iter_bench.throughput.settings import (
    DENSITY,
    WORKLOADS,
    BatchSize,
    CellSettings,
    Density,
    Length,
    Rules,
    Subject,
    Workload,
)
from iter_bench.throughput.workloads import documents_of, of_dataset, of_length

SWEEPS = Path(__file__).parent / "sweeps"

REPORT = 60.0
"""Seconds of a call that are left for what comes after its cells: tables and figures."""

LESS = "choose a smaller encoder, shorter documents or a smaller batch size"
"""What to do where memory ends."""


class Group(Settings):
    """Cells with the same systems: every length at every density, and every data set, at every batch size."""

    subjects: list[Subject] = Field(min_length=1)
    lengths: list[Length] = Field([], description="sub-tokens; those beyond an encoder's limit are left out, and told")
    batch_sizes: list[BatchSize] | None = Field(None, min_length=1, description="none: 8, and of data sets Table 1's")
    densities: list[Density] = Field([DENSITY], min_length=1, description="gold entities per 100 words, of those lengths")
    workloads: list[str] = Field([], description="data sets of workloads.toml")
    documents: int = Field(64, ge=3, description="documents a call, of those data sets")
    subtokens: int | None = Field(None, ge=1, description="instead of the sweep's")


class Sweep(Settings):
    """What a sweep's file holds."""

    description: str
    minutes: float = Field(gt=REPORT / 60, description="of a call of the command, one of them kept for tables and figures")
    subtokens: int = Field(4096, ge=1, description="of the documents of a call of one length, together; one batch at least")
    rules: Rules = Rules()
    group: list[Group] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Cell:
    """Systems to measure in alternation: those of a line-up whose encoders read the workload."""

    subjects: tuple[Subject, ...]
    lineup: tuple[Subject, ...]
    workload: Workload
    batch_size: int
    rules: Rules

    def least(self, device: torch.device) -> float:
        """Seconds that it takes at least: warm-up and timed calls of each subject, and a GPU's window of energy."""
        window = WINDOW if device.type == "cuda" else 0.0
        return len(self.subjects) * (self.rules.warm_up + self.rules.seconds + window)

    def ids(self, hardware: str) -> list[str]:
        """Ids of the records that it leaves on that hardware, one a subject."""
        return [self.settings(subject, hardware).run_id for subject in self.subjects]

    def settings(self, subject: Subject, hardware: str) -> CellSettings:
        """Of the record of one subject on that hardware."""
        return CellSettings(
            subject=subject,
            lineup=self.lineup,
            workload=self.workload,
            batch_size=self.batch_size,
            rules=self.rules,
            hardware=hardware,
        )

    def __str__(self) -> str:
        weights = dict.fromkeys(subject.weights for subject in self.subjects)
        dense = f", {self.workload.density:g} entities per 100 words" if self.workload.density != DENSITY else ""
        return f"{self.workload.name}{dense}, batch {self.batch_size}, {' + '.join(weights)}"


@dataclass(frozen=True, slots=True)
class Step:
    """A cell begins, or has ended.

    Attributes:
        cell: which.
        number: from 1, of those that weren't finished before.
        of: how many these are.
        records: what was measured, VALID or not; None at the beginning.
    """

    cell: Cell
    number: int
    of: int
    records: tuple[ThroughputRecord, ...] | None = None


@dataclass
class Outcome:
    """What a call of ``run`` did.

    Attributes:
        measured: records of this call, VALID or not.
        finished: how many cells were VALID before.
        left: cells that the budget didn't reach.
        skipped: what was left out, and why.
    """

    measured: list[ThroughputRecord] = field(default_factory=list)
    finished: int = 0
    left: list[Cell] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def load_sweep(name: str) -> Sweep:
    """A sweep by its name in the package, or by its file.

    Raises:
        SettingsError: there is none, or the file isn't valid; every wrong field is named.
    """
    return load_named(Sweep, name, SWEEPS, "sweep")


def cells_of(sweep: Sweep, data_dir: Path | None = None) -> tuple[list[Cell], list[str]]:
    """All cells, and what was left out because an encoder can't read it."""
    found, skipped = [], []
    for group in sweep.group:
        lineup = tuple(group.subjects)
        limits = [_limit(subject) for subject in lineup]
        for length in group.lengths:
            subjects = tuple(s for s, limit in zip(lineup, limits, strict=True) if limit is None or length <= limit)
            for subject, limit in zip(lineup, limits, strict=True):
                if subject not in subjects:
                    skipped.append(f"{length} sub-tokens: {subject.system}'s encoder {subject.weights} reads {limit} at most")
            for batch_size, density in product(group.batch_sizes or [8], group.densities) if subjects else ():
                count = max(batch_size, (group.subtokens or sweep.subtokens) // length)
                workload = of_length(length, count, density)
                found.append(Cell(subjects, lineup, workload, batch_size, sweep.rules))
        for name in group.workloads:
            workload = of_dataset(name, group.documents, data_dir)
            for batch_size in group.batch_sizes or [WORKLOADS[name]["batch_size"]]:
                found.append(Cell(lineup, lineup, workload, batch_size, sweep.rules))
    return found, skipped


def run(
    sweep: Sweep,
    folder: Path,
    here: Path,
    *,
    data_dir: Path | None = None,
    minutes: float | None = None,
    report: Callable[[Step], None] = lambda step: None,
) -> Outcome:
    """Measures what is unfinished, as far as the budget goes; each record is written as soon as it is made.

    A cell begins only if one as long as the longest so far, and what it takes `Cell.least`, still fit, ``REPORT`` left out.

    Args:
        sweep: what.
        folder: of the records.
        here: folder of this machine alone that tells which of them were measured here, by a file named as their id.
        data_dir: of real corpora.
        minutes: instead of the sweep's.
        report: told of each cell as it begins and ends.
    """
    deadline = time.monotonic() + 60 * (sweep.minutes if minutes is None else minutes) - REPORT
    device = default_device()
    hardware = environment.describe().hardware(str(device))
    outcome = Outcome()
    every, outcome.skipped = cells_of(sweep, data_dir)
    earlier = [(cell, _earlier(cell, folder, here, hardware)) for cell in every]
    again = [(_invalid_since(found), cell) for cell, found in earlier if any(found) and not all(map(_valid, found))]
    waiting = [cell for cell, found in earlier if not any(found)] + [cell for _, cell in sorted(again, key=lambda of: of[0])]
    waiting.sort(key=lambda cell: _broke(cell, here, hardware).exists())  # else the next call would end there too
    outcome.finished = len(every) - len(waiting)
    ceiling_of = cache(lambda dtype: measure_ceiling(device, dtype))
    built: dict[str, System | str] = {}

    def measured(cell: Cell) -> Iterable[ThroughputRecord]:
        """Records of the cell as they are made, if any can be; its systems are held by ``built`` alone once it has ended."""
        documents, schema = documents_of(cell.workload, data_dir)
        _build(cell, built, schema, documents)
        systems = [(subject, built[_key(subject, cell.workload)]) for subject in cell.subjects]
        outcome.skipped += [f"{subject.system}: {why}" for subject, why in systems if isinstance(why, str)]
        ready = [(subject, system) for subject, system in systems if not isinstance(system, str)]
        there = [_valid(record) for record in _earlier(cell, folder, here, hardware, [subject for subject, _ in ready])]
        if all(there):  # as far as the cell can be measured at all
            outcome.finished += bool(there)
            return []
        settings = [cell.settings(subject, hardware) for subject, _ in ready]
        return cells.run_cell([system for _, system in ready], settings, documents, ceiling_of)

    def as_far_as_it_goes(cell: Cell, after: list[Cell]) -> Iterator[ThroughputRecord]:
        """What is ``measured``; an error is told and ends the cell, and one of the device all cells."""
        try:
            with undivided("the systems of this cell", LESS):
                yield from measured(cell)
        except torch.AcceleratorError as error:  # after which the device does nothing any more
            here.mkdir(parents=True, exist_ok=True)
            _broke(cell, here, hardware).touch()
            outcome.skipped.append(f"{cell}: {reason(error)}")
            outcome.left = after
        except Exception as error:  # a driver's or a library's too: the other cells are measured
            outcome.skipped.append(f"{cell}: {reason(error)}")

    longest = 0.0
    for number, cell in enumerate(waiting, 1):
        begun = time.monotonic()
        if begun + max(longest, cell.least(device)) >= deadline:
            outcome.left = waiting[number - 1 :]
            break
        report(Step(cell, number, len(waiting)))
        made: list[ThroughputRecord] = []
        for record in as_far_as_it_goes(cell, waiting[number:]):
            records.write(record, folder)
            here.mkdir(parents=True, exist_ok=True)
            (here / record.run_id).touch()
            made.append(record)
            outcome.measured.append(record)
        if outcome.left:
            break
        report(Step(cell, number, len(waiting), tuple(made)))
        longest = max(longest, time.monotonic() - begun)
    outcome.skipped = list(dict.fromkeys(outcome.skipped))
    return outcome


def records_of(sweep: Sweep, folder: Path, here: Path, data_dir: Path | None = None) -> Iterator[ThroughputRecord]:
    """The records of the sweep's cells that were measured here, VALID or not; folders as of `run`."""
    hardware = environment.describe().hardware(str(default_device()))
    for cell in cells_of(sweep, data_dir)[0]:
        yield from filter(None, _earlier(cell, folder, here, hardware))


def _limit(subject: Subject) -> int | None:
    """The most sub-tokens that the subject's encoder reads at once."""
    if subject.trained is not None:
        return None  # windows are a trained system's own affair
    return max_length(encoder_config(subject.encoder))


def _earlier(
    cell: Cell, folder: Path, here: Path, hardware: str, subjects: Sequence[Subject] | None = None
) -> list[ThroughputRecord | None]:
    """The records that were measured here of the subjects (none: all of the cell) on that hardware."""
    return [
        records.find(folder, run_id, ThroughputRecord) if (here / run_id).exists() else None
        for subject, run_id in zip(cell.subjects, cell.ids(hardware), strict=True)
        if subjects is None or subject in subjects
    ]


def _broke(cell: Cell, here: Path, hardware: str) -> Path:
    """The file that says of a cell that it broke the device here once."""
    return here / f"broke-{cell.ids(hardware)[0]}"


def _valid(record: ThroughputRecord | None) -> bool:
    return record is not None and record.valid


def _invalid_since(found: Sequence[ThroughputRecord | None]) -> datetime:
    """When a cell was last measured INVALID; one that only lacks a system, which may be impossible here, comes last."""
    return max((record.finished for record in found if record and not record.valid), default=datetime.max.replace(tzinfo=UTC))


def _build(cell: Cell, built: dict[str, System | str], schema: Schema, documents: Sequence[Document]) -> None:
    """Adds the cell's systems to ``built``, or why one can't be measured; those of other cells make room."""
    wanted = {_key(subject, cell.workload): subject for subject in cell.subjects}
    for gone in built.keys() - wanted.keys():
        del built[gone]
    for key, subject in wanted.items():
        if key not in built:
            try:
                with undivided("its weights", LESS):
                    built[key] = cells.build(subject, schema, documents)
            except UserError as error:
                built[key] = str(error)  # the error itself would hold what was built so far


def _key(subject: Subject, workload: Workload) -> str:
    """What decides the built system: the subject, and the types of its documents."""
    return f"{content_id(subject)} {workload.corpus}"
