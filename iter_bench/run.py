"""One run from its settings to its record: load → build → fit → predict → score → record."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from iter_bench import data, environment, mistakes, records, scoring, systems
from iter_bench.cluster import processes
from iter_bench.data import spert
from iter_bench.devices import default_device
from iter_bench.document import Dataset, Document, Extraction, Schema
from iter_bench.errors import DataError, SettingsError, UserError
from iter_bench.files import only_process, sha256_of, told_if_refused, whole_file
from iter_bench.memory import MemoryWatch
from iter_bench.settings import TRAINED, DataSettings, RunSettings

PURPOSES = {"train": "train", "dev": "tune", "test": "score"}
_GIT = TypeAdapter(environment.Git | None)
LAMBDAS = tuple(round(0.05 * i, 2) for i in range(21))


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a run writes: small things that are kept and committed, and large ones that aren't.

    Attributes:
        results: records lie in ``runs/`` below it.
        work: ``<run id>/`` below it holds checkpoints, the trained system and its predictions.
    """

    results: Path = Path("results")
    work: Path = Path("runs")

    @property
    def records(self) -> Path:
        """Records, one file a run."""
        return self.results / "runs"

    def checkpoints(self, run_id: str) -> Path:
        """Training state after the last whole epoch."""
        return self.work / run_id / "checkpoints"

    def system(self, run_id: str) -> Path:
        """The trained system, for ``evaluate`` and ``predict``."""
        return self.work / run_id / "system"

    def encoder(self, run_id: str) -> Path:
        """The trained system's encoder alone, where another run started from it."""
        return self.work / run_id / "encoder"

    def code(self, run_id: str) -> Path:
        """The commit that the run began under."""
        return self.work / run_id / "code.json"

    def predictions(self, run_id: str) -> Path:
        """Predictions on the test split, in SpERT JSON."""
        return self.work / run_id / "predictions.json"

    def _mark(self, run_id: str) -> Path:
        """The SHA-256 of the record of the run that was finished here."""
        return self.work / run_id / "record.sha256"

    def begin(self, run_id: str) -> None:
        """From now on it isn't finished, whatever was finished here before."""
        self._mark(run_id).unlink(missing_ok=True)

    def finish(self, record: records.Record) -> None:
        """Writes the record of a run that wrote its predictions, and last of all that it is finished."""
        file = records.write(record, self.records)
        with whole_file(self._mark(record.run_id)) as mark:
            mark.write(sha256_of(file) + "\n")

    def finished(self, run_id: str) -> records.Record | None:
        """The record of a run that was finished here; another's, as one that came with the clone, says nothing about it."""
        record, mark = records.find(self.records, run_id), self._mark(run_id)
        if record is None or not mark.is_file() or not self.predictions(run_id).is_file():
            return None
        return record if mark.read_text().strip() == sha256_of(self.records / record.file_name) else None


def load_splits(settings: DataSettings, data_dir: Path | None) -> dict[str, Dataset]:
    """The splits that the settings name, by their role: ``train``, ``dev`` (where there is one) and ``test``.

    Raises:
        DataError: data can't be used, or a split has no samples.
    """
    common = {"data_dir": data_dir, "fold": settings.fold, "context": settings.context, "skip_bad": settings.skip_bad}
    splits = {}
    for role in ("train", "dev", "test"):
        if (split := getattr(settings, role)) is not None:
            try:
                splits[role] = data.load(settings.dataset, split, **common)
            except SettingsError as error:  # train was loaded before
                raise SettingsError(f"{error}; data.dev=none trains without one") if role == "dev" else error from None
    for role, dataset in splits.items():
        if not dataset.documents:
            left_out = "; ".join(f"{count} {what}" for what, count in dataset.notes.items()) or "its file has none"
            raise DataError(f"{dataset.name} {dataset.split}: there are no samples to {PURPOSES[role]} on ({left_out})")
    return splits


