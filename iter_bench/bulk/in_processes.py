"""A bulk extraction by processes of this machine, each with its share of shards, cores and GPUs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack

from iter_bench.bulk.job import Job
from iter_bench.errors import UserError
from iter_bench.execution import pool_of_one


def run(job: Job, shards: Sequence[int], *, batch_size: int, workers: int, look: Callable[[], None]) -> None:
    """Does the shards of these numbers; ``look`` is called every second.

    Each worker does every n-th of them, and goes on in a new process if it's killed, unless nothing was done since the last.

    Raises:
        UserError: a worker was killed again and again, or a shard failed; shards that went well are kept.
    """
    waiting: dict[Future[None], tuple[int, dict[int, tuple[int, ...]]]] = {}
    given_up = False
    with ExitStack() as processes:
        processes.callback(job.sweep)  # last of all, when none is at work

        def begin(worker: int, share: Iterable[int]) -> None:
            left = {number: job.progress(number) for number in share}
            process = processes.enter_context(pool_of_one(worker, workers))
            waiting[process.submit(_work, job, list(left), batch_size)] = worker, left

        for worker in range(min(workers, len(shards))):
            begin(worker, shards[worker::workers])
        while waiting:
            ended, _ = wait(waiting, timeout=1, return_when=FIRST_COMPLETED)
            look()
            for future in ended:
                worker, before = waiting.pop(future)
                try:
                    future.result()
                except BrokenProcessPool:
                    left = [number for number in job.unfinished() if number in before]
                    if len(left) < len(before) or any(job.progress(number) > before[number] for number in left):
                        begin(worker, left)
                    else:  # the others go on
                        given_up = True
    if given_up:
        killed = "a worker's process was killed; is memory short? Finished shards are kept, run it again"
        raise UserError(f"{job.folder}: {killed}")


def _work(job: Job, shards: Sequence[int], batch_size: int) -> None:
    """`Job.run` in a process of its own."""
    job.run(shards, batch_size=batch_size, report=lambda _: None)
