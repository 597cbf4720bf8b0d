"""A profile: the runs that belong together, as a file.

A profile is a TOML file with groups of runs; a group is a run's settings with ``seeds`` in place of one seed, and with several
encoders, folds and contexts where it says so. A recipe is the file of a run's settings, as ``iter-bench train --config`` takes
it and a search writes it; groups name recipes, so that hyper-parameters stand in one place (``docs/profiles.md``). Finished
runs are recognised by their content and skipped, so an interrupted matrix goes on where it was; a run that fails is listed with
its reason and doesn't stop the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from iter_bench.errors import SettingsError
from iter_bench.settings import TRAINED, DataSettings, RunSettings, Settings, TrainingSettings, read_named, validated

PROFILES = Path(__file__).parent / "profiles"
RECIPES = Path(__file__).parent / "recipes"


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
"""One name or several."""


class Resources(Settings):
    """What each run of a group is given on Ray (``docs/scaling.md``); like the machine, it's no part of what a run is."""

    cpus: int = Field(1, ge=1, description="cores, and threads of the run")
    gpus: float | None = Field(None, ge=0, description="below 1: several runs share one; none: 1 where the cluster has any")
    memory: float | None = Field(None, gt=0, description="GiB that must be left on the machine")

    @field_validator("gpus")
    @classmethod
    def _whole_above_one(cls, gpus: float | None) -> float | None:
        if gpus is not None and gpus > 1 and gpus != int(gpus):
            raise ValueError("should be a part of one GPU, or a whole number")
        return gpus


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
    resources: Resources = Resources()

    def runs(self) -> Iterator[RunSettings]:
        """The single runs, each with the encoder as named."""
        folds, contexts = self.folds or [self.data.fold], self.contexts or [self.data.context]
        for encoder, context, fold, seed in product(self.encoder, contexts, folds, self.seeds):
            data = DataSettings.model_validate({**self.data.model_dump(), "fold": fold, "context": context})
            yield RunSettings(
                system=self.system, encoder=encoder, seed=seed, data=data, training=self.training, model=self.model
            )


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
        return [run for run, _ in self._found().values()]

    def resources(self) -> dict[str, Resources]:
        """What each run is given on Ray, by run id; of a run in several groups the last one says."""
        return {run_id: resources for run_id, (_, resources) in self._found().items()}

    def _found(self) -> dict[str, tuple[RunSettings, Resources]]:
        found = {run.run_id: (run, group.resources) for group in self.group if group.start is None for run in group.runs()}
        first = [run for run, _ in found.values()]
        for group in self.group:
            for run in group.runs() if group.start is not None else ():
                run = run.model_copy(update={"encoder": TRAINED + _source(run, group.start, first).run_id})
                found[run.run_id] = run, group.resources
        return found


def share(runs: Sequence[RunSettings], part: int, of: int) -> list[RunSettings]:
    """The ``part``-th of ``of`` shares, counted from 1; a run that starts from another of the runs is in that one's share."""
    trained = {TRAINED + run.run_id for run in runs}
    mine = [run for run in runs if run.encoder not in trained][part - 1 :: of]
    sources = {TRAINED + run.run_id for run in mine}
    return mine + [run for run in runs if run.encoder in sources]


def _source(run: RunSettings, dataset: str, runs: Sequence[RunSettings]) -> RunSettings:
    same = [r for r in runs if (r.data.dataset, r.encoder, r.seed) == (dataset, run.encoder, run.seed) and r.system == "iter"]
    if len(same) != 1:
        raise ValueError(
            f"start: {len(same)} runs of ITER on {dataset} with encoder {run.encoder} and seed {run.seed} are in the profile; "
            "one is needed to start from"
        )
    return same[0]


class _FileGroup(Settings):
    """A group as a profile file has it: the recipes, and what stands over them."""

    model_config = ConfigDict(extra="allow")
    recipe: Annotated[list[str], BeforeValidator(_listed)] = Field([])


class _File(Settings):
    """What a profile file holds; see ``docs/profiles.md``."""

    description: str
    include: Names = Field([], description="profiles whose groups come first")
    group: list[_FileGroup] = Field([])
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
    file = validated(_File, content, path)
    groups = [
        group.model_dump(exclude_unset=True) for other in file.include for group in _load(other, (*including, name)).group
    ]
    groups += [_with_recipes(group) for group in file.group]
    laid_over = [_over(group, file.change) for group in groups]
    return validated(Profile, {"description": file.description, "group": laid_over}, path)


def _with_recipes(group: _FileGroup) -> dict[str, Any]:
    """The group over the recipes that it names, a later one over an earlier."""
    merged: dict[str, Any] = {}
    for name in group.recipe:
        path, content = read_named(name, RECIPES, "recipe")
        validated(RunSettings, content, path)
        content.pop("seed", None)  # the group has its own
        merged = _over(merged, content)
    return _over(merged, group.model_extra)


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both, tables within them merged likewise; where they disagree, what ``above`` says."""
    merged = dict(below)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _over(merged[name], value) if both else value
    return merged
