"""Before a matrix starts: what of it can't run and why, and how long the rest takes.

Nothing is trained and no weights are read. Data files are loaded where they are here, so that a damaged one is told as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heapreplace
from pathlib import Path
from typing import Any

import torch

from iter_bench import data, environment, records
from iter_bench.costs import SUBTOKENS_PER_WORD, Cost, Costs, Size
from iter_bench.data import catalogue
from iter_bench.devices import default_device
from iter_bench.document import Dataset
from iter_bench.encoders import availability
from iter_bench.errors import UserError
from iter_bench.run import Folders, load_splits, other_documents, other_weights
from iter_bench.settings import TRAINED, DataSettings, RunSettings
from iter_bench.throughput.settings import WORKLOADS, workload_of

UNKNOWN_MEAN, LONGEST = 30, 10
"""Assumed where nothing is known: sub-tokens a sample, and how many times the mean the longest sample has."""


@dataclass(frozen=True, slots=True)
class Line:
    """Runs that differ in seed and fold only.

    Attributes:
        runs: all of them.
        finished: how many of them were finished here before.
        encoder: whose architecture they have; for runs that start from another run, that run's.
        cost: of one run; ``seconds`` is None where it can't be told.
        memory: bytes that training takes at most, or None.
        problems: why they can't run, each in a sentence or a short paragraph.
    """

    runs: tuple[RunSettings, ...]
    finished: int
    encoder: str
    cost: Cost
    memory: int | None
    problems: tuple[str, ...]

    @property
    def hours(self) -> float | None:
        """Of the runs that are left, one after the other."""
        left = len(self.runs) - self.finished
        return 0.0 if not left else None if self.cost.seconds is None else left * self.cost.seconds / 3600


@dataclass(frozen=True, slots=True)
class Plan:
    """What a matrix needs and costs, with ``at_once`` runs at a time.

    Attributes:
        device: where each would run, and ``capacity`` that machine's bytes of memory.
    """

    lines: tuple[Line, ...]
    device: str
    capacity: int | None
    at_once: int

    @property
    def problems(self) -> dict[str, int]:
        """Each problem, and how many runs it keeps from running."""
        found: dict[str, int] = {}
        for line in self.lines:
            for problem in line.problems:
                found[problem] = found.get(problem, 0) + len(line.runs)
        return found

    @property
    def can_run(self) -> list[RunSettings]:
        """The runs without a problem, those that take longest first: side by side, workers then end at nearly the same time."""
        lines = sorted(self.lines, key=lambda line: -(line.cost.seconds or 0))  # otherwise in the profile's order
        return [run for line in lines if not line.problems for run in line.runs]

    def hours(self, lines: Sequence[Line]) -> float | None:
        """Of what is left of these lines, ``at_once`` runs at a time, the longest first; None where nothing of it is known."""
        known = [line for line in lines if line.hours is not None]
        if lines and not known:
            return None
        ends = [0.0] * self.at_once
        for line in sorted(known, key=lambda line: -(line.cost.seconds or 0)):
            for _ in range(len(line.runs) - line.finished):
                heapreplace(ends, ends[0] + line.cost.seconds / 3600)
        return max(ends)

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {
            "device": self.device,
            "device_memory": self.capacity,
            "runs_at_once": self.at_once,
            "runs": sum(len(line.runs) for line in self.lines),
            "can_run": len(self.can_run),
            "hours": self.hours(self.lines),
            "hours_of_what_can_run": self.hours([line for line in self.lines if not line.problems]),
            "problems": [{"problem": problem, "runs": count} for problem, count in self.problems.items()],
            "groups": [
                {
                    "dataset": line.runs[0].data.dataset,
                    "context": line.runs[0].data.context,
                    "system": line.runs[0].system,
                    "encoder": line.runs[0].encoder,
                    "runs": [run.run_id for run in line.runs],
                    "finished": line.finished,
                    "hours": line.hours,
                    "basis": line.cost.basis,
                    "memory": line.memory,
                    "problems": list(line.problems),
                }
                for line in self.lines
            ],
        }


def plan(
    runs: Sequence[RunSettings],
    folders: Folders,
    data_dir: Path | None,
    *,
    at_once: int = 1,
    threads: int | None = None,
    elsewhere: bool = False,
) -> Plan:
    """Looks at everything that the runs need.

    Args:
        runs: of a profile, those that others start from before these.
        folders: where finished runs and trained systems lie; records there tell what runs cost.
        data_dir: as for `iter_bench.data.load`.
        at_once: how many runs share this machine.
        threads: of each run; none: as many as this process has.
        elsewhere: the runs go to other machines, whose memory isn't known; hours are still those of this one.
    """
    device = default_device()
    described = environment.describe()
    described = described.model_copy(update={"threads": threads or described.threads})
    hardware = described.hardware(device.type)  # as records of such runs have it
    capacity = torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else described.memory
    if elsewhere:
        capacity = None
    costs = Costs(_readable(folders.records), hardware, device, described.threads)
    sizes, bad = _look_at_data({run.data: None for run in runs}, data_dir)
    blocked: set[str] = set()
    lines = []
    for group in _grouped(runs):
        first = group[0]
        encoder, problems = _encoder(first, runs, folders, blocked)
        found = [*dict.fromkeys(problem for run in group for problem in bad[run.data].problems), *problems]
        finished = [record for run in group if (record := folders.finished(run.run_id))]
        found += _of_other_data(finished, bad) + _of_other_weights(finished)
        memory = costs.memory(first, encoder, sizes[first.data])
        if memory and capacity and memory > capacity:
            found.append(
                f"{first.system} over {encoder} needs about {memory / 2**30:.0f} GiB to train with {first.training.at_once} "
                f"samples at once, and there are {capacity / 2**30:.0f}; take a smaller encoder, or set "
                "training.samples_at_once lower"
            )
        cost = costs.of(first, encoder, sizes[first.data]) if len(finished) < len(group) else Cost(0.0, "finished before")
        basis = [cost.basis, *dict.fromkeys(size.basis for size in sizes[first.data].values() if size.basis)]
        if found:
            blocked |= {run.run_id for run in group}
        cost = Cost(cost.seconds, "; ".join(basis))
        lines.append(Line(tuple(group), len(finished), encoder, cost, memory, tuple(found)))
    return Plan(tuple(lines), hardware, capacity, at_once)


def _readable(folder: Path) -> list[records.Record]:
    """The records of runs; one that can't be read is no reason to stop here, and ``iter-bench verify`` names it."""
    found = []
    for path in sorted(folder.glob("*.json")):
        with suppress(UserError):
            found.append(records.load(path))
    return found