def execute(
    settings: RunSettings,
    folders: Folders,
    *,
    data_dir: Path | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> records.Record:
    """Trains, scores and records one run; what was finished of it before is not done again.

    Of processes that train together (``cluster/processes.py``) the first alone scores and writes; all get the record.

    Raises:
        UserError: data, settings or a stored checkpoint can't be used, the run was finished on other documents or with other
            weights, or another process does it.
    """
    with only_process(folders.work / settings.run_id) if processes.is_first() else nullcontext():
        finished = _of_first(lambda: folders.finished(settings.run_id))
        if finished is None:
            return _execute(settings, folders, data_dir, report)
        splits = load_splits(settings.data, data_dir)
        if other := other_documents(finished, {role: data.fingerprint(split.documents) for role, split in splits.items()}):
            where = f"{folders.records / finished.file_name}: finished on other documents ({', '.join(other)})"
            raise DataError(f"{where}; take other folders by --results and --work for these")
        if other := other_weights(finished):
            where = f"{folders.records / finished.file_name}: finished with other weights ({', '.join(other)})"
            raise DataError(f"{where}; take other folders by --results and --work for these")
        return finished


def other_documents(record: records.Record, sha256: Mapping[str, str]) -> list[str]:
    """In which of the splits, role → `data.fingerprint`, a finished run saw other documents."""
    return [role for role, of in sha256.items() if role in record.data and record.data[role].sha256 != of]


def other_weights(record: records.Record) -> list[str]:
    """Which files of weights have changed, since a run was finished, in the folder that its encoder names, if that is here."""
    encoder = record.settings.encoder
    if record.weights is None or not record.weights.sha256 or encoder.startswith(TRAINED):
        return []
    from iter_bench.encoders import source_of, weights_of

    try:
        if not source_of(encoder).local:  # a hub's repository may go on, and the record names the commit
            return []
    except SettingsError:
        return []
    then, now = record.weights.sha256, weights_of(encoder)[1]
    return sorted(file for file in then.keys() | now.keys() if then.get(file) != now.get(file))


def _code(file: Path, *, resumed: bool) -> environment.Git | None:
    """The code that the run began with, by ``file``; dirty if another goes on with it, None where that isn't known."""
    now = environment.git_state(Path(environment.__file__))
    if not resumed:
        with whole_file(file) as written:
            written.write(_GIT.dump_json(now).decode() + "\n")
        return now
    try:
        began = _GIT.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
    return began if began == now or began is None else began.model_copy(update={"dirty": True})


def _weights(system: str, encoder: str) -> records.EncoderWeights | None:
    """What the encoder's name gave; None of a system of one's own, which may know other names."""
    if system not in systems.REGISTRY:
        return None
    from iter_bench.encoders import weights_of

    commit, sha256 = weights_of(encoder)
    return records.EncoderWeights(commit=commit, sha256=sha256)


def _of_first(find: Callable[[], records.Record | None]) -> records.Record | None:
    """The record that the first process finds, in all of them."""
    if processes.place()[1] == 1:
        return find()
    text = processes.of_first(lambda: (found := find()) and found.model_dump_json(by_alias=True))
    return text and records.Record.model_validate_json(text)


def _execute(
    settings: RunSettings, folders: Folders, data_dir: Path | None, report: Callable[[dict[str, Any]], None] | None
) -> records.Record:
    started = datetime.now(UTC)
    resumed = folders.checkpoints(settings.run_id).exists()
    code = _code(folders.code(settings.run_id), resumed=resumed) if processes.is_first() else None
    memory = MemoryWatch()
    splits = load_splits(settings.data, data_dir)
    schema = splits["train"].schema
    dev = splits["dev"].documents if "dev" in splits else ()
    encoder = processes.of_first(lambda: encoder_of(settings, folders))
    system = systems.system_class(settings.system).build(
        encoder, schema, splits["train"].documents, settings.model, seed=settings.seed
    )
    weights = _weights(settings.system, encoder) if processes.is_first() else None
    described = {role: describe(system, dataset) for role, dataset in splits.items()}
    history = system.fit(
        splits["train"].documents,
        dev,
        settings.training,
        seed=settings.seed,
        folder=folders.checkpoints(settings.run_id),
        report=report,
    )

    def scored() -> records.Record:
        trained = time.perf_counter()
        with told_if_refused(folders.system(settings.run_id), "its training is kept; make room and run it again"):
            system.save(folders.system(settings.run_id))
            with whole_file(folders.system(settings.run_id) / systems.RUN_FILE) as file:
                file.write(settings.model_dump_json(indent=1) + "\n")
        test = splits["test"].documents
        clock = time.perf_counter()
        batch_size = settings.training.batch_size
        extractions = system.predict(test, batch_size=batch_size)
        seconds = time.perf_counter() - clock
        folders.begin(settings.run_id)
        spert.write_predictions(folders.predictions(settings.run_id), test, extractions)
        scores = records.SplitScores(
            test=scoring.score(test, extractions, schema),
            dev=scoring.score(dev, system.predict(dev), schema) if dev else None,
        )
        curve = None
        if isinstance(system, systems.PredictsAbove):
            curve = lambda_curve(test, system.predict_above(test, 0.0, batch_size=batch_size), schema)
        record = records.Record(
            run_id=settings.run_id,
            settings=settings,
            scores=scores,
            data=described,
            weights=weights,
            history=history,
            durations={"training": sum(epoch["seconds"] for epoch in history), "scoring": time.perf_counter() - trained},
            prediction=records.Prediction(documents=len(test), seconds=seconds, batch_size=batch_size),
            # of a run that went on after an interruption, this process saw a part only
            peak_memory=records.PeakMemory() if resumed else records.PeakMemory(host=memory.host(), device=memory.device()),
            documents={
                criterion: scoring.per_document_counts(test, extractions, schema, "strict", criterion)
                for criterion in scoring.criteria(schema)
            },
            mistakes=mistakes.count(test, extractions, schema),
            parameters=system.parameters,
            device=str(default_device()),
            processes=processes.place()[1],
            lambda_curve=curve,
            environment=environment.describe().model_copy(update={"git": code}),
            started=started,
            finished=datetime.now(UTC),
        )
        folders.finish(record)
        return record

    return _of_first(scored)


def encoder_of(settings: RunSettings, folders: Folders) -> str:
    """The encoder as systems know it: of ``trained:<run id>`` the folder of what that run trained, made where it's missing.

    Raises:
        UserError: that run has no trained system here, or one that doesn't save its encoder.
    """
    if not settings.encoder.startswith(TRAINED):
        return settings.encoder
    run_id = settings.encoder.removeprefix(TRAINED)
    folder, source = folders.encoder(run_id), folders.system(run_id)
    if folder.is_dir():
        return str(folder)
    if not (source / systems.SYSTEM_FILE).is_file():
        raise UserError(f"encoder {settings.encoder}: {source} holds no trained system; do the run {run_id} first")
    system = systems.load_system(source)
    if not isinstance(system, systems.SavesEncoder):
        raise UserError(f"encoder {settings.encoder}: {source} is of {system.name}, whose encoder can't be started from")
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        system.save_encoder(made := Path(scratch) / "encoder")
        with suppress(OSError):  # another worker was faster
            made.rename(folder)
    return str(folder)


def describe(system: systems.System, dataset: Dataset) -> records.SplitData:
    """Counts of a split, with what the system can't reach in it and the F1 that this costs at most.

    Gold of types that the system doesn't have, as another conversion of its data may hold them, is out of its reach too.
    """
    known = [_of_types(document, system.schema) for document in dataset.documents]
    reachable = system.reachable(known)
    pairs = list(zip(dataset.documents, known, strict=True))
    foreign = {
        "entities: of a type that the system lacks": sum(len(all_.entities) - len(of.entities) for all_, of in pairs),
        "relations: of a type that the system lacks, or of such an entity": sum(
            len(all_.relations) - len(of.relations) for all_, of in pairs
        ),
    }
    lost = {**reachable.lost, **{reason: count for reason, count in foreign.items() if count}}
    ceiling = scoring.score(dataset.documents, reachable.extractions, dataset.schema)["strict"] if lost else {}
    noted = replace(dataset, notes={**dataset.notes, **reachable.notes})
    return records.describe_split(
        noted,
        data.fingerprint(dataset.documents),
        unreachable=lost,
        ceiling={criterion: values["f1"] for criterion, values in ceiling.items()},
    )


def _of_types(document: Document, schema: Schema) -> Document:
    """The document with the gold of the schema's types alone; itself where that is all."""
    entities = tuple(entity for entity in document.entities if entity.type in schema.entity_types)
    kept = set(entities)
    relations = tuple(r for r in document.relations if r.type in schema.relation_types and {r.head, r.tail} <= kept)
    if len(entities) == len(document.entities) and len(relations) == len(document.relations):
        return document
    return replace(document, entities=entities, relations=relations)


def lambda_curve(documents: Sequence[Document], scored: Sequence[Extraction], schema: Schema) -> list[dict[str, float]] | None:
    """RE+ (strict) over λ (figure 2), from predictions that hold every relation with its probability."""
    if not schema.relation_types:
        return None
    points = []
    for threshold in LAMBDAS:
        above = [Extraction(e.id, e.entities, tuple(r for r in e.relations if r.score > threshold)) for e in scored]
        counts = scoring.per_document_counts(documents, above, schema, "strict", "re_plus")
        precision, recall, f1 = scoring.precision_recall_f1(*map(sum, zip(*counts, strict=True)))
        points.append({"lambda": threshold, "precision": precision, "recall": recall, "f1": f1})
    return points
