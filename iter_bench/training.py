"""The one training loop, for every system.

Two groups of weights (the encoder, and the heads above it) with a rate, schedule, warm-up and weight decay each; mixed
precision; clipping; selection and early stopping on dev. After each epoch everything that the next one needs is stored, so
that a killed run goes on where it was. All randomness follows from (seed, epoch), so a resumed run gives the numbers of an
uninterrupted one. Several processes, where they were started, share every batch (``cluster/processes.py``), and each may
compute its share in parts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from iter_bench import data, scoring
from iter_bench.batching import undivided
from iter_bench.checkpoints import CheckpointFolder, fingerprint, parts_of, put_back
from iter_bench.cluster import launched, processes
from iter_bench.cluster.sharding import ShardedModule
from iter_bench.devices import autocast, deterministic
from iter_bench.document import Document, Extraction, Schema
from iter_bench.dropout import fast_draws
from iter_bench.errors import SettingsError, UserError
from iter_bench.memory import keep_freed
from iter_bench.optimization import ScheduledAdamW
from iter_bench.settings import TrainingSettings

_E = TypeVar("_E")

LESS_MEMORY = "set training.samples_at_once lower, or training.batch_size, or the model's limits; finished epochs are kept"
BATCHES_PER_BUCKET = 16  # batches of similar length are cut from so many batches' worth of shuffled samples


class Task(Protocol):
    """What the loop needs of a model and its data."""

    module: nn.Module
    """What is trained; while it is, the loop may put one of the same kind in its place."""
    device: torch.device

    def is_head(self, name: str) -> bool:
        """Whether the weight of that name belongs to the heads rather than to the encoder."""
        ...

    def length(self, example: Any) -> int:
        """Sub-tokens of an example; batches are made of examples of similar length."""
        ...

    def collate(self, examples: Sequence[Any]) -> Any:
        """Examples → whatever ``losses`` takes, on the device."""
        ...

    def losses(self, batch: Any, whole: Sequence[Any]) -> dict[str, Tensor]:
        """Parts of the loss; their sum is minimised, and the value of each is one over its samples (`as_mean` for a mean).

        Args:
            batch: as ``collate`` made it.
            whole: the examples of the batch that it is a share of, where processes or memory divide it; else its own. What is a
                mean is one over these, so that the losses of shares add up to those of the whole.
        """
        ...


def as_mean(mean: Tensor, share: float, samples: int) -> Tensor:
    """A loss of `Task.losses` that is minimised as a mean over a batch, with the sum over its samples as its value.

    Args:
        mean: over what was computed of the batch.
        share: how much of the batch that is, from 0 to 1.
        samples: those of the whole batch.
    """
    return share * (mean + (samples - 1) * mean.detach())


def seed_everything(seed: int, epoch: int = 0, process: int = 0) -> None:
    """Sets torch's generators (all devices) from (seed, epoch); other processes than the first have numbers of their own."""
    torch.manual_seed(
        int(np.random.SeedSequence([seed, epoch, process][: 3 if process else 2]).generate_state(1, np.uint64)[0] >> 1)
    )


