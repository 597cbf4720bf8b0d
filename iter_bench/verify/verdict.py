"""All checks of a folder of results, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from iter_bench import records
from iter_bench.data.catalogue import MissingData
from iter_bench.errors import UserError
from iter_bench.records import AnyRecord, Record, RecordError
from iter_bench.tables.catalogue import load_sources
from iter_bench.throughput import check
from iter_bench.throughput.schema import ThroughputRecord
from iter_bench.verify.made import check_tables
from iter_bench.verify.predictions import check_predictions
from iter_bench.verify.runs import check_record
from iter_bench.verify.searches import check_searches
from iter_bench.verify.splits import check_data, check_documents, check_statistics
from iter_bench.verify.texts import check_texts

R = TypeVar("R", bound=AnyRecord)


class Verdict(NamedTuple):
    """What `verify` found.

    Attributes:
        checked: how many ``records``, ``splits`` of data, ``tables`` and ``numbers`` were checked.
        problems: one line for each thing that doesn't hold.
        absent: data sets whose files aren't at hand, so that what records and ``data.json`` say of them wasn't checked.
    """

    checked: dict[str, int]
    problems: list[str]
    absent: list[str]


def verify(results: Path, texts: Sequence[Path], data_dir: Path | None = None) -> Verdict:
    """Checks ``results`` and the numbers in ``texts``; tables and texts only where every file can be read.

    Args:
        results: folder of records and tables.
        texts: Markdown files.
        data_dir: folder of the real corpora; None: none is at hand.
    """
    runs, problems = _readable(results / "runs", Record)
    measured, unreadable = _readable(results / "throughput", ThroughputRecord)
    problems += unreadable
    for path, record in runs.items():
        problems += [f"{path}: {problem}" for problem in check_record(record, path.name)]
    for path, record in measured.items():
        problems += [f"{path}: {problem}" for problem in check.check_record(record, path.name)]
    checked = {"records": len(runs) + len(measured), "splits": 0, "tables": 0, "numbers": 0}
    absent: set[str] = set()
    for path, record in runs.items():
        try:
            problems += [f"{path}: {problem}" for problem in check_data(record, data_dir)]
            checked["splits"] += len(record.data)
        except MissingData:
            absent.add(record.settings.data.dataset)
    for path, record in measured.items():
        try:
            problems += [f"{path}: {problem}" for problem in check_documents(record, data_dir)]
        except MissingData:
            absent.add(record.settings.workload.corpus)
    if not runs and not measured:
        problems += [] if problems else [f"{results}: there is no record in runs/ or throughput/, so nothing to check"]
        return Verdict(checked, problems, [])
    try:
        sources = load_sources(results)
    except UserError as error:
        problems += [line for line in str(error).splitlines() if line not in problems]
        return Verdict(checked, problems, sorted(absent))
    problems += check_predictions(results / "examples", sources.records)
    problems += [f"{results / 'searches'}/{problem}" for problem in check_searches(sources)]
    if sources.data:
        wrong, missing = check_statistics(sources.data, sources.records, data_dir)
        problems += [f"{results / 'data.json'}: {problem}" for problem in wrong]
        absent |= missing
    checked["tables"], holding, wrong = check_tables(sources, results / "tables")
    problems += wrong
    checked["numbers"], wrong = check_texts(texts, results, holding)
    return Verdict(checked, problems + wrong, sorted(absent))


def _readable(folder: Path, kind: type[R]) -> tuple[dict[Path, R], list[str]]:
    """The records of a folder that can be read, by file, and a line for each thing that is wrong with the others."""
    found, problems = {}, []
    for path in sorted(folder.glob("*.json")):
        try:
            found[path] = records.load(path, kind)
        except RecordError as error:
            problems += str(error).splitlines()
    return found, problems
