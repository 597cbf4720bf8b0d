"""What a record holds.

``docs/records.md`` explains every field. Measured floats keep six significant digits, so that files stay readable and a
record equals what is loaded from its file; settings keep all digits.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from iter_bench import __version__
from iter_bench.data.stand_in import NOTE as STAND_IN
from iter_bench.document import Dataset
from iter_bench.environment import Environment
from iter_bench.mistakes import CLASSES, Kind, Mistakes
from iter_bench.scoring import CONVENTIONS, CRITERIA, Convention, Criterion
from iter_bench.settings import RunSettings

SCHEMA_VERSION = 3


def _six_digits(value: float) -> float:
    return float(f"{value:.6g}")


Measured = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(_six_digits)]
Ratio = Annotated[float, Field(ge=0, le=1), AfterValidator(_six_digits)]
Number = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_six_digits)]
Count = Annotated[int, Field(ge=0, le=2**53)]
"""No larger than what a float holds exactly, so that ratios of any can be taken."""
Role = Literal["train", "dev", "test"]
RunId = Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Part(BaseModel):
    """Base of a record's parts: immutable, and strict about names."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Ratios(Part):
    """Precision, recall and F1."""

    precision: Ratio
    recall: Ratio
    f1: Ratio


class Tally(Ratios):
    """Ratios with the counts that they come from."""

    tp: Count
    fp: Count
    fn: Count


class Score(Tally):
    """What `scoring.score` gives for one convention and criterion."""

    macro: Ratios
    per_type: dict[str, Tally]


def _complete(scores: dict[Convention, dict[Criterion, Score]]) -> dict[Convention, dict[Criterion, Score]]:
    """Tables look up every convention, each by the same criteria: ``ner`` alone, or all."""
    criteria = CRITERIA if any(len(by_criterion) > 1 for by_criterion in scores.values()) else CRITERIA[:1]
    wanted = {f"{convention}.{criterion}" for convention in CONVENTIONS for criterion in criteria}
    found = {f"{convention}.{criterion}" for convention, by_criterion in scores.items() for criterion in by_criterion}
    if lacking := sorted(wanted - found):
        raise ValueError(f"lacks {', '.join(lacking)}; restore the record, or do the run again")
    return scores


Scores = Annotated[dict[Convention, dict[Criterion, Score]], AfterValidator(_complete)]


def _classified(counts: Mistakes) -> Mistakes:
    """Nothing, or every class of entities, and of relations and what is given if there are any."""
    if counts and set(counts) not in ({"entities"}, set(CLASSES)):
        raise ValueError(f"holds {', '.join(counts)}, not entities alone or {', '.join(CLASSES)}")
    for kind, classes in counts.items():
        if differing := sorted(set(classes) ^ set(CLASSES[kind])):
            raise ValueError(f"{kind}: the classes are {', '.join(CLASSES[kind])}; wrong or missing: {', '.join(differing)}")
    return counts


def _tested(data: dict[Role, SplitData]) -> dict[Role, SplitData]:
    if "test" not in data:
        raise ValueError("lacks test, the split that was scored; restore the record, or do the run again")
    return data


def _counts(value: object) -> object:
    if isinstance(value, str):
        return [part.split("/") for part in value.split()]
    return value


DocumentCounts = Annotated[
    tuple[tuple[Count, Count, Count], ...],
    BeforeValidator(_counts),
    PlainSerializer(lambda counts: " ".join("/".join(map(str, document)) for document in counts)),
]
"""(tp, fp, fn) of each document; in a file ``tp/fp/fn`` with spaces between, so that it takes a line and not a screen."""


class SplitScores(Part):
    """Scores of the final model; ``dev`` where the run had a development split."""

    test: Scores
    dev: Scores | None = None


class SplitData(Part):
    """What a split held.

    Attributes:
        split: its name, such as ``train+dev``.
        sha256: `iter_bench.data.fingerprint` of its documents.
        documents, words, entities, relations: counts; the last two of gold.
        unreachable: gold items that the system can't express under its settings, counted by reason.
        ceiling: F1 (``strict``) by criterion that a prediction of all that is reachable gets; empty where all is.
        notes: what the load changed or left out, by what it was.
    """

    split: str
    sha256: Sha256
    documents: Count
    words: Count
    entities: Count
    relations: Count
    unreachable: dict[str, Count] = {}
    ceiling: dict[Criterion, Ratio] = {}
    notes: dict[str, Count] = {}


class EncoderWeights(Part):
    """The weights that the name of the encoder gave when the run began.

    Attributes:
        commit: of the hub's repository; None of a folder's.
        sha256: of each file, by its name; empty where weights were random.
    """

    commit: str | None = None
    sha256: dict[str, Sha256] = {}


