"""Whether a throughput record says what its raw samples say; for ``iter-bench verify``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from iter_bench.throughput.protocol import problems
from iter_bench.throughput.schema import ThroughputRecord, rate_of

OUTPUT = "wrong output: "
"""How the problem begins that no number of the record shows."""
TOLERANCE = 1e-5
"""Relative; stored numbers have six digits."""


def check_record(record: ThroughputRecord, name: str) -> Iterator[str]:
    """What contradicts the rest of the record: rates, validity, ceiling and time are computed again.

    Args:
        record: what the file holds.
        name: of the file.
    """
    settings, samples = record.settings, record.samples
    if record.run_id != settings.run_id:
        yield f"run_id is {record.run_id}, the settings give {settings.run_id}"
    if name != record.file_name:
        yield f"should be called {record.file_name}"
    if ":" not in settings.subject.system and record.system != settings.subject.system:
        yield f"system is {record.system}, the settings name {settings.subject.system}"
    if record.structure != ("gold" if settings.subject.trained is None else "predicted"):
        yield f"structure is {record.structure}, which new or trained weights don't have"
    if settings.hardware != (found := record.environment.hardware(record.device)):
        yield f"settings.hardware is {settings.hardware}, the environment says {found}"
    if not samples:
        yield "samples: there are none"
        return
    if record.rate != rate_of(samples, record.documents.documents):
        yield "rate: isn't the median, 5th and 95th percentile of the samples"
    stated = tuple(problem for problem in record.problems if not problem.startswith(OUTPUT))
    halved = record.batches.problems if record.batches else ()
    if stated != (again := (*problems(samples, settings.rules), *record.conditions.problems(settings.rules), *halved)):
        yield f"problems: the rules give {list(again)}, besides outputs, not {list(stated)}"
    yield from _work(record)
    if sum(samples) > (record.finished - record.started).total_seconds():
        yield "samples: together they last longer than from started to finished"


def _work(record: ThroughputRecord) -> Iterator[str]:
    work, ceiling = record.work, record.ceiling
    if work is None:
        return
    if ceiling is None:
        yield "work: there is no ceiling that its seconds could come from"
        return
    if ceiling.dtype != record.execution.get("dtype"):
        yield f"ceiling.dtype is {ceiling.dtype}, the system computed in {record.execution.get('dtype')}"
    least = ceiling.seconds(work.flops, work.read or 0)
    if work.seconds < least * (1 - TOLERANCE):
        yield "work.seconds: the ceiling needs longer for the operations"
    if work.read is not None and work.seconds > least * (1 + TOLERANCE):
        yield "work.seconds: the ceiling needs less for the operations and the bytes read"
    share = work.seconds * record.documents.documents / median(record.samples)
    if not math.isclose(work.share, share, rel_tol=TOLERANCE):
        yield "work.share: isn't the seconds at the ceiling over the median of the samples"