def epoch_batches(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Indices of the examples of each batch: shuffled, then of similar length within a bucket, then shuffled again."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    sizes = np.asarray(lengths)
    batches: list[np.ndarray] = []
    for start in range(0, len(order), batch_size * BATCHES_PER_BUCKET):
        bucket = order[start : start + batch_size * BATCHES_PER_BUCKET]
        bucket = bucket[np.argsort(sizes[bucket], kind="stable")]
        batches += [bucket[i : i + batch_size] for i in range(0, len(bucket), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


class OneStage:
    """Base of systems that are a `Task` as a whole; they have `System`'s ``predict``, ``schema`` and ``settings``, and
    ``precision``.

    Their ``examples`` are what training takes of documents.
    """

    def fit(
        self,
        train_documents: Sequence[Document],
        dev_documents: Sequence[Document],
        training: TrainingSettings,
        *,
        seed: int,
        folder: Path | None = None,
        report: Callable[[dict[str, Any]], None] | None = None,
    ) -> list[dict[str, Any]]:
        """Trains with the one training loop, and predicts in its precision from then on."""
        self.precision = training.precision
        return fit(
            self,
            self.examples(train_documents),
            training,
            seed=seed,
            train_documents=train_documents,
            dev=dev_documents,
            predict=self.predict,
            schema=self.schema,
            model=self.settings,
            folder=folder,
            report=report,
        )


def fit(
    task: Task,
    examples: Sequence[Any],
    settings: TrainingSettings,
    *,
    seed: int,
    train_documents: Sequence[Document],
    dev: Sequence[Document],
    predict: Callable[[Sequence[Document]], Sequence[Extraction]],
    schema: Schema,
    model: Mapping[str, Any],
    folder: Path | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
    stage: str | None = None,
) -> list[dict[str, Any]]:
    """`train` as a system's ``fit`` calls it: selects on ``dev`` where there is one, and stores its epochs in ``folder``.

    An epoch that was stored there over other documents, with other settings or from another encoder is refused.

    Args:
        train_documents: what the examples were made of.
        predict: the module's extractions as it is now.
        schema: what ``dev`` is scored by; without relation types NER decides.
        model: the system's own settings.
        stage: name of the part that is trained, of a system with several; each epoch carries it.

    Raises:
        SettingsError: epochs are to be selected by a score that data without relation types don't have.
        UserError, FloatingPointError, OutOfMemory: as `train` raises them.
    """
    select_by = settings.select_by
    if select_by == "auto":
        select_by = "re_plus" if schema.relation_types else "ner"
    if select_by not in scoring.criteria(schema):
        raise SettingsError(f"training.select_by: {select_by} can't be scored without relation types; take ner or auto")
    checkpoints = None
    if folder is not None:
        key = {
            "seed": seed,
            "settings": settings.model_dump_json(),
            "system settings": json.dumps(dict(model), sort_keys=True),
            "types": json.dumps([schema.entity_types, schema.relation_types, sorted(schema.symmetric)]),
            "training documents": data.fingerprint(train_documents),
            "dev documents": data.fingerprint(dev),
            "encoder": fingerprint((n, p) for n, p in task.module.named_parameters() if not task.is_head(n)),
        }
        checkpoints = CheckpointFolder(folder, key)
    history = train(
        task,
        examples,
        settings,
        seed=seed,
        evaluate=(lambda: scoring.dev_scores(dev, predict(dev), schema)) if dev else None,
        select_by=select_by,
        checkpoints=checkpoints,
        report=None if report is None else (lambda event: report(event if stage is None else {**event, "stage": stage})),
    )
    return history if stage is None else [{**epoch, "stage": stage} for epoch in history]


def train(
    task: Task,
    examples: Sequence[Any],
    settings: TrainingSettings,
    *,
    seed: int,
    evaluate: Callable[[], dict[str, float]] | None,
    select_by: str,
    checkpoints: CheckpointFolder | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Trains ``task.module`` in place and leaves the selected weights in it.

    Args:
        examples: prepared once; an epoch only picks and collates them.
        evaluate: dev scores by criterion; none means no selection: the last epoch's weights are kept.
        select_by: the criterion whose best epoch is kept.
        checkpoints: where to store each epoch, and to resume from.
        report: called with every finished epoch, and after each step with ``{"step": …, "steps": …}``, of the whole run.

    Returns:
        One dictionary an epoch: ``epoch``, mean ``loss`` a sample by part, ``dev`` scores, ``seconds``, ``selected``.

    Raises:
        FloatingPointError: the loss is no longer finite; the message names the epoch.
        UserError: the model can't be divided among processes, or they don't see the same checkpoints.
        OutOfMemory: too many samples at once. They are divided only if settings say so: dropout would draw other numbers.
    """
    keep_freed()
    sharded = ShardedModule(task) if launched.sharded() else None
    lengths = [task.length(example) for example in examples]
    per_epoch = -(-len(examples) // settings.batch_size)
    optimizer = ScheduledAdamW(task.module, task.is_head, settings, per_epoch * settings.epochs)
    history: list[dict[str, Any]] = []
    best_weights: dict[str, Tensor] | None = None
    if checkpoints is not None:
        history = checkpoints.resume(task.module, optimizer.adamw)
        if processes.of_first(lambda: len(history)) != len(history):
            raise UserError(f"{checkpoints.folder}: processes see different checkpoints; all must share the folder of --work")
        best_weights = checkpoints.best_parts(task.module) if history else None
    best = max((h["dev"][select_by] for h in history if "dev" in h), default=-1.0)
    for epoch in range(len(history), settings.epochs):
        if _out_of_patience(history, settings.patience):
            break
        started = time.perf_counter()
        seed_everything(seed, epoch, processes.place()[0])
        with fast_draws(task.device), deterministic(task.device):
            totals = _epoch(task, examples, lengths, optimizer, settings, seed, epoch, report)
        entry: dict[str, Any] = {"epoch": epoch, "loss": {name: value / len(examples) for name, value in totals.items()}}
        entry["train_seconds"] = time.perf_counter() - started
        entry["selected"] = evaluate is None
        if evaluate is not None:
            with sharded.assembled() if sharded else nullcontext():
                task.module.eval()
                entry["dev"] = processes.of_first(evaluate)
            entry["selected"] = entry["dev"][select_by] > best
            if entry["selected"]:
                best = entry["dev"][select_by]
                best_weights = parts_of(task.module)
        entry["seconds"] = time.perf_counter() - started
        history.append(entry)
        if checkpoints is not None and (sharded or processes.is_first()):
            selected = evaluate is not None and entry["selected"]
            checkpoints.store(task.module, optimizer.adamw, history, selected=selected)
        if report is not None:
            report(entry)
    if best_weights is not None:
        put_back(task.module, best_weights)
    if sharded:
        sharded.finish()
    task.module.eval()
    return history


def _out_of_patience(history: list[dict[str, Any]], patience: int | None) -> bool:
    last_better = max((h["epoch"] for h in history if h["selected"]), default=0)
    return patience is not None and len(history) - 1 - last_better >= patience


def _shares(whole: Sequence[_E], first: int, count: int, at_once: int | None) -> list[Sequence[_E]]:
    """What process ``first`` of ``count`` computes of a batch, ``at_once`` samples each; as many shares as the others have."""
    own, most = whole[first::count], -(-len(whole) // count)
    at_once = at_once or most
    return [own[start : start + at_once] for start in range(0, most, at_once)]


def _epoch(
    task: Task,
    examples: Sequence[Any],
    lengths: Sequence[int],
    optimizer: ScheduledAdamW,
    settings: TrainingSettings,
    seed: int,
    epoch: int,
    report: Callable[[dict[str, Any]], None] | None,
) -> dict[str, float]:
    """One pass over the examples; sums of the loss parts, read from the device once, at the end."""
    task.module.train()
    sums: dict[str, Tensor] = {}
    alike = lengths if settings.batches == "by_length" else [0] * len(lengths)
    batches = epoch_batches(alike, settings.batch_size, seed, epoch)
    first, count = processes.place()
    for step, rows in enumerate(batches):
        rows = sorted(rows, key=lengths.__getitem__)  # so that a share is of similar length
        whole = [examples[i] for i in rows]
        longest = max(lengths[i] for i in rows)
        for share in _shares(whole, first, count, settings.samples_at_once):
            with undivided(f"{len(share)} samples at once, the longest of {longest} sub-tokens", LESS_MEMORY):
                batch = task.collate(share or whole[:1])
                with autocast(task.device, settings.precision):
                    parts = task.losses(batch, whole)
                if not share:  # this process computes for nothing, so that all take the same steps
                    parts = {name: 0 * value for name, value in parts.items()}
                sum(parts.values()).backward()
            for name, value in parts.items():
                sums[name] = sums.get(name, 0) + value.detach()
        processes.add_gradients(task.module.parameters())
        optimizer.step(epoch * len(batches) + step)
        if report is not None:
            report({"step": epoch * len(batches) + step + 1, "steps": len(batches) * settings.epochs})
    totals = processes.add_up({name: float(value) for name, value in sums.items()})
    if not all(np.isfinite(value) for value in totals.values()):
        raise FloatingPointError(f"the loss is no longer finite in epoch {epoch}: {totals}; lower the learning rates")
    return totals