class Epoch(Part):
    """One epoch of training, as the training loop reports it.

    Attributes:
        epoch: from 0.
        stage: the part that was trained, of a system with several; epochs count anew in each.
        loss: mean loss a sample by part; their sum is the loss. Of records before version 3 see `Record.loss`.
        dev: F1 on dev by criterion, convention ``strict``; empty without dev.
        train_seconds: without dev scoring.
        seconds: with it.
        selected: the best so far; the last selected epoch's weights are those that were scored.
    """

    epoch: Count
    stage: str | None = None
    loss: dict[str, Number]
    dev: dict[Criterion, Ratio] = {}
    train_seconds: Measured
    seconds: Measured
    selected: bool


class Prediction(Part):
    """The scored prediction of the test split, documents to extractions: not a benchmark of throughput, one pass."""

    documents: Count
    seconds: Measured
    batch_size: Annotated[int, Field(ge=1)]

    @property
    def samples_per_second(self) -> float:
        """Documents a second."""
        return self.documents / self.seconds if self.seconds else float("nan")


class PeakMemory(Part):
    """Bytes: resident set of the process, and what torch allocated on the device (None on the CPU)."""

    host: Count | None = None
    device: Count | None = None


class LambdaPoint(Ratios):
    """RE+ (strict) on the test split at one decision boundary λ."""

    lambda_: Annotated[Ratio, Field(alias="lambda")]


class AnyRecord(Part, ABC):
    """What records of every kind have: an id by which a finished one is found, and a file name that ends in it."""

    run_id: RunId

    @property
    @abstractmethod
    def file_name(self) -> str:
        """``<what it is about>-<run_id>.json``."""


class Record(AnyRecord):
    """One finished run. Fields are explained in ``docs/records.md``."""

    schema_version: Literal[1, 2, 3] = SCHEMA_VERSION
    kind: Literal["run"] = "run"
    version: str = __version__
    settings: RunSettings
    scores: SplitScores
    data: Annotated[dict[Role, SplitData], AfterValidator(_tested)]
    weights: EncoderWeights | None = None
    history: list[Epoch] = []
    durations: dict[str, Measured] = {}
    prediction: Prediction | None = None
    peak_memory: PeakMemory = PeakMemory()
    documents: dict[Criterion, DocumentCounts] = {}
    mistakes: Annotated[dict[Kind, dict[str, Count]], AfterValidator(_classified)] = {}
    parameters: Count
    device: str
    processes: Annotated[int, Field(ge=1)] = 1
    lambda_curve: list[LambdaPoint] | None = None
    environment: Environment
    started: AwareDatetime
    finished: AwareDatetime

    @property
    def system(self) -> str:
        """The registered name of the system."""
        return self.settings.system

    @property
    def dataset(self) -> str:
        """The data set; in brackets the split that was scored where that is not ``test``, and whether a stand-in was read.

        ``conll04 (dev)`` and ``ace05 (stand-in)`` are other names than those of the data sets, so that no table mixes them.
        """
        data = self.settings.data
        apart = ["stand-in"] if any(STAND_IN in split.notes for split in self.data.values()) else []
        apart += [data.test] if data.test != "test" else []
        return f"{data.dataset} ({', '.join(apart)})" if apart else data.dataset

    @property
    def encoder(self) -> str:
        """The encoder's name; of a folder its last part only."""
        encoder = PurePath(self.settings.encoder)
        return encoder.name if encoder.is_absolute() else self.settings.encoder

    @property
    def hardware(self) -> str:
        """What the run ran on."""
        several = f", {self.processes} processes" if self.processes > 1 else ""
        return self.environment.hardware(self.device) + several

    def loss(self, epoch: Epoch) -> float:
        """Mean training loss a sample of an epoch of its history.

        Before version 3, records of losses that are means over a batch (ASP's, and ITER's with ``loss_reduction = "mean"``)
        held that divided by the batch size, where an epoch's last batch, which may be smaller, counted like the others.
        """
        of_means = self.system == "asp" or self.settings.model.get("loss_reduction") == "mean"
        factor = self.settings.training.batch_size if of_means and self.schema_version < 3 else 1
        return factor * sum(epoch.loss.values())

    @property
    def file_name(self) -> str:
        """``<dataset>-<system>-<encoder>-s<seed>-<run_id>.json``, in letters that every file system takes."""
        return file_name(self.settings.data.dataset, self.system, self.encoder, f"s{self.settings.seed}", self.run_id)


def file_name(*names: str) -> str:
    """The names, joined by dashes, as a JSON file's name, in letters that every file system takes."""
    return "-".join(re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[:48] or "_" for name in names) + ".json"


def describe_split(
    dataset: Dataset,
    sha256: str,
    *,
    unreachable: Mapping[str, int] | None = None,
    ceiling: Mapping[Criterion, float] | None = None,
) -> SplitData:
    """Counts a split for a record; the other arguments are the fields of `SplitData`."""
    documents = dataset.documents
    return SplitData(
        split=dataset.split,
        sha256=sha256,
        documents=len(documents),
        words=sum(len(document.words) for document in documents),
        entities=sum(len(document.entities) for document in documents),
        relations=sum(len(document.relations) for document in documents),
        unreachable=dict(unreachable or {}),
        ceiling=dict(ceiling or {}),
        notes=dataset.notes,
    )
