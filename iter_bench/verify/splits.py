"""Whether records and ``data.json`` say of the data what they hold: what is at hand is read again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from iter_bench import data, records
from iter_bench.data import table
from iter_bench.data.catalogue import MissingData
from iter_bench.data.stand_in import NOTE as STAND_IN
from iter_bench.data.synthetic import PRESETS
from iter_bench.errors import UserError
from iter_bench.records import Record
from iter_bench.tables.data import DataStatistics
from iter_bench.throughput.schema import MeasuredDocuments, ThroughputRecord
from iter_bench.throughput.settings import Workload
from iter_bench.throughput.workloads import describe, documents_of


def check_data(record: Record, data_dir: Path | None) -> Iterator[str]:
    """Which splits of a record aren't those at hand, by hash and counts; the embedded corpora are made again.

    Raises:
        MissingData: files of the data set aren't below ``data_dir``, or that is None.
    """
    settings = record.settings.data
    _need(settings.dataset, data_dir)
    for role, stored in record.data.items():
        try:
            again = _split(settings.dataset, stored.split, data_dir, settings.fold, settings.context, settings.skip_bad)
        except MissingData:
            raise
        except UserError as error:
            yield f"data.{role}: can't be read again: {error}"
            continue
        if again != {name: getattr(stored, name) for name in again}:
            yield f"data.{role}: hash or counts aren't those of the split {stored.split} of {settings.dataset}"


@cache
def _split(
    dataset: str, split: str, data_dir: Path | None, fold: int | None, context: int, skip_bad: bool
) -> dict[str, str | int]:
    """Hash and counts of a split."""
    loaded = data.load(dataset, split, data_dir=data_dir, fold=fold, context=context, skip_bad=skip_bad)
    return records.describe_split(loaded, data.fingerprint(loaded.documents)).model_dump(
        include={"sha256", "documents", "words", "entities", "relations"}
    )


def check_documents(record: ThroughputRecord, data_dir: Path | None) -> Iterator[str]:
    """What a throughput record says of its documents that those of its workload, made or read again, aren't.

    Entities and relations are those of its structure. Gold that is imposed is all that generated documents have, for they suit
    each of our systems; of a corpus or under another system it is at most that. A trained system may predict anything.

    Raises:
        MissingData: files of the workload's corpus aren't below ``data_dir``, or that is None.
    """
    workload, stored = record.settings.workload, record.documents
    if workload.corpus:
        _need(workload.corpus, data_dir)
    try:
        gold = _measured(workload, data_dir)
    except MissingData:
        raise
    except UserError as error:
        yield f"documents: can't be made again: {error}"
        return
    counted = {"entities", "relations"}
    if stored.model_dump(exclude=counted) != gold.model_dump(exclude=counted):
        yield f"documents: hash, counts or lengths aren't those of the workload {workload.name}"
    elif record.structure == "gold":
        whole = workload.corpus is None and ":" not in record.settings.subject.system
        for name in sorted(counted):
            found, there = getattr(stored, name), getattr(gold, name)
            if found > there or (whole and found < there):
                yield f"documents.{name}: is {found}, the workload {workload.name} has {there}"


@cache
def _measured(workload: Workload, data_dir: Path | None) -> MeasuredDocuments:
    """The documents of a workload, with all of their gold."""
    documents, _ = documents_of(workload, data_dir)
    return describe(documents, sum(len(d.entities) for d in documents), sum(len(d.relations) for d in documents))


def _need(dataset: str, data_dir: Path | None) -> None:
    if data_dir is None and dataset not in PRESETS:
        raise MissingData(f"{dataset}: no folder of data was given")


def check_statistics(stored: DataStatistics, known: Sequence[Record], data_dir: Path | None) -> tuple[list[str], set[str]]:
    """Holds ``data.json`` against the records' counts of the same splits, and against the data at hand.

    Args:
        stored: what the file holds.
        known: records, of which those that leave bad samples out are no measure.
        data_dir: folder of the real corpora, or None.

    Returns:
        A line for each split that differs, and the data sets that aren't at hand.
    """
    rows = {(row.dataset, row.split): row for row in stored.rows if row.measured}
    problems: dict[str, None] = {}  # in order, each once
    for record in known:
        settings = record.settings.data
        for split in () if settings.skip_bad else record.data.values():
            fold = "" if settings.fold is None or split.split == "all" else f", fold {settings.fold}"
            row = rows.get((settings.dataset, f"{split.split}{fold}"))
            if row is None or (STAND_IN in row.notes) != (STAND_IN in split.notes):
                continue
            measured = row.measured
            if (measured.samples, measured.entities, measured.relations) != (split.documents, split.entities, split.relations):
                problems[f"{row.dataset} {row.split}: samples, entities or relations aren't those of {record.file_name}"] = None
    absent = set()
    for dataset in dict.fromkeys(name for name, _ in rows):
        try:
            _need(dataset, data_dir)
            found = table.rows(dataset, data_dir, table.subtokens_of(stored.encoder))
        except MissingData:
            absent.add(dataset)
            continue
        except UserError as error:
            problems[f"{dataset}: can't be measured again: {error}"] = None
            continue
        for again in found:
            if again.measured is None:
                continue
            row = rows.get((dataset, again.split))
            compared = {"measured", "paper_samples", "notes"}
            wanted = {name: value for name, value in again.as_dict().items() if name in compared}
            if row is None or row.model_dump(include=compared) != wanted:
                problems[f"{dataset} {again.split}: isn't what `iter-bench data stats --json` gives here"] = None
    return list(problems), absent
