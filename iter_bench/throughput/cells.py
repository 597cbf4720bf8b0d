"""One cell: several systems on the same documents at the same batch size, measured in alternation, a record each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from statistics import median

import torch

from iter_bench import environment, systems
from iter_bench.batching import Formed, noting
from iter_bench.devices import default_device, forget_lowered, synchronize
from iter_bench.document import Document, Schema
from iter_bench.errors import SettingsError
from iter_bench.observation.parts import listen
from iter_bench.throughput.conditions import Watch, measure_power
from iter_bench.throughput.measurable import Compiles, CountsFlops, CountsReads, DescribesExecution, TakesStructure
from iter_bench.throughput.outputs import CHECKED, Prepared, check
from iter_bench.throughput.protocol import measure, problems
from iter_bench.throughput.schema import Batches, Ceiling, Structure, ThroughputRecord, Work, rate_of, stored
from iter_bench.throughput.settings import CellSettings, Subject
from iter_bench.throughput.workloads import describe
from iter_bench.tokenization import forget_words

PART_CALLS, PART_SECONDS = 3, 2.0
"""Calls that are listened to, and seconds after which no further one is."""


def build(subject: Subject, schema: Schema, documents: Sequence[Document]) -> systems.System:
    """The system, untrained or as it was saved; on a GPU by compiled code, where that gives the same states.

    Raises:
        UserError: it can't be built or read, or it is untrained and its decisions can't be imposed.
    """
    system = _load_or_make(subject, schema, documents)
    if default_device().type == "cuda" and isinstance(system, Compiles):
        system.compile(documents[:CHECKED])
    return system


def _load_or_make(subject: Subject, schema: Schema, documents: Sequence[Document]) -> systems.System:
    if subject.trained is not None:
        system = systems.load_system(subject.trained)
        if system.name != subject.system:
            raise SettingsError(f"{subject.trained} holds the system {system.name!r}, not {subject.system!r}")
        if isinstance(system, systems.ChoosesPrecision):
            system.precision = "auto"  # as new weights compute, whatever it was trained in
        return system
    system = systems.system_class(subject.system).build(subject.encoder, schema, documents, subject.model, seed=1)
    if not isinstance(system, TakesStructure):
        raise SettingsError(
            "new weights decide nothing, and the system has no prepare_structure to be given the gold "
            "structure; measure a trained one"
        )
    return system


def _trained_by(subject: Subject) -> str | None:
    """The id of the run that trained it; None where it is untrained, or its folder doesn't tell."""
    run = None if subject.trained is None else systems.run_of(subject.trained)
    return None if run is None else run.run_id


def prepare(subject: Subject, system: systems.System, documents: Sequence[Document]) -> Prepared:
    """Decides whose structure the system works with: its own where it is trained, else the gold that it can reach."""
    structure: Structure = "gold" if subject.trained is None else "predicted"
    shape = system.reachable(documents).extractions if structure == "gold" else system.predict(documents)
    # of a trained system, what it predicts is prepared too: operations are counted from it
    given = system.prepare_structure(documents, shape) if isinstance(system, TakesStructure) else None
    return Prepared(system, structure, given, sum(len(e.entities) for e in shape), sum(len(e.relations) for e in shape))


