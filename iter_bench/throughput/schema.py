"""What a throughput record holds: one system on one workload at one batch size; see ``docs/throughput.md``."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from iter_bench import __version__
from iter_bench.environment import Environment
from iter_bench.records import AnyRecord
from iter_bench.records.schema import Count, Measured, Part, file_name
from iter_bench.settings import Settings, content_id
from iter_bench.throughput.ceiling import Ceiling
from iter_bench.throughput.conditions import Conditions, Power
from iter_bench.throughput.protocol import Rules, rates
from iter_bench.throughput.workloads import Workload

Structure = Literal["predicted", "gold"]


class Subject(Settings):
    """A system to measure: new weights over an encoder, or a trained system's folder."""

    system: str
    encoder: str = "minilm"
    model: dict[str, Any] = Field(default_factory=dict, description="the system's own settings")
    trained: str | None = Field(None, description="folder of a trained system; its own encoder and settings hold")

    @property
    def weights(self) -> str:
        """The trained system's folder, or the encoder; of an absolute path its last part only."""
        path = PurePath(self.trained or self.encoder)
        return path.name if path.is_absolute() else self.trained or self.encoder


class CellSettings(Settings):
    """Everything that decides a measurement, the machine included: another machine measures anew."""

    subject: Subject
    lineup: tuple[Subject, ...] = Field(description="all systems that the sweep compares here, whether or not they could run")
    workload: Workload
    batch_size: int = Field(ge=1)
    rules: Rules
    hardware: str

    @property
    def run_id(self) -> str:
        """The settings' content."""
        return content_id(self)


class MeasuredDocuments(Part):
    """The documents of a call; lengths are MiniLM's sub-tokens (special ones and context included): least, mean, most."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    documents: Annotated[int, Field(ge=1)]
    words: Count
    subtokens: tuple[Measured, Measured, Measured]
    entities: Count
    relations: Count


class Rate(Part):
    """Documents a second over the timed calls."""

    median: Measured
    p5: Measured
    p95: Measured


class Work(Part):
    """What the architecture needs, beside what was measured.

    Attributes:
        flops: operations a document, counted from shapes, nothing padded.
        seconds: a document, at the measured ceiling of matrix products and copies.
        share: of the median time that these are: 1 is as fast as the hardware allows.
    """

    flops: Measured
    seconds: Measured
    share: Measured


class ThroughputRecord(AnyRecord):
    """One measurement. Fields are explained in ``docs/throughput.md``."""

    schema_version: Literal[1] = 1
    kind: Literal["throughput"] = "throughput"
    version: str = __version__
    settings: CellSettings
    system: str
    structure: Structure
    documents: MeasuredDocuments
    samples: tuple[Measured, ...]
    rate: Rate
    parts: dict[str, Measured] = Field(default_factory=dict)
    problems: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    conditions: Conditions
    work: Work | None = None
    ceiling: Ceiling | None = None
    power: Power | None = None
    peak_memory: Count | None = None
    parameters: Count
    device: str
    execution: dict[str, str] = Field(default_factory=dict)
    environment: Environment
    started: AwareDatetime
    finished: AwareDatetime

    @property
    def valid(self) -> bool:
        """VALID: figures and tables read no other."""
        return not self.problems

    @property
    def file_name(self) -> str:
        """``<workload>-<system>-<encoder>-b<batch size>-<run_id>.json``."""
        about = (self.settings.workload.name, self.system, self.settings.subject.weights)
        return file_name(*about, f"b{self.settings.batch_size}", self.run_id)

    @property
    def hardware(self) -> str:
        """What it was measured on."""
        return self.settings.hardware


def rate_of(samples: tuple[float, ...] | list[float], documents: int) -> Rate:
    """Median, p5 and p95 over the samples (seconds a call)."""
    median, p5, p95 = rates(samples, documents)
    return Rate(median=median, p5=p5, p95=p95)
