"""A profile: the runs that belong together, as a file, and their execution.

A profile is a TOML file with groups of runs; a group is a run's settings with ``seeds`` (and ``folds``) in place of one
seed. Finished runs are recognised by their content and skipped, so an interrupted matrix goes on where it was; a run that
fails is listed with its reason and doesn't stop the others.
"""

from __future__ import annotations

import multiprocessing
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from iter_bench import records
from iter_bench.errors import SettingsError, UserError
from iter_bench.settings import DataSettings, RunSettings, Settings, TrainingSettings

PROFILES = Path(__file__).parent / "profiles"


class Group(Settings):
    """Runs that differ in seed or fold only; the other fields are those of ``RunSettings``."""

    system: str = "iter"
    encoder: str = "minilm"
    seeds: list[int] = Field([42], min_length=1)
    folds: list[int] = Field([], description="folds of a cross-validated data set; each is run with each seed")
    data: DataSettings = DataSettings()
    training: TrainingSettings = TrainingSettings()
    model: dict[str, Any] = Field(default_factory=dict)

    def runs(self) -> Iterator[RunSettings]:
        """The single runs."""
        for fold in self.folds or [self.data.fold]:
            for seed in self.seeds:
                data = self.data.model_copy(update={"fold": fold})
                yield RunSettings(
                    system=self.system, encoder=self.encoder, seed=seed, data=data, training=self.training, model=self.model
                )


class Profile(Settings):
    """What a profile file holds."""

    description: str
    group: list[Group] = Field(min_length=1)

    def runs(self) -> list[RunSettings]:
        """All runs, each once."""
        return list({run.run_id: run for group in self.group for run in group.runs()}.values())


def profile_names() -> list[str]:
    """The profiles that come with the package."""
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def load_profile(name: str) -> Profile:
    """A profile by its name in the package, or by its file.

    Raises:
        SettingsError: there is none, or the file isn't valid; every wrong field is named.
    """
    path = Path(name) if name.endswith(".toml") else PROFILES / f"{name}.toml"
    try:
        return Profile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        known = ", ".join(profile_names())
        raise SettingsError(f"no profile is called {name!r}; there are {known}, or name a .toml file") from None
    except ValidationError as error:
        wrong = "\n".join(f"{path}, {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SettingsError(wrong) from None
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise SettingsError(f"{path}: {error}") from None


Event = dict[str, Any]


def execute_all(
    runs: list[RunSettings],
    execute: Callable[[RunSettings, Callable[[Event], None] | None], records.Record],
    *,
    workers: int,
    report: Callable[[RunSettings, Event], None],
) -> tuple[list[records.Record], dict[str, str]]:
    """Executes the runs, ``workers`` at a time, each worker a process with its share of the cores.

    Args:
        execute: does one run; must be picklable for more than one worker.
        report: told of every epoch (with one worker), and of every run that ends: ``{"finished": record}`` or
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
            failed[run.run_id] = str(error)
            report(run, {"failed": str(error)})
        else:
            done.append(record)
            report(run, {"finished": record})

    if workers == 1:
        for run in runs:
            settle(run, lambda run=run: execute(run, lambda event: report(run, event)))
        return done, failed
    with pool(workers) as processes:
        futures = {processes.submit(execute, run, None): run for run in runs}
        for future in as_completed(futures):
            settle(futures[future], future.result)
    return done, failed


def pool(workers: int) -> ProcessPoolExecutor:
    """Processes that train side by side, each with its share of the cores."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_share_cores, initargs=(workers,))


def _share_cores(workers: int) -> None:
    import torch

    torch.set_num_threads(max(1, multiprocessing.cpu_count() // workers))