def run_cell(
    built: Sequence[systems.System],
    settings: Sequence[CellSettings],
    documents: Sequence[Document],
    ceiling_of: Callable[[str], Ceiling],
) -> Iterator[ThroughputRecord]:
    """Measures the systems in alternation; a record each, VALID or not, as soon as what isn't timed was measured of it.

    Args:
        built: what is measured.
        settings: of each system's record; they differ in the subject only.
        documents: of a call.
        ceiling_of: the hardware's ceiling for a dtype.
    """
    started, device = datetime.now(UTC), default_device()
    batch_size, rules = settings[0].batch_size, settings[0].rules
    ready = [prepare(of.subject, system, documents) for of, system in zip(settings, built, strict=True)]
    wrong = [check(prepared, documents, batch_size) for prepared in ready]
    formed = [Formed() for _ in ready]
    calls = [partial(_call, *of, documents, batch_size) for of in zip(ready, formed, strict=True)]

    def wait() -> None:
        synchronize(device)

    watch = Watch(device)
    with watch.looking():
        samples = [stored(of) for of in measure(calls, rules, synchronize=wait, before=forget_words)]
    conditions, described, batches = watch.seen(), environment.describe(), [_batches(of) for of in formed]
    for i, (prepared, call, seconds) in enumerate(zip(ready, calls, samples, strict=True)):
        system = prepared.system
        execution = dict(system.execution) if isinstance(system, DescribesExecution) else {}
        ceiling = ceiling_of(execution["dtype"]) if "dtype" in execution else None
        halved = batches[i].problems if batches[i] else ()
        yield ThroughputRecord(
            run_id=settings[i].run_id,
            settings=settings[i],
            system=system.name,
            structure=prepared.structure,
            trained_by=_trained_by(settings[i].subject),
            documents=describe(documents, prepared.entities, prepared.relations),
            samples=seconds,
            rate=rate_of(seconds, len(documents)),
            parts=parts_of(call, device),
            batches=batches[i],
            problems=(*wrong[i], *problems(seconds, rules), *conditions.problems(rules), *halved),
            beside=tuple(other.name for other in built if other is not system),
            conditions=conditions,
            work=work_of(prepared, documents, batch_size, median(seconds), ceiling),
            ceiling=ceiling,
            power=measure_power(call, len(documents), device, synchronize=wait, before=forget_words),
            peak_memory=peak_memory(system, call, device),
            parameters=system.parameters,
            device=str(device),
            execution=execution,
            environment=described,
            started=started,
            finished=datetime.now(UTC),
        )


def _call(prepared: Prepared, formed: Formed, documents: Sequence[Document], batch_size: int) -> None:
    """The timed region, and a note of its batches."""
    with noting(formed):
        prepared.predict(documents, batch_size)


def _batches(formed: Formed) -> Batches | None:
    """As a record holds them; None of a system whose batches nobody noted."""
    sizes = formed.sizes
    return Batches(samples=(min(sizes), median(sizes), max(sizes)), halved=formed.halved) if sizes else None


def parts_of(call: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Median seconds of a call's parts, over up to ``PART_CALLS`` calls of their own; empty for a system without marks."""
    seen: dict[str, list[float]] = {}
    start = time.monotonic()
    for number in range(PART_CALLS):
        if number and time.monotonic() - start > PART_SECONDS:
            break
        forget_words()
        with listen(lambda: synchronize(device)) as seconds:
            call()
        for name, value in seconds.items():
            seen.setdefault(name, []).append(value)
    return {name: median(values) for name, values in seen.items()}


def work_of(
    prepared: Prepared, documents: Sequence[Document], batch_size: int, seconds: float, ceiling: Ceiling | None
) -> Work | None:
    """Operations a document, and the time that the ceiling needs for them and for reading weights, once a batch at least."""
    system = prepared.system
    if ceiling is None or prepared.given is None or not isinstance(system, CountsFlops):
        return None
    flops = system.flops(documents, prepared.given)
    if isinstance(system, CountsReads):
        weights = system.weights_read(documents, prepared.given, batch_size=batch_size)
    else:
        weights = -(-len(documents) // batch_size) * system.matrix_weights
    read = weights * getattr(torch, ceiling.dtype).itemsize
    needed, count = ceiling.seconds(flops, read), len(documents)
    return Work(flops=flops / count, read=read / count, seconds=needed / count, share=needed / seconds)


def peak_memory(system: systems.System, call: Callable[[], object], device: torch.device) -> int | None:
    """Bytes on the GPU at most during a call, other systems' weights left out; None on a CPU, where it can't be told apart."""
    if device.type != "cuda":
        return None
    forget_lowered()  # so that what the call keeps of its system's weights counts, and nothing of another system's
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    return torch.cuda.max_memory_allocated(device) - before + 4 * system.parameters  # weights are kept in float32
