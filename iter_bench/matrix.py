"""A profile: the runs that belong together, as a file, and their execution.

A profile is a TOML file with groups of runs; a group is a run's settings with ``seeds`` in place of one seed, and with several
encoders, folds and contexts where it says so. A recipe is the file of a run's settings, as ``iter-bench train --config`` takes
it and a search writes it; groups name recipes, so that hyper-parameters stand in one place (``docs/profiles.md``). Finished
runs are recognised by their content and skipped, so an interrupted matrix goes on where it was; a run that fails is listed with
its reason and doesn't stop the others.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import product
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, model_validator

from iter_bench import records
from iter_bench.cluster import launched
from iter_bench.errors import SettingsError, UserError
from iter_bench.settings import TRAINED, DataSettings, RunSettings, Settings, TrainingSettings, read_named, refusal

PROFILES = Path(__file__).parent / "profiles"
RECIPES = Path(__file__).parent / "recipes"


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
"""One name or several."""


class Group(Settings):
    """Runs that differ in encoder, seed, fold or context only; the other fields are those of ``RunSettings``."""

    system: str = "iter"
    encoder: Names = Field(["minilm"])
    seeds: list[int] = Field([42], min_length=1)
    folds: list[int] = Field([], description="folds of a cross-validated data set; each is run with each seed")
    contexts: list[int] = Field([], description="context words on each side of a sentence; each is run with each seed")
    start: str | None = Field(
        None, description="each run starts from the encoder that the profile's run on this data set with its seed trained"
    )
    data: DataSettings = DataSettings()
    training: TrainingSettings = TrainingSettings()
    model: dict[str, Any] = Field(default_factory=dict)

    def runs(self) -> Iterator[RunSettings]:
        """The single runs, each with the encoder as named."""
        folds, contexts = self.folds or [self.data.fold], self.contexts or [self.data.context]
        for encoder, context, fold, seed in product(self.encoder, contexts, folds, self.seeds):
            data = DataSettings.model_validate({**self.data.model_dump(), "fold": fold, "context": context})
            yield RunSettings(
                system=self.system, encoder=encoder, seed=seed, data=data, training=self.training, model=self.model
            )


_RECIPES = TypeAdapter(Annotated[list[str], BeforeValidator(_listed)])


class Profile(Settings):
    """A profile, after its includes and recipes were put in."""

    description: str
    group: list[Group] = Field(min_length=1)

    @model_validator(mode="after")
    def _can_be_run(self) -> Profile:
        self.runs()
        return self

    def runs(self) -> list[RunSettings]:
        """All runs, each once; one that starts from another comes after it."""
        found = {run.run_id: run for group in self.group if group.start is None for run in group.runs()}
        first = list(found.values())
        for group in self.group:
            for run in group.runs() if group.start is not None else ():
                run = run.model_copy(update={"encoder": TRAINED + _source(run, group.start, first).run_id})
                found[run.run_id] = run
        return list(found.values())


def _source(run: RunSettings, dataset: str, runs: Sequence[RunSettings]) -> RunSettings:
    same = [r for r in runs if (r.data.dataset, r.encoder, r.seed) == (dataset, run.encoder, run.seed) and r.system == "iter"]
    if len(same) != 1:
        raise ValueError(
            f"start: {len(same)} runs of ITER on {dataset} with encoder {run.encoder} and seed {run.seed} are in the profile; "
            "one is needed to start from"
        )
    return same[0]


class _File(Settings):
    """What a profile file holds; see ``docs/profiles.md``."""

    description: str
    include: Names = Field([], description="profiles whose groups come first")
    group: list[dict[str, Any]] = Field([])
    change: dict[str, Any] = Field({}, description="fields of a group, laid over every group, included ones too")


def profile_names() -> list[str]:
    """The profiles that come with the package."""
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def load_profile(name: str) -> Profile:
    """A profile by its name in the package, or by its file.

    Raises:
        SettingsError: there is none, or the file isn't valid; every wrong field is named.
    """
    return _load(name, ())


def _load(name: str, including: tuple[str, ...]) -> Profile:
    path, content = read_named(name, PROFILES, "profile")
    if name in including:
        raise SettingsError(f"{path}: includes itself, by way of {', '.join(including)}")
    try:
        file = _File.model_validate(content)
        groups = [
            group.model_dump(exclude_unset=True) for other in file.include for group in _load(other, (*including, name)).group
        ]
        groups += [_with_recipes(group) for group in file.group]
        return Profile(description=file.description, group=[_over(group, file.change) for group in groups])
    except ValidationError as error:
        raise refusal(error, str(path)) from None


def _with_recipes(group: dict[str, Any]) -> dict[str, Any]:
    """The group over the recipes that it names, a later one over an earlier."""
    merged: dict[str, Any] = {}
    for name in _RECIPES.validate_python(group.get("recipe", [])):
        path, content = read_named(name, RECIPES, "recipe")
        try:
            RunSettings.model_validate(content)
        except ValidationError as error:
            raise refusal(error, str(path)) from None
        content.pop("seed", None)  # the group has its own
        merged = _over(merged, content)
    return _over(merged, {name: value for name, value in group.items() if name != "recipe"})


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both, tables within them merged likewise; where they disagree, what ``above`` says."""
    merged = dict(below)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _over(merged[name], value) if both else value
    return merged


