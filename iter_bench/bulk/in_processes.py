"""A bulk extraction by processes of this machine, each with its share of shards, cores and GPUs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack

from iter_bench.bulk.faults import ProcessBroken
from iter_bench.bulk.job import Job
from iter_bench.errors import UserError
from iter_bench.execution import pool_of_one


def run(job: Job, shards: Sequence[int], *, batch_size: int, workers: int, look: Callable[[], None]) -> None:
    """Does the shards of these numbers; ``look`` is called every second.

    Each worker does every n-th of them, and goes on in a new process if its own is killed or broken, unless nothing was done
    since the last. One that fails stops no other.

    Raises:
        UserError: a worker was killed again and again, or a shard failed; shards that went well are kept.
    """
    workers = min(workers, len(shards))
    waiting: dict[Future[None], tuple[int, ProcessPoolExecutor, dict[int, tuple[int, ...]]]] = {}
    failed: list[BaseException] = []
    with ExitStack() as processes:
        processes.callback(job.sweep)  # last of all, when none is at work

        def begin(worker: int, share: Iterable[int]) -> None:
            left = {number: job.progress(number) for number in share}
            process = processes.enter_context(pool_of_one(worker, workers))
            waiting[process.submit(_work, job, list(left), batch_size)] = worker, process, left

        for worker in range(workers):
            begin(worker, shards[worker::workers])
        while waiting:
            ended, _ = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
            look()
            for future in ended:
                worker, process, before = waiting.pop(future)
                process.shutdown()  # before another takes its place on the device
                if (error := future.exception()) is None:
                    continue
                if isinstance(error, BrokenProcessPool | ProcessBroken):
                    left = [number for number in job.unfinished() if number in before]
                    if len(left) < len(before) or any(job.progress(number) > before[number] for number in left):
                        begin(worker, reversed(left))  # what it ended over first: if the system is broken, that shows at once
                        continue
                failed.append(error)
    if failed:
        raise UserError("\n".join(dict.fromkeys(_told(job, error) for error in failed)))


def _told(job: Job, error: BaseException) -> str:
    """What a person is told of it; an error of ours goes on as it is."""
    if isinstance(error, BrokenProcessPool):
        return f"{job.folder}: a worker's process was killed; is memory short? Finished shards are kept, run it again"
    if not isinstance(error, UserError):
        raise error
    return str(error)


def _work(job: Job, shards: Sequence[int], batch_size: int) -> None:
    """`Job.run` in a process of its own."""
    job.run(shards, batch_size=batch_size, report=lambda _: None)
