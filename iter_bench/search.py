"""A hyper-parameter search: a file names the base run and the space, Optuna proposes, every trial is a run with a record.

A search file is TOML: ``trials``, ``base`` (the settings of a run) and ``space``, in which ``training.lr_encoder = { low =
2e-5, high = 1e-3, log = true }`` or ``model.activation = { choices = ["gelu", "relu"] }`` name what varies. The first trial
is the base itself, so that no search ends worse than what it began with. Trials are scored on the split that the base calls
its test; that must not be the test split itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from iter_bench import execution, records
from iter_bench.errors import UserError
from iter_bench.settings import RunSettings, Settings, read_named, refusal

SEARCHES = Path(__file__).parent / "searches"


class Range(Settings):
    """Numbers from ``low`` to ``high``, whole ones if both are."""

    low: int | float
    high: int | float
    log: bool = False


class Choices(Settings):
    """One of a few values."""

    choices: list[Any] = Field(min_length=2)


class Search(Settings):
    """What a search file holds."""

    description: str
    trials: int = Field(ge=1)
    sampler_seed: int = Field(0, ge=0, description="of the proposals; a run's seed is that of ``base``")
    objective: Literal["ner", "re_plus"] = "re_plus"
    base: RunSettings
    space: dict[str, Range | Choices] = Field(min_length=1)

    @model_validator(mode="after")
    def _never_on_test(self) -> Search:
        if self.base.data.test == "test":
            raise ValueError('a search that looks at the test split spoils it: set base.data.test to "dev"')
        if lacking := [name for name, domain in self.space.items() if not _holds(domain, self.own().get(name))]:
            raise ValueError(
                f"the first trial is the base itself: give it a value within the space for {', '.join(lacking)}, as in "
                "base.model.dropout = 0.3"
            )
        self.run(self.own())
        return self

    def own(self) -> dict[str, Any]:
        """The base's own value of everything that varies; what it doesn't name is left out."""
        found, values = {}, self.base.model_dump()
        for name in self.space:
            *parents, last = name.split(".")
            place = values
            for parent in parents:
                place = place.get(parent, {}) if isinstance(place, dict) else {}
            if isinstance(place, dict) and last in place:
                found[name] = place[last]
        return found

    def run(self, parameters: dict[str, Any]) -> RunSettings:
        """The base with other values, named as ``training.lr_encoder``."""
        values = self.base.model_dump()
        for name, value in parameters.items():
            *parents, last = name.split(".")
            place = values
            for parent in parents:
                place = place[parent]
            place[last] = value
        return RunSettings.model_validate(values)


def _holds(domain: Range | Choices, value: Any) -> bool:
    if isinstance(domain, Choices):
        return value in domain.choices
    return isinstance(value, int | float) and domain.low <= value <= domain.high


def search_names() -> list[str]:
    """The searches that come with the package."""
    return sorted(path.stem for path in SEARCHES.glob("*.toml"))


def load_search(name: str) -> Search:
    """A search by its name in the package, or by its file.

    Raises:
        SettingsError: there is none, or the file isn't valid; every wrong field is named.
    """
    path, content = read_named(name, SEARCHES, "search")
    try:
        return Search.model_validate(content)
    except ValidationError as error:
        raise refusal(error, str(path)) from None


def optimise(
    search: Search,
    execute: Callable[[RunSettings, None], records.Record],
    *,
    journal: Path,
    workers: int,
    report: Callable[[RunSettings, dict[str, Any]], None],
) -> tuple[list[records.Record], dict[str, str]]:
    """Runs what is left of the search, ``workers`` trials at a time.

    Args:
        execute: does one run; must be picklable. A run finished before gives its record at once.
        journal: Optuna's file; a search goes on from it, and repeats the trials that were cut off.
        report: told of every trial that ends, as by ``execution.execute_all``.

    Returns:
        The records of all trials, best first, and for each failed run id its reason.
    """
    study = _study(search, journal)
    done: dict[str, records.Record] = {}
    failed: dict[str, str] = {}
    for trial in study.get_trials(states=_states("COMPLETE")):
        record = execute(search.run(trial.params), None)  # was finished before
        done[record.run_id] = record
    for trial in study.get_trials(states=_states("PRUNED")):
        failed[search.run(trial.params).run_id] = trial.user_attrs["reason"]
    left = search.trials - len(study.get_trials(states=_states("COMPLETE", "PRUNED")))
    pending: dict[Future[records.Record], tuple[Any, RunSettings]] = {}
    with execution.pool(workers) as pool:
        while left > 0 or pending:
            while left > 0 and len(pending) < workers:
                trial = study.ask()
                run = search.run({name: _suggest(trial, name, domain) for name, domain in search.space.items()})
                pending[pool.submit(execute, run, None)] = (trial, run)
                left -= 1
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                trial, run = pending.pop(future)
                try:
                    record = future.result()
                except (UserError, FloatingPointError) as error:
                    failed[run.run_id] = str(error)
                    trial.set_user_attr("reason", str(error))
                    study.tell(trial, state=_states("PRUNED")[0])
                    report(run, {"failed": str(error)})
                except BrokenProcessPool:
                    killed = f"a trial's process was killed, {run.run_id} or one beside it; is memory short?"
                    raise UserError(f"{killed} Finished trials are kept, run it again") from None
                else:
                    done[record.run_id] = record
                    study.tell(trial, _value(search, record))
                    report(run, {"finished": record})
    return sorted(done.values(), key=lambda record: _value(search, record), reverse=True), failed


def write_best(search: Search, best: records.Record, path: Path) -> None:
    """The best trial's settings as a file for ``iter-bench train --config`` and for a profile's ``recipe``.

    It has the split names of the base; a profile that scores on the test split says so itself.
    """
    settings = best.settings.model_dump(mode="json", exclude_defaults=True)
    lines = [f"# Best of {search.trials} trials ({search.description}) Run {best.run_id}."]
    lines += [f"{name} = {json.dumps(value)}" for name, value in settings.items() if not isinstance(value, dict)]
    for table, values in settings.items():
        if isinstance(values, dict):
            lines += ["", f"[{table}]"]
            lines += [f"{name} = {json.dumps('none' if value is None else value)}" for name, value in values.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _value(search: Search, record: records.Record) -> float:
    return record.scores.test["strict"][search.objective].f1


def _states(*names: str) -> tuple[Any, ...]:
    from optuna.trial import TrialState

    return tuple(TrialState[name] for name in names)


def _study(search: Search, journal: Path) -> Any:
    """The study in its journal; trials that an earlier process left running are put back in the queue."""
    try:
        import optuna
    except ImportError:
        raise UserError("a search needs Optuna: pip install 'iter-bench[search]'") from None
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=json.dumps(search.model_dump(mode="json", exclude={"trials", "description"}), sort_keys=True),
        storage=optuna.storages.JournalStorage(JournalFileBackend(str(journal))),
        direction="maximize",
        load_if_exists=True,
    )
    # a sampler with the same seed would propose again what it proposed before the interruption
    study.sampler = optuna.samplers.TPESampler(seed=search.sampler_seed + len(study.trials), constant_liar=True)
    if not study.trials:
        study.enqueue_trial(search.own())
    for trial in study.get_trials(states=_states("RUNNING")):
        study.tell(trial.number, state=_states("FAIL")[0])
        study.enqueue_trial(trial.params)
    return study


def _suggest(trial: Any, name: str, domain: Range | Choices) -> Any:
    if isinstance(domain, Choices):
        return trial.suggest_categorical(name, domain.choices)
    suggest = trial.suggest_int if isinstance(domain.low, int) and isinstance(domain.high, int) else trial.suggest_float
    return suggest(name, domain.low, domain.high, log=domain.log)
