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