def _grouped(runs: Sequence[RunSettings]) -> list[list[RunSettings]]:
    groups: dict[str, list[RunSettings]] = {}
    for run in runs:
        same = run.model_copy(update={"seed": 0, "data": run.data.model_copy(update={"fold": None})})
        key = same.model_copy(update={"encoder": TRAINED}) if run.encoder.startswith(TRAINED) else same
        groups.setdefault(f"{key.run_id} {_started_from(run, runs)}", []).append(run)
    return list(groups.values())


def _started_from(run: RunSettings, runs: Sequence[RunSettings]) -> str | None:
    """The encoder of the run that this one starts from; None where it starts from none of the profile's."""
    by_id = {other.run_id: other.encoder for other in runs} if run.encoder.startswith(TRAINED) else {}
    return by_id.get(run.encoder.removeprefix(TRAINED))


def _encoder(run: RunSettings, runs: Sequence[RunSettings], folders: Folders, blocked: set[str]) -> tuple[str, list[str]]:
    """Whose architecture the run has, and why its encoder can't be had."""
    if not run.encoder.startswith(TRAINED):
        problem = availability.problem(run.encoder)
        return run.encoder, [problem] if problem else []
    source = run.encoder.removeprefix(TRAINED)
    encoder = _started_from(run, runs)
    if source in blocked:
        return encoder or run.encoder, [f"runs that start from those of {encoder} need these first"]
    if encoder is None and not folders.system(source).is_dir():
        return run.encoder, [f"encoder {run.encoder}: {folders.system(source)} holds no trained system; do that run first"]
    return encoder or run.encoder, []