Event = dict[str, Any]

POLL = 0.2  # seconds between looks at what workers tell
ATTEMPTS = 3


def execute_all(
    runs: list[RunSettings],
    execute: Callable[[RunSettings, Callable[[Event], None] | None], records.Record],
    *,
    workers: int,
    report: Callable[[RunSettings, Event], None],
) -> tuple[list[records.Record], dict[str, str]]:
    """Executes the runs, ``workers`` at a time, each worker a process with its share of the cores.

    A run whose process is killed is repeated and goes on after its last whole epoch.

    Args:
        execute: does one run; must be picklable for more than one worker.
        report: told of every step and epoch, and of every run that ends: ``{"finished": record}`` or
            ``{"failed": reason}``.

    Returns:
        The records, and for each failed run id its reason.
    """
    done: list[records.Record] = []
    failed: dict[str, str] = {}

    def settle(run: RunSettings, result: Callable[[], records.Record]) -> None:
        try:
            record = result()
        except (UserError, FloatingPointError) as error:
            if launched.count() > 1:  # the others are in the midst of this run, and can't go on to the next
                raise
            failed[run.run_id] = str(error)
            report(run, {"failed": str(error)})
        else:
            done.append(record)
            report(run, {"finished": record})

    if workers == 1:
        for run in runs:
            settle(run, lambda run=run: execute(run, lambda event: report(run, event)))
        return done, failed
    started = [run for run in runs if run.encoder.startswith(TRAINED)]  # these need what others train
    for wave in ([run for run in runs if run not in started], started):
        left = wave
        for _ in range(ATTEMPTS):  # a killed process takes its pool with it; unfinished runs go on in a new one
            left = _side_by_side(left, execute, workers, settle, report) if left else []
        for run in left:
            failed[run.run_id] = f"its process, or one beside it, was killed {ATTEMPTS} times; is memory short?"
            report(run, {"failed": failed[run.run_id]})
    return done, failed


def _side_by_side(
    runs: Sequence[RunSettings],
    execute: Callable[..., records.Record],
    workers: int,
    settle: Callable[[RunSettings, Callable[[], records.Record]], None],
    report: Callable[[RunSettings, Event], None],
) -> list[RunSettings]:
    """Executes the runs in worker processes; gives those that a killed process left unfinished."""
    told = multiprocessing.get_context("spawn").SimpleQueue()
    unfinished = []
    with pool(min(workers, len(runs)), told) as processes:
        futures = {processes.submit(_tell, execute, run): run for run in runs}
        left = set(futures)
        while left:
            ended, left = wait(left, timeout=POLL)
            while not told.empty():
                report(*told.get())
            for future in ended:
                if isinstance(future.exception(), BrokenProcessPool):
                    unfinished.append(futures[future])
                else:
                    settle(futures[future], future.result)
    return unfinished


def pool(workers: int, told: SimpleQueue[tuple[RunSettings, Event]] | None = None) -> ProcessPoolExecutor:
    """Processes that train side by side, each with its share of the cores; events of runs may go into ``told``."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(workers, told))


_told: SimpleQueue[tuple[RunSettings, Event]] | None = None  # of a worker process


def _start(workers: int, told: SimpleQueue[tuple[RunSettings, Event]] | None) -> None:
    import torch

    global _told
    _told = told
    torch.set_num_threads(max(1, multiprocessing.cpu_count() // workers))


def _tell(execute: Callable[[RunSettings, Callable[[Event], None]], records.Record], run: RunSettings) -> records.Record:
    """One run in a worker process, which tells the first process of it."""
    return execute(run, lambda event: _told.put((run, event)))
