"""A sweep: the cells that belong together, as a file, and their execution within a budget of time, resumable.

A cell whose systems all have a VALID record of this machine is skipped. The others are measured whole, so that systems that
are compared were measured in alternation; cells that were never measured come first.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pydantic import Field, ValidationError

from iter_bench import environment, records
from iter_bench.devices import default_device
from iter_bench.encoders import encoder_config, max_length
from iter_bench.errors import SettingsError, UserError
from iter_bench.settings import Settings, content_id
from iter_bench.systems import System
from iter_bench.throughput import cells
from iter_bench.throughput.ceiling import measure_ceiling
from iter_bench.throughput.protocol import Rules
from iter_bench.throughput.schema import CellSettings, Subject, ThroughputRecord
from iter_bench.throughput.workloads import PROFILES, Workload, documents_of, of_dataset, of_length

SWEEPS = Path(__file__).parent / "sweeps"


class Group(Settings):
    """Cells with the same systems: every length at every batch size, and every data set at its own."""

    subjects: list[Subject] = Field(min_length=1)
    lengths: list[int] = Field([], description="sub-tokens; those beyond an encoder's limit are left out, and told")
    batch_sizes: list[int] = Field([8], min_length=1)
    workloads: list[str] = Field([], description="data sets of workloads.toml")
    documents: int = Field(64, ge=3, description="documents a call, of those data sets")


class Sweep(Settings):
    """What a sweep's file holds."""

    description: str
    minutes: float = Field(gt=0, description="after which no further cell begins")
    subtokens: int = Field(4096, ge=1, description="of the documents of a call of one length, together; one batch at least")
    rules: Rules = Rules()
    group: list[Group] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Cell:
    """Systems to measure in alternation."""

    subjects: tuple[Subject, ...]
    workload: Workload
    batch_size: int
    rules: Rules

    def ids(self, hardware: str) -> list[str]:
        """Ids of the records that it leaves on that hardware, one a subject."""
        common = {"workload": self.workload, "batch_size": self.batch_size, "rules": self.rules, "hardware": hardware}
        return [CellSettings(subject=subject, **common).run_id for subject in self.subjects]

    def __str__(self) -> str:
        return f"{self.workload.name} batch {self.batch_size} {self.subjects[0].trained or self.subjects[0].encoder}"


@dataclass
class Outcome:
    """What a call of ``run`` did; ``left``: cells that the budget didn't reach; ``skipped``: why something was left out."""

    measured: list[ThroughputRecord] = field(default_factory=list)
    finished: int = 0
    left: int = 0
    skipped: list[str] = field(default_factory=list)


def sweep_names() -> list[str]:
    """The sweeps that come with the package."""
    return sorted(path.stem for path in SWEEPS.glob("*.toml"))


def load_sweep(name: str) -> Sweep:
    """A sweep by its name in the package, or by its file.

    Raises:
        SettingsError: there is none, or the file isn't valid; every wrong field is named.
    """
    path = Path(name) if name.endswith(".toml") else SWEEPS / f"{name}.toml"
    try:
        return Sweep.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        known = ", ".join(sweep_names())
        raise SettingsError(f"no sweep is called {name!r}; there are {known}, or name a .toml file") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {error}") from None
    except ValidationError as error:
        wrong = "\n".join(f"{path}, {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SettingsError(wrong) from None


def cells_of(sweep: Sweep, data_dir: Path | None = None) -> tuple[list[Cell], list[str]]:
    """All cells, and what was left out because an encoder can't read it."""
    found, skipped = [], []
    for group in sweep.group:
        subjects = tuple(group.subjects)
        limits = [(limit, s.encoder) for s in subjects if (limit := _limit(s)) is not None]
        for length in group.lengths:
            if limits and length > min(limits)[0]:
                skipped.append(f"{length} sub-tokens: {min(limits)[1]} reads {min(limits)[0]} at most")
                continue
            for batch_size in group.batch_sizes:
                workload = of_length(length, max(batch_size, sweep.subtokens // length))
                found.append(Cell(subjects, workload, batch_size, sweep.rules))
        for name in group.workloads:
            workload = of_dataset(name, group.documents, data_dir)
            found.append(Cell(subjects, workload, PROFILES[name]["batch_size"], sweep.rules))
    return found, skipped


def run(
    sweep: Sweep,
    folder: Path,
    *,
    data_dir: Path | None = None,
    minutes: float | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Measures what is unfinished, until the budget is spent; records are written as each cell ends.

    Args:
        sweep: what.
        folder: of the records.
        data_dir: of real corpora.
        minutes: instead of the sweep's.
        report: told in a line of each cell.
    """
    deadline = time.monotonic() + 60 * (sweep.minutes if minutes is None else minutes)
    device = default_device()
    hardware = environment.describe().hardware(str(device))
    outcome = Outcome()
    every, outcome.skipped = cells_of(sweep, data_dir)
    waiting = []
    for cell in every:
        earlier = [records.find(folder, run_id, ThroughputRecord) for run_id in cell.ids(hardware)]
        if all(record is not None and record.valid for record in earlier):
            outcome.finished += 1
        else:
            waiting.append((any(earlier), cell))
    waiting.sort(key=lambda pair: pair[0])
    ceiling_of = cache(lambda dtype: measure_ceiling(device, dtype))
    built: dict[str, System] = {}
    for number, (_, cell) in enumerate(waiting):
        if time.monotonic() >= deadline:
            outcome.left = len(waiting) - number
            break
        documents, schema = documents_of(cell.workload, data_dir)
        wanted = {_key(subject, cell.workload): subject for subject in cell.subjects}
        for gone in built.keys() - wanted.keys():  # one group's systems at a time
            del built[gone]
        subjects = []
        for key, subject in wanted.items():
            try:
                built.setdefault(key, built.get(key) or cells.build(subject, schema, documents))
                subjects.append((subject, built[key]))
            except UserError as error:
                outcome.skipped.append(f"{subject.system}: {error}")
        for record in cells.run_cell(subjects, cell.workload, documents, cell.batch_size, cell.rules, ceiling_of):
            records.write(record, folder)
            outcome.measured.append(record)
            said = "VALID" if record.valid else "INVALID: " + "; ".join(record.problems)
            report(f"{cell}: {record.system} {record.rate.median:.4g} documents/s, {said}")
    outcome.skipped = list(dict.fromkeys(outcome.skipped))
    return outcome


def records_of(sweep: Sweep, folder: Path, data_dir: Path | None = None) -> Iterator[ThroughputRecord]:
    """The records of the sweep's cells on this machine, VALID or not."""
    hardware = environment.describe().hardware(str(default_device()))
    for cell in cells_of(sweep, data_dir)[0]:
        for run_id in cell.ids(hardware):
            if (record := records.find(folder, run_id, ThroughputRecord)) is not None:
                yield record


def _limit(subject: Subject) -> int | None:
    """The most sub-tokens that the subject's encoder reads at once."""
    if subject.trained is not None:
        return None  # windows are a trained system's own affair
    return max_length(encoder_config(subject.encoder))


def _key(subject: Subject, workload: Workload) -> str:
    """What decides the built system: the subject, and the types of its documents."""
    return f"{content_id(subject)} {workload.corpus}"
