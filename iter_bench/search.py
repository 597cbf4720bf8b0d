"""A hyper-parameter search: a file names the base run and the space, Optuna proposes, every trial is a run with a record.

A search file is TOML: ``trials``, ``base`` (the settings of a run) and ``space``, in which ``training.lr_encoder = { low =
2e-5, high = 1e-3, log = true }`` or ``model.activation = { choices = ["gelu", "relu"] }`` name what varies. The first trial
is the base itself, so that no search ends worse than what it began with. Trials are scored on the split that the base calls
its test; no split of a search may hold the test split (``test``, or ``all`` of a data set with folds).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from iter_bench import records
from iter_bench.errors import ProcessKilled, UserError
from iter_bench.execution import Engine, Execute, Report
from iter_bench.settings import RunSettings, Settings, load_named, value_of, with_value

SEARCHES = Path(__file__).parent / "searches"


class Range(Settings):
    """Numbers from ``low`` to ``high``, whole ones if both are."""

    low: int | float
    high: int | float
    log: bool = False

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


class Choices(Settings):
    """One of a few values."""

    choices: list[Any] = Field(min_length=2)

    def __str__(self) -> str:
        return " or ".join(map(str, self.choices))


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
        for role in ("train", "dev", "test"):
            varied = self.space.get(f"data.{role}")
            for split in (getattr(self.base.data, role), *(varied.choices if isinstance(varied, Choices) else ())):
                if not {"test", "all"}.isdisjoint(str(split).split("+")):
                    raise ValueError(
                        f'a search that looks at the test split spoils it: data.{role} is "{split}"; name splits without '
                        'it, as in base.data.test = "dev"'
                    )
        if lacking := [name for name, domain in self.space.items() if not _holds(domain, self.own().get(name))]:
            raise ValueError(
                f"the first trial is the base itself: give it a value within the space for {', '.join(lacking)}, as in "
                "base.model.dropout = 0.3"
            )
        self.run(self.own())
        return self

    def own(self) -> dict[str, Any]:
        """The base's own value of everything that varies; what it doesn't name is left out."""
        return self._values(self.base)

    def _values(self, run: RunSettings) -> dict[str, Any]:
        values = run.model_dump()
        return {name: value for name in self.space if (value := value_of(values, name)) is not None}

    def run(self, parameters: dict[str, Any]) -> RunSettings:
        """The base with other values, named as ``training.lr_encoder``."""
        values = self.base.model_dump()
        for name, value in parameters.items():
            values = with_value(values, name, value)
        return RunSettings.model_validate(values)

    def domains(self) -> dict[str, Any]:
        """The space as Optuna has it."""
        return {name: _distribution(domain) for name, domain in self.space.items()}

    def parameters(self, run: RunSettings) -> dict[str, Any] | None:
        """What ``run`` was called with to give that run; None where it is no trial of this search."""
        found = self._values(run)
        if any(name not in found or not _holds(domain, found[name]) for name, domain in self.space.items()):
            return None
        return found if self.run(found) == run else None

    def reached(self, record: records.Record) -> float:
        """F1 of a trial by what is maximised."""
        return record.scores.test["strict"][self.objective].f1


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
    return load_named(Search, name, SEARCHES, "search")


def optimise(
    search: Search,
    execute: Execute,
    *,
    engine: Engine,
    report: Report,
    journal: Path,
    stored: Path,
    recorded: bool = False,
) -> tuple[list[records.Record], dict[str, str]]:
    """Runs what is left of the search.

    Args:
        execute: does one run, as for ``execution.execute_all``.
        engine: `execution.processes`, which takes a trial when it can begin it; each is proposed from those that ended.
        report: as for ``execution.execute_all``; told of trials that were finished before too.
        journal: Optuna's file; a search goes on from it, and repeats the trials that were cut off.
        stored: folder of the records.
        recorded: trials that have a record there count, wherever they ran; else only those of the journal.

    Returns:
        The records of all trials, best first, and for each failed run id its reason.

    Raises:
        UserError: the process of a trial was killed each time it was tried; all others are finished.
    """
    study = _study(search, journal, records.load_all(stored) if recorded else ())
    done: dict[str, records.Record] = {}
    failed: dict[str, str] = {}
    killed: list[str] = []
    asked: dict[str, list[Any]] = {}  # by run id; a space of few choices may give one twice
    left = search.trials - len(study.get_trials(states=_states("COMPLETE", "PRUNED")))
    for trial in study.get_trials(states=_states("COMPLETE")):
        run = search.run(trial.params)
        done[run.run_id] = records.find(stored, run.run_id) or execute(run, partial(report, run))
        report(run, {"finished": done[run.run_id]})
    for trial in study.get_trials(states=_states("PRUNED")):
        run, reason = search.run(trial.params), trial.user_attrs["reason"]
        failed[run.run_id] = reason
        report(run, {"failed": reason})

    def proposed() -> Iterator[RunSettings]:
        for _ in range(left):
            trial = study.ask(search.domains())
            run = search.run(trial.params)
            asked.setdefault(run.run_id, []).append(trial)
            yield run

    for run, result in engine(proposed(), execute, report):
        trial = asked[run.run_id].pop()
        try:
            record = result()
        except ProcessKilled as error:  # says nothing of the setting: it's tried again when the search is
            killed.append(f"{run.run_id}: {error}")
            report(run, {"failed": str(error)})
        except (UserError, FloatingPointError) as error:
            failed[run.run_id] = str(error)
            trial.set_user_attr("reason", str(error))
            study.tell(trial, state=_states("PRUNED")[0])
            report(run, {"failed": str(error)})
        else:
            done[run.run_id] = record
            study.tell(trial, search.reached(record))
            report(run, {"finished": record})
    if killed:
        raise UserError(
            "\n".join((*killed, "All other trials are kept: run the search again, with fewer workers if memory is short"))
        )
    return sorted(done.values(), key=search.reached, reverse=True), failed


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


def _states(*names: str) -> tuple[Any, ...]:
    from optuna.trial import TrialState

    return tuple(TrialState[name] for name in names)


def _study(search: Search, journal: Path, elsewhere: Sequence[records.Record]) -> Any:
    """The study in its journal, with trials of ``elsewhere``; those that an earlier process left running are queued again."""
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
    known = [trial.params for trial in study.get_trials(states=_states("COMPLETE"))]
    for record in sorted(elsewhere, key=lambda record: record.finished):
        parameters = search.parameters(record.settings)
        if parameters is not None and parameters not in known:
            value = search.reached(record)
            study.add_trial(optuna.trial.create_trial(params=parameters, distributions=search.domains(), value=value))
    # a sampler with the same seed would propose again what it proposed before the interruption
    study.sampler = optuna.samplers.TPESampler(seed=search.sampler_seed + len(study.trials), constant_liar=True)
    if not study.get_trials(states=_states("WAITING")) and search.own() not in [trial.params for trial in study.trials]:
        study.enqueue_trial(search.own())  # records from elsewhere may lack the base
    for trial in study.get_trials(states=_states("RUNNING")):
        study.tell(trial.number, state=_states("FAIL")[0])
        study.enqueue_trial(trial.params)
    return study


def _distribution(domain: Range | Choices) -> Any:
    from optuna import distributions

    if isinstance(domain, Choices):
        return distributions.CategoricalDistribution(domain.choices)
    if isinstance(domain.low, int) and isinstance(domain.high, int):
        return distributions.IntDistribution(domain.low, domain.high, log=domain.log)
    return distributions.FloatDistribution(domain.low, domain.high, log=domain.log)