@dataclass(frozen=True, slots=True)
class _Look:
    """What loading showed: problems, or each split's fingerprint."""

    problems: tuple[str, ...] = ()
    sha256: Mapping[str, str] = field(default_factory=dict)


def _look_at_data(
    wanted: dict[DataSettings, None], data_dir: Path | None
) -> tuple[dict[DataSettings, dict[str, Size]], dict[DataSettings, _Look]]:
    sizes, looks = {}, {}
    for settings in wanted:
        try:
            if entry := catalogue.catalogue().get(settings.dataset):  # all files that lack are told, not the first
                parts = {part for role in ("train", "dev", "test") for part in (getattr(settings, role) or "").split("+")}
                entry.paths(settings.dataset, [split for split in entry.files if split in parts or entry.folds], data_dir)
            splits = load_splits(settings, data_dir)
        except UserError as error:
            sizes[settings], looks[settings] = _expected(settings), _Look((str(error),))
        else:
            sizes[settings] = {role: _counted(dataset) for role, dataset in splits.items()}
            looks[settings] = _Look(sha256={role: data.fingerprint(d.documents) for role, d in splits.items()})
    return sizes, looks


def _counted(dataset: Dataset) -> Size:
    own = [len(d.words) for d in dataset.documents]
    words = [count + len(d.context_before) + len(d.context_after) for count, d in zip(own, dataset.documents, strict=True)]
    return Size.of_words(len(words), sum(words), max(words, default=0), max(own, default=0))


def _expected(settings: DataSettings) -> dict[str, Size]:
    """Sizes of splits whose files aren't here, by the catalogue and Table 1."""
    entry = catalogue.catalogue().get(settings.dataset)
    workload = WORKLOADS.get(workload_of(settings), {})
    mean = workload["subtokens"][2] if workload else UNKNOWN_MEAN
    around = 2 * settings.context * SUBTOKENS_PER_WORD
    if entry and entry.format == "spert":  # whose files hold their context, perhaps less of it
        around = min(around, workload.get("context", math.inf))
    source = "samples as the catalogue expects, "
    source += "sub-tokens of Table 1" if workload else f"{UNKNOWN_MEAN} sub-tokens a sample assumed"
    sizes = {}
    for role in ("train", "dev", "test"):
        if split := getattr(settings, role):
            samples = sum(entry.samples.get(part, 0) for part in split.split("+")) if entry else 0
            if entry and entry.folds:
                share = 1 / entry.folds.count
                samples = round(entry.samples["all"] * (share if split == "test" else 1 - share))
            sizes[role] = Size(samples, mean + around, LONGEST * mean + around, LONGEST * mean, source)
    return sizes


def _of_other_data(finished: Sequence[records.Record], looks: dict[DataSettings, _Look]) -> list[str]:
    """Finished runs whose documents aren't those that are here now, as after a stand-in was exchanged for the data set."""
    other = [record.run_id for record in finished if other_documents(record, looks[record.settings.data].sha256)]
    if not other:
        return []
    return [f"{', '.join(other)}: finished on other data; take other folders by --results and --work for these"]


def _of_other_weights(finished: Sequence[records.Record]) -> list[str]:
    """Finished runs of one encoder, a folder, whose weights aren't those that are there now."""
    of = {str(record.weights): record for record in finished}  # one look a kind of weights
    changed = {weights for weights, record in of.items() if other_weights(record)}
    if not changed:
        return []
    other = ", ".join(record.run_id for record in finished if str(record.weights) in changed)
    holds = f"{other}: finished with other weights than {finished[0].settings.encoder} holds now"
    return [f"{holds}; take other folders by --results and --work for these"]
