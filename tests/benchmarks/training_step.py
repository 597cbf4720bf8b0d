"""CPU time of a training step: ``python tests/benchmarks/training_step.py SYSTEM [DATASET] [STEPS] [ROUNDS]``.

MiniLM, the recipe's settings, samples from all over the training split, one line a stage: CPU milliseconds a step of the round
that took least, user and system apart. CPU time, since other processes may share the cores; ``OMP_NUM_THREADS=1`` makes it
comparable. With PROFILE=1 in the environment it also prints torch's table of operators.
"""

from __future__ import annotations

import os
import resource
import sys
from itertools import pairwise

import torch

from iter_bench import data, systems, training
from iter_bench.matrix import RECIPES
from iter_bench.settings import read_toml


def main(system: str, dataset: str = "conll04", steps: str = "16", rounds: str = "3") -> None:
    """Trains ``system`` for so many steps a round, and says what they cost."""
    recipe = read_toml(RECIPES / f"{system}-minilm.toml")
    corpus = data.load(dataset, "train")
    train = training.train

    def timed(task, examples, settings, **options):
        size = int(steps) * settings.batch_size
        examples = examples[:: max(1, len(examples) // size)][:size]
        settings = settings.model_copy(update={"epochs": int(rounds) + 1})
        clock = [resource.getrusage(resource.RUSAGE_SELF)]

        def report(event):
            if "loss" in event:
                clock.append(resource.getrusage(resource.RUSAGE_SELF))

        history = train(task, examples, settings, **{**options, "report": report})
        costs = [
            tuple(1000 * (getattr(after, of) - getattr(before, of)) / int(steps) for of in ("ru_utime", "ru_stime"))
            for before, after in pairwise(clock[1:])  # the first round warms up
        ]
        user, kernel = min(costs, key=sum)
        cost = f"{user + kernel:.1f} ms a step (user {user:.1f}, system {kernel:.1f})"
        print(f"{system}: {cost}, losses {history[-1]['loss']}", flush=True)
        if os.environ.get("PROFILE"):
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
                train(task, examples, settings.model_copy(update={"epochs": 1}), **{**options, "report": None})
            print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=45, max_name_column_width=50))
        return history

    training.train = timed
    settings = training.TrainingSettings(**recipe["training"])
    built = systems.system_class(system).build("minilm", corpus.schema, corpus.documents, recipe.get("model", {}), seed=1)
    built.fit(corpus.documents, [], settings, seed=1)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main(*sys.argv[1:])
