"""Everything that decides a throughput measurement: systems, documents, batch size, rules, machine."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import PurePath
from typing import Annotated, Any

from pydantic import Field, model_validator

from iter_bench.settings import DataSettings, Settings, content_id

WORKLOADS: dict[str, dict[str, Any]] = tomllib.loads(files(__package__).joinpath("workloads.toml").read_text(encoding="utf-8"))
"""The data sets of ``workloads.toml``, by name."""
_OF_DATASET = {
    "conll04": "conll04",
    "ace05": "ace05",
    "ace05_asp": "ace05-context",
    "conll03_sentence": "conll03",
    "conll03": "conll03-document",
}


def workload_of(data: DataSettings) -> str | None:
    """The name in ``WORKLOADS`` with the lengths of those documents; None: there is none."""
    name = _OF_DATASET.get(data.dataset)
    return "ace05-context" if name == "ace05" and data.context else name


Length = Annotated[int, Field(ge=8)]
BatchSize = Annotated[int, Field(ge=1)]
Density = Annotated[float, Field(ge=0, le=20)]
DENSITY = 15.0
"""Gold entities per 100 words of documents of one length; CoNLL04 has 13, ACE05 18."""


class Rules(Settings):
    """What a measurement must have, and may not exceed, to be VALID."""

    warm_up: float = Field(1.0, gt=0, description="seconds of untimed calls, two calls at least")
    repetitions: int = Field(10, ge=3, description="timed calls of each system, at least")
    seconds: float = Field(3.0, ge=0, description="timed seconds of each system, at least")
    limit: float = Field(
        120.0, gt=0, description="seconds after which no further round begins, even if the run is short or drifts"
    )
    drift: float = Field(0.05, gt=0, description="most that the medians of the first and last third may differ, relatively")
    others: float = Field(0.1, ge=0, le=1, description="largest share of the usable cores' time that others may take")


class Workload(Settings):
    """Documents, the same for every system; lengths are in MiniLM's sub-tokens, special ones included."""

    name: str = Field(description="a data set of workloads.toml, or length-N")
    count: int = Field(ge=1, description="documents a call; a corpus that has fewer gives all")
    shortest: int = Field(ge=1)
    longest: Length
    mean: float = Field(gt=0)
    context: float = Field(0, ge=0, description="mean sub-tokens around each document that only give context")
    density: Density = Field(DENSITY, description="gold entities per 100 words")
    relations: bool = Field(
        True,
        exclude_if=lambda value: value,  # cells keep the id that they had before there was such a field
        description="whether there are any; without, systems have no part for them",
    )
    corpus: str | None = Field(None, description="catalogue name whose test split these are")
    seed: int = Field(1, ge=0)

    @property
    def length(self) -> int | None:
        """The one length of all documents, or None."""
        return self.longest if self.shortest == self.longest else None


class Subject(Settings):
    """A system to measure: new weights over an encoder, or a trained system's folder."""

    system: str
    encoder: str = "minilm"
    model: dict[str, Any] = Field(default_factory=dict, description="the system's own settings")
    trained: str | None = Field(None, description="folder of a trained system; its own encoder and settings hold")

    @property
    def weights(self) -> str:
        """The encoder, or the trained system's folder; of an absolute path the last part, or two: ``NAME/system``."""
        path = PurePath(self.trained or self.encoder)
        if not path.is_absolute():
            return self.trained or self.encoder
        return "/".join(path.parts[1:][-2 if self.trained else -1 :])

    @model_validator(mode="after")
    def _one_source(self) -> Subject:
        if self.trained is not None and (self.model or self.encoder != type(self).model_fields["encoder"].default):
            raise ValueError("a trained system has its own encoder and settings: leave out encoder and model")
        return self


class CellSettings(Settings):
    """Everything that decides a measurement, the machine included: another machine measures anew."""

    subject: Subject
    lineup: tuple[Subject, ...] = Field(description="all systems that the sweep compares here, whether or not they could run")
    workload: Workload
    batch_size: BatchSize
    rules: Rules
    hardware: str

    @model_validator(mode="after")
    def _compared(self) -> CellSettings:
        if self.subject not in self.lineup:
            raise ValueError("the subject is none of the lineup's, which were compared")
        return self

    @property
    def run_id(self) -> str:
        """The settings' content."""
        return content_id(self)
