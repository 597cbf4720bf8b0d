"""A matrix on Ray, on this machine or on a cluster: each run a process of its own, with the resources of its group.

The process of the command gathers records and predictions, and writes those that its disk hasn't got. Checkpoints and trained
systems stay where the run was: where all machines share a file system, a run whose machine dies goes on elsewhere after its
last whole epoch, and one that starts from another's encoder finds it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

from iter_bench import records
from iter_bench.cluster.ray_connection import Place, connected, machines
from iter_bench.errors import ProcessKilled, UserError
from iter_bench.execution import ATTEMPTS, Engine, Event, Execute, Report, raiser, reason
from iter_bench.files import whole_file
from iter_bench.matrix import Resources
from iter_bench.run import Folders
from iter_bench.settings import RunSettings

POLL = 1.0  # seconds between looks at what workers tell, and between two steps that one of them tells


@contextmanager
def engine(folders: Folders, needs: Mapping[str, Resources]) -> Iterator[Engine]:
    """As many runs at a time as the cluster has resources for; `execution.execute_all` takes it within the block.

    Args:
        folders: where the command's records and predictions go.
        needs: what each run is given, by run id.

    Raises:
        UserError: Ray can't be had, or no machine has what a run needs.
    """
    with connected() as ray:
        given = {run_id: options(run_id, asked, machines(ray)) for run_id, asked in needs.items()}
        yield partial(_side_by_side, ray, folders, given)


def options(run_id: str, asked: Resources, had: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """A task's options; what no machine has is refused, since Ray would wait for it for ever."""
    gpus = float(any(machine.get("GPU") for machine in had)) if asked.gpus is None else asked.gpus
    wanted = {"CPU": asked.cpus, "GPU": gpus, "memory": int((asked.memory or 0) * 2**30)}
    if not any(all(machine.get(name, 0) >= amount for name, amount in wanted.items()) for machine in had):
        raise UserError(
            f"run {run_id} asks for {asked.cpus} cores, {gpus:g} GPUs and {asked.memory or 0:g} GiB, which no machine of "
            "the cluster has; change `resources` of its group"
        )
    return {"num_cpus": asked.cpus, "num_gpus": gpus, "memory": wanted["memory"] or None}


def _side_by_side(
    ray: ModuleType,
    folders: Folders,
    given: Mapping[str, dict[str, Any]],
    runs: Iterable[RunSettings],
    execute: Execute,
    report: Report,
) -> Iterator[Any]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    told = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here)(_Events).remote()
    # a process for each run, and Ray's own repeats off: they'd have no end where memory is short
    task = ray.remote(max_calls=1, max_retries=0)(_one)

    def begun(run: RunSettings) -> Any:
        of_run = given[run.run_id]
        return task.options(**of_run).remote(Place.here(of_run["num_cpus"]), folders, execute, run, told)

    waiting: dict[Any, RunSettings] = {}
    deaths: Counter[str] = Counter()
    for run in runs:
        if (record := folders.finished(run.run_id)) is not None:  # a machine with a disk of its own wouldn't know
            yield run, lambda record=record: record
        else:
            waiting[begun(run)] = run
    while waiting:
        ended, _ = ray.wait(list(waiting), timeout=POLL)
        for event in ray.get(told.taken.remote()):
            report(*event)
        for task_id in ended:
            run = waiting.pop(task_id)
            try:
                outcome = ray.get(task_id)
            except ray.exceptions.RayTaskError as error:  # it couldn't be begun: the package is missing there, say
                yield run, raiser(UserError(reason(error.cause)))
            except ray.exceptions.RayError as error:  # process or machine died
                deaths[run.run_id] += 1
                killed = str(error).strip().splitlines()[0]
                if deaths[run.run_id] < ATTEMPTS:
                    report(run, {"killed": killed})
                    waiting[begun(run)] = run
                else:
                    yield run, raiser(ProcessKilled(f"its process was killed {ATTEMPTS} times; the last time: {killed}"))
            else:
                yield run, raiser(UserError(outcome)) if isinstance(outcome, str) else partial(gathered, folders, *outcome)


class _Events:
    """What runs tell, until it's taken; an actor beside the command."""

    def __init__(self) -> None:
        self._events: list[tuple[RunSettings, Event]] = []

    def put(self, run: RunSettings, event: Event) -> None:
        self._events.append((run, event))

    def taken(self) -> list[tuple[RunSettings, Event]]:
        events, self._events = self._events, []
        return events


def _one(place: Place, folders: Folders, execute: Execute, run: RunSettings, told: Any) -> tuple[records.Record, str] | str:
    """One run in a process of the cluster: its record and the text of its predictions, or why there are none."""
    import ray

    last = 0.0

    def tell(event: Event) -> None:
        nonlocal last
        if "step" in event:
            if time.monotonic() - last < POLL:
                return
            last = time.monotonic()
        ray.wait([told.put.remote(run, event)], timeout=5)  # that nobody listens is no reason to fail

    try:
        place.take()
        record = execute(run, tell)
        return record, folders.predictions(run.run_id).read_text(encoding="utf-8")
    except Exception as error:
        return reason(error)


def gathered(folders: Folders, record: records.Record, predictions: str) -> records.Record:
    """The record of a run that ended elsewhere; with its predictions it's written here, unless the file system is shared."""
    if folders.finished(record.run_id) is None:
        with whole_file(folders.predictions(record.run_id)) as file:
            file.write(predictions)
        folders.finish(record)
    return record
