"""Execution of a matrix: every run once, in this process, in several of this machine, or elsewhere (``cluster/on_ray.py``)."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from functools import partial
from itertools import chain, islice
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from iter_bench import records
from iter_bench.cluster import launched
from iter_bench.environment import usable_cores
from iter_bench.errors import ProcessKilled, UserError
from iter_bench.settings import TRAINED, RunSettings

if TYPE_CHECKING:
    from iter_bench.run import Folders

Event = dict[str, Any]
Report = Callable[[RunSettings, Event], None]
Execute = Callable[[RunSettings, Callable[[Event], None] | None], records.Record]
Engine = Callable[[Iterable[RunSettings], Execute, Report], Iterator[tuple[RunSettings, Callable[[], records.Record]]]]
"""Does runs that don't need each other; gives each as it ends, with a function that gives its record or raises.

`processes` asks for a run only when it can begin it, so that a search can propose it from those that ended.
"""

POLL = 0.2  # seconds between looks at what workers tell
ATTEMPTS = 3  # at a run whose process is killed; one that fails by itself isn't repeated


def execute_all(
    runs: Sequence[RunSettings], execute: Execute, *, engine: Engine, report: Report
) -> tuple[list[records.Record], dict[str, str]]:
    """Executes the runs; those that start from what others train come after these.

    A run whose process is killed is repeated and goes on after its last whole epoch.

    Args:
        execute: does one run; must be picklable for other processes.
        engine: `processes`, or that of ``cluster/on_ray.py``.
        report: told of steps and epochs, of runs that are begun again (``{"killed": reason}``), and of every run that ends:
            ``{"finished": record}`` or ``{"failed": reason}``.

    Returns:
        The records, and for each failed run id its reason.
    """
    done: list[records.Record] = []
    failed: dict[str, str] = {}
    started = [run for run in runs if run.encoder.startswith(TRAINED)]
    for wave in ([run for run in runs if run not in started], started):
        for run, result in engine(wave, execute, report):
            try:
                record = result()
            except Exception as error:  # whatever it was, the others go on
                if launched.count() > 1:  # the other processes are in the midst of this run, and can't go on to the next
                    raise
                failed[run.run_id] = reason(error)
                report(run, {"failed": failed[run.run_id]})
            else:
                done.append(record)
                report(run, {"finished": record})
    return done, failed


def reason(error: Exception) -> str:
    """Why a run failed; an error that isn't meant for people is named by its kind."""
    return str(error) if isinstance(error, UserError | FloatingPointError) else f"{type(error).__name__}: {error}"


def raiser(error: Exception) -> Callable[[], records.Record]:
    """The result of a run that has none."""

    def result() -> records.Record:
        raise error

    return result


def processes(workers: int) -> Engine:
    """Runs on this machine, ``workers`` at a time, each in a process with its share of the cores and GPUs; one: in this one."""

    def alone(runs: Iterable[RunSettings], execute: Execute, report: Report) -> Iterator[Any]:
        for run in runs:
            yield run, partial(execute, run, partial(report, run))

    def side_by_side(runs: Iterable[RunSettings], execute: Execute, report: Report) -> Iterator[Any]:
        waiting, repeated, deaths = iter(runs), deque(), Counter()
        first = list(islice(waiting, workers))
        waiting = chain(first, waiting)
        slots: dict[int, tuple[ProcessPoolExecutor, SimpleQueue]] = {}
        at_work: dict[Future[records.Record], tuple[int, RunSettings]] = {}
        with ExitStack() as pools:

            def begin(slot: int) -> None:
                if (run := next(waiting, None) or (repeated.popleft() if repeated else None)) is None:
                    if slot in slots:  # the others need the memory that its process holds
                        slots.pop(slot)[0].shutdown()
                    return
                if slot not in slots:
                    told = multiprocessing.get_context("spawn").SimpleQueue()  # its own: a killed process may hold the lock
                    slots[slot] = pools.enter_context(pool_of_one(slot, len(first), told)), told
                at_work[slots[slot][0].submit(_tell, execute, run)] = slot, run

            for slot in range(len(first)):
                begin(slot)
            while at_work:
                ended, _ = wait(at_work, timeout=POLL, return_when=FIRST_COMPLETED)
                for _, told in slots.values():
                    while not told.empty():
                        report(*told.get())
                for future in ended:
                    slot, run = at_work.pop(future)
                    if not isinstance(future.exception(), BrokenProcessPool):
                        yield run, future.result
                    else:  # it's begun again in a new process, after what waits
                        del slots[slot]
                        deaths[run.run_id] += 1
                        if deaths[run.run_id] < ATTEMPTS:
                            report(run, {"killed": "its process was killed"})
                            repeated.append(run)
                        else:
                            yield run, raiser(ProcessKilled(f"its process was killed {ATTEMPTS} times; is memory short?"))
                    begin(slot)

    return alone if workers == 1 else side_by_side


def pool_of_one(worker: int, workers: int, told: SimpleQueue[tuple[RunSettings, Event]] | None = None) -> ProcessPoolExecutor:
    """One of several processes, with its share of the cores and, where there are any, one of the GPUs; more share these.

    In a pool of its own: one that is killed takes its whole pool with it.

    Args:
        worker: its number, from 0.
        workers: how many there are.
        told: where events of runs go.
    """
    context, names = multiprocessing.get_context("spawn"), visible_gpus()
    gpu = names[worker % len(names)] if names else None
    return ProcessPoolExecutor(1, mp_context=context, initializer=_start, initargs=(workers, gpu, told))


def execute_run(
    folders: Folders, data_dir: Path | None, run: RunSettings, report: Callable[[Event], None] | None
) -> records.Record:
    """`run.execute` with the arguments that vary last, for workers in other processes."""
    from iter_bench.run import execute

    return execute(run, folders, data_dir=data_dir, report=report)


def default_workers(runs: int) -> int:
    """One a GPU; on a CPU two processes of half the cores each are faster than one of all; a shared training is left to one."""
    return 1 if launched.count() > 1 else max(1, min(len(visible_gpus()) or 2, runs, len(usable_cores())))


def share_of_cores(workers: int) -> int:
    """Threads of each of so many processes on this machine."""
    return max(1, len(usable_cores()) // workers)


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return chosen.split(",")[:count] if chosen else [str(number) for number in range(count)]


_told: SimpleQueue[tuple[RunSettings, Event]] | None = None  # of a worker process


def _start(workers: int, gpu: str | None, told: SimpleQueue[tuple[RunSettings, Event]] | None) -> None:
    Thread(target=_end_with_first, daemon=True).start()
    import torch

    global _told
    _told = told
    torch.set_num_threads(share_of_cores(workers))
    if gpu is not None:  # torch hasn't asked for devices yet
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu


def _end_with_first() -> None:
    """Ends this worker once the first process is gone, however that went; else it would hold its run, and hang in ``_told``."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _tell(execute: Execute, run: RunSettings) -> records.Record:
    """One run in a worker process, which tells the first process of it."""
    return execute(run, lambda event: _told.put((run, event)))
