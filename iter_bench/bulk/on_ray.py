"""A bulk extraction by Ray Data: shards go to workers that each hold the system, on this machine or on a cluster.

Input and output lie where all machines see them under the same path. A shard whose worker dies is done again, which finds the
documents that kill it (`attempts`).
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from iter_bench.bulk.attempts import DEATHS
from iter_bench.bulk.faults import ProcessBroken, SystemBroken
from iter_bench.bulk.job import Done, Job
from iter_bench.cluster.ray_connection import Place, connected, machines
from iter_bench.errors import UserError
from iter_bench.systems import System

BLOCKS = 1000  # that shards are handed out in at most; each costs the command a little memory
RETRIES = 3 * DEATHS  # of a block whose worker is killed: three documents that kill are found at one start


def run(job: Job, shards: Sequence[int], *, batch_size: int, workers: int, report: Callable[[Done], None]) -> None:
    """Does the shards of these numbers; ``report`` is told of each.

    Args:
        workers: how many hold the system, each with its share of the cores and GPUs.

    Raises:
        UserError: Ray can't be had, the cluster is too small, or a shard failed; shards that went well are kept.
    """
    if not shards:
        return
    problems: list[str] = []
    with connected() as ray:
        from ray import data

        context = data.DataContext.get_current()
        context.enable_progress_bars = False  # the command has its own
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # errors are told below, without a traceback
        workers = min(workers, len(shards))
        cpus, gpus = shares(machines(ray), workers)
        rows = data.from_items([{"shard": number} for number in shards], override_num_blocks=min(BLOCKS, len(shards)))
        done = rows.map(
            _Worker,
            fn_constructor_args=(Place.here(cpus), job, batch_size),
            compute=data.ActorPoolStrategy(size=workers),
            num_cpus=cpus,
            num_gpus=gpus,
            max_task_retries=RETRIES,
        )
        try:
            for row in done.iter_rows():
                if row["problem"]:
                    problems.append(row["problem"])
                else:
                    report(Done(documents=row["documents"]))
        except ray.exceptions.RayTaskError:  # a RayError too, but of a defect of ours, which needs its traceback
            raise
        except ray.exceptions.RayError as error:
            killed = f"a worker was killed {RETRIES + 1} times over the same shards; is memory short?"
            kept = "Finished ones are kept, and which documents were found to kill it; run it again"
            raise UserError(f"{killed} {kept}. Ray says: {error}") from None
    job.sweep()
    if problems:
        raise UserError(f"{len(problems)} of {len(shards)} shards failed, the first with: {problems[0]}")
    if left := job.unfinished():
        raise UserError(f"{job.folder}: {len(left)} shards were done but aren't there; do all machines share its file system?")


def shares(had: Sequence[Mapping[str, float]], workers: int) -> tuple[int, float]:
    """Cores and GPUs of each worker, so that all of them fit on the machines: as much of a GPU as can be, then of the cores.

    Raises:
        UserError: there are fewer cores than workers.
    """
    if any(machine.get("GPU") for machine in had):
        had = [machine for machine in had if machine.get("GPU")]
    cores = [int(machine.get("CPU", 0)) for machine in had]
    for sharing in range(1, workers + 1):
        room = [int(machine.get("GPU", 0)) * sharing or workers for machine in had]
        for cpus in range(max(cores, default=0), 0, -1):
            if sum(min(c // cpus, r) for c, r in zip(cores, room, strict=True)) >= workers:
                return cpus, 1 / sharing if had[0].get("GPU") else 0.0
    raise UserError(f"{workers} workers are too many for {sum(cores)} cores on {len(had)} machines; ask for fewer")


class _Worker:
    """Does shards of a job, with a system that is loaded once."""

    def __init__(self, place: Place, job: Job, batch_size: int) -> None:
        place.take()
        self.job, self.batch_size = job, batch_size
        self.broken = ""

    @cached_property
    def system(self) -> System:
        return self.job.load()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        problem = self.broken
        if not problem:
            try:
                return {"documents": self.job.shard(self.system, int(row["shard"]), self.batch_size).documents, "problem": ""}
            except ProcessBroken:  # what it left behind is as if it were killed; so Ray begins another
                os.kill(os.getpid(), signal.SIGKILL)
            except SystemBroken as error:  # nor could another do any of the other shards
                problem = self.broken = str(error)
            except UserError as error:
                problem = str(error)
        return {"documents": 0, "problem": problem}
