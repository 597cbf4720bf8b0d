"""What a throughput record holds: one system on one workload at one batch size; see ``docs/throughput.md``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, TypeAdapter

from iter_bench import __version__
from iter_bench.environment import Environment
from iter_bench.records import AnyRecord
from iter_bench.records.schema import Count, Measured, Part, Ratio, RunId, file_name
from iter_bench.throughput.protocol import rates
from iter_bench.throughput.settings import CellSettings, Rules

Structure = Literal["predicted", "gold"]
Seconds = Annotated[Measured, Field(ge=1e-9)]
"""Of a call: no clock tells less, and rates divide by them."""


class Conditions(Part):
    """What was seen during a measurement.

    Attributes:
        sm_clock, memory_clock: MHz: least, median, most.
        power_limited: share of looks at which the board's power limit held the clock down.
        slowed: what else did, in words.
        gpu_processes: most processes on the GPU at once, this one included.
        others: share of the usable cores' time that other processes took.
    """

    sm_clock: tuple[Count, Count, Count] | None = None
    memory_clock: tuple[Count, Count, Count] | None = None
    power_limited: Ratio | None = None
    slowed: tuple[str, ...] = ()
    gpu_processes: Count | None = None
    others: Ratio | None = None

    def problems(self, rules: Rules) -> list[str]:
        """Why these make a run INVALID."""
        found = [f"throttling: {what}" for what in self.slowed]
        if self.gpu_processes is not None and self.gpu_processes > 1:
            found.append(f"another process on the GPU: there were {self.gpu_processes}")
        if self.others is not None and self.others > rules.others:
            found.append(f"other processes took {self.others:.0%} of the cores, not {rules.others:.0%} at most")
        return found


class Batches(Part):
    """The batches that the calls of a measurement formed, each system counting in its own samples.

    Attributes:
        samples: of a batch: least, median, most. Windows of ITER and ASP, of PL-Marker examples of either stage.
        halved: how many ran out of memory, so that they were halved.
    """

    samples: tuple[Count, Measured, Count]
    halved: Count

    @property
    def problems(self) -> tuple[str, ...]:
        """Why these make a run INVALID: it didn't have the batch size that its settings name."""
        return ("out of memory: batches were halved",) if self.halved else ()


WINDOW = 10.0
"""Seconds over which energy is read at least: the driver's counter moves in steps of up to a tenth of a second."""


class Power(Part):
    """Energy of the GPU over a window of calls of one system, nothing else running."""

    watts: Measured
    joules_per_sample: Measured
    seconds: Measured = Field(ge=WINDOW)


class Ceiling(Part):
    """Rates of a device.

    Attributes:
        dtype: of the product, as torch names it.
        flops: operations a second of the fastest square matrix product, 2 a multiplication.
        matrix: its number of rows.
        copy_rate: bytes a second that a copy reads and writes together.
    """

    dtype: str
    flops: Annotated[Measured, Field(ge=1)]
    matrix: int
    copy_rate: Annotated[Measured, Field(ge=1)]

    def seconds(self, flops: float, read: float) -> float:
        """Least time for so many operations and bytes read, when both go on at once."""
        return max(flops / self.flops, read / self.copy_rate)


class MeasuredDocuments(Part):
    """The documents of a call; lengths are MiniLM's sub-tokens (special ones and context included): least, mean, most."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    documents: Annotated[Count, Field(ge=1)]
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
        read: bytes a document of the matrices, each as often as the system must read it; None in records older than the field.
        seconds: a document, at the measured ceiling of matrix products and copies.
        share: of the median time that these are: 1 is as fast as the hardware allows.
    """

    flops: Measured
    read: Measured | None = None
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
    trained_by: RunId | None = None
    documents: MeasuredDocuments
    samples: tuple[Seconds, ...]
    rate: Rate
    parts: dict[str, Measured] = Field(default_factory=dict)
    batches: Batches | None = None
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
    def batch(self) -> int:
        """The most documents that a batch may have; a budget of sub-tokens may allow fewer (``batches``)."""
        return min(self.settings.batch_size, self.documents.documents)

    @property
    def file_name(self) -> str:
        """``<workload>-<system>-<encoder>-b<batch size>-<run_id>.json``."""
        about = (self.settings.workload.name, self.system, self.settings.subject.weights)
        return file_name(*about, f"b{self.settings.batch_size}", self.run_id)

    @property
    def hardware(self) -> str:
        """What it was measured on."""
        return self.settings.hardware


def stored(samples: Sequence[float]) -> tuple[float, ...]:
    """The samples as a record holds them, so that all that is computed from them can be computed again from it."""
    return TypeAdapter(tuple[Seconds, ...]).validate_python(tuple(samples))


def rate_of(samples: Sequence[float], documents: int) -> Rate:
    """Median, p5 and p95 over the samples (seconds a call)."""
    median, p5, p95 = rates(samples, documents)
    return Rate(median=median, p5=p5, p95=p95)
