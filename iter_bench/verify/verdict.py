"""Doubts about committed results, answered from the records alone: each is re-added, each table and figure made again.

Prose may cite, of a table that could be made again, its numbers, and over the runs of a row the mean and the standard deviation
of precision, recall or F1 in any convention. Of tables of throughput only measured rates, speed-ups, shares of the ceiling and
exponents count. How texts are held against these says `citations`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

import pandas as pd

from iter_bench import citations, data, mistakes, plots, records, scoring, summary, tables
from iter_bench.data.catalogue import MissingData
from iter_bench.data.synthetic import PRESETS
from iter_bench.errors import SettingsError, UserError
from iter_bench.records import Record, RecordError
from iter_bench.report import all_figures, records_of, write_tables
from iter_bench.tables import throughput as throughput_tables
from iter_bench.tables.catalogue import TABLES, load_sources
from iter_bench.throughput import check
from iter_bench.throughput.schema import ThroughputRecord

SIGNIFICANCE = "-significance"


class Verdict(NamedTuple):
    """What `verify` found.

    Attributes:
        checked: how many ``records``, ``splits`` of data, ``tables`` and ``numbers`` were checked.
        problems: one line for each thing that doesn't hold.
        absent: data sets of records whose files aren't at hand, so that the hashes of their documents weren't checked.
    """

    checked: dict[str, int]
    problems: list[str]
    absent: list[str]


def verify(results: Path, texts: Sequence[Path], data_dir: Path | None = None) -> Verdict:
    """Checks ``results`` and the numbers in ``texts``.

    Args:
        results: folder of records and tables.
        texts: Markdown files.
        data_dir: folder of the real corpora; None: none is at hand.
    """
    problems: list[str] = []
    known, splits, absent = [], 0, set()
    for path in sorted((results / "runs").glob("*.json")):
        try:
            record = records.load(path)
        except RecordError as error:
            problems.append(str(error))
            continue
        known.append(record)
        problems += [f"{path}: {problem}" for problem in check_record(record, path.name)]
        try:
            for problem in check_data(record, data_dir):
                problems.append(f"{path}: {problem}")
            splits += len(record.data)
        except MissingData:
            absent.add(record.settings.data.dataset)
    throughput = sorted((results / "throughput").glob("*.json"))
    for path in throughput:
        try:
            measured = records.load(path, ThroughputRecord)
        except RecordError as error:
            problems.append(str(error))
            continue
        problems += [f"{path}: {problem}" for problem in check.check_record(measured, path.name)]
    try:
        sources = load_sources(results)
    except UserError as error:
        sources = None
        problems += [] if problems else [str(error)]  # what is wrong with a record was said above
    if not known and not throughput and not problems:
        problems.append(f"{results}: there is no record in runs/ or throughput/, so nothing to check")
    made, frames, cited = 0, {}, {}
    for name in sorted({path.stem.removesuffix(SIGNIFICANCE) for path in (results / "tables").glob("*.*")}):
        if name in TABLES:
            if not sources:
                continue
            table = TABLES[name](sources)
            write, frame = table.write, table.frame
            measured = [
                (value, None)
                for value in frame.filter(throughput_tables.CITED).to_numpy().ravel()
                if name in throughput_tables.TABLES and not pd.isna(value)
            ]
        else:
            try:
                chosen = records_of(name, known)
            except SettingsError as error:
                problems.append(f"{results / 'tables' / name}.*: {error}")
                continue
            write, frame, measured = partial(write_tables, chosen), tables.runs_table(chosen), _numbers_of(chosen)
        made += 1
        different = _compare(write, results / "tables", name)
        problems += different
        if not different:
            frames[f"tables/{name}.csv"] = frame
            cited[f"tables/{name}.csv"] = measured
    looked_at = 0
    for path in texts:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{path}: can't be read as text in UTF-8 ({error})")
            continue
        if path == results / summary.NAME:  # generated: its numbers are those of the tables
            if text != summary.readme(results):
                problems.append(f"{path}: isn't what `iter-bench tables` writes")
            continue
        numbers, wrong = citations.check(text, cited, frames)
        looked_at += numbers
        problems += [f"{path}, {problem}" for problem in wrong]
    counts = {"records": len(known) + len(throughput), "splits": splits, "tables": made, "numbers": looked_at}
    return Verdict(counts, problems, sorted(absent))


def verify_figures(results: Path) -> tuple[int, list[str]]:
    """Draws every figure below ``results`` again and compares caption and drawing; of the PNG, only whether it is there.

    The drawing is the SVG, which depends on the version of matplotlib too: ``requirements.lock`` has the right one.

    Returns:
        How many figures were drawn, and one line for each thing that doesn't hold.
    """
    folder, drawn, problems = results / "figures", 0, []
    names = sorted({path.stem for path in folder.glob("*.*")})
    try:
        drawings = all_figures(load_sources(results)) if names else {}
    except UserError as error:
        return 0, [str(error)]
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            try:
                again = plots.save(drawings[name](), Path(scratch), name) if name in drawings else []
            except UserError:
                again = []
            if not again:
                problems.append(f"{folder / name}.*: no figure of that name comes from the records")
            drawn += bool(again)
            for path in again:
                if not (stored := folder / path.name).exists():
                    problems.append(f"{stored}: is missing")
                elif path.suffix != ".png" and stored.read_bytes() != path.read_bytes():
                    problems.append(f"{stored}: isn't what the records give")
    return drawn, problems


def check_record(record: Record, name: str) -> Iterator[str]:
    """What in a record contradicts the rest of it: ids, counts and ratios are computed again."""
    if record.run_id != record.settings.run_id:
        yield f"run_id is {record.run_id}, the settings give {record.settings.run_id}"
    if name != record.file_name:
        yield f"should be called {record.file_name}"
    for split in ("test", "dev"):
        for convention, by_criterion in (getattr(record.scores, split) or {}).items():
            for criterion, score in by_criterion.items():
                where = f"scores.{split}.{convention}.{criterion}"
                for place, tally in ((where, score), *((f"{where}.{t}", tally) for t, tally in score.per_type.items())):
                    ratios = scoring.precision_recall_f1(tally.tp, tally.fp, tally.fn)
                    given = (tally.precision, tally.recall, tally.f1)
                    if any(abs(a - b) > 1e-5 for a, b in zip(ratios, given, strict=True)):
                        yield f"{place}: precision, recall and F1 aren't those of tp, fp and fn"
                sums = tuple(sum(getattr(tally, n) for tally in score.per_type.values()) for n in ("tp", "fp", "fn"))
                if score.per_type and sums != (score.tp, score.fp, score.fn):
                    yield f"{where}: the counts aren't the sums over the types"
                for ratio in ("precision", "recall", "f1"):
                    of_types = [getattr(t, ratio) for t in score.per_type.values() if t.tp or t.fp or t.fn]
                    if of_types and abs(mean(of_types) - getattr(score.macro, ratio)) > 1e-4:
                        yield f"{where}: macro {ratio} isn't the mean over the types"
    for criterion, counts in record.documents.items():
        score = record.scores.test["strict"][criterion]
        if tuple(map(sum, zip(*counts, strict=True))) != (score.tp, score.fp, score.fn):
            yield f"documents.{criterion}: the counts of the documents don't add up to those of scores.test.strict"
        if len(counts) != record.data["test"].documents:
            yield f"documents.{criterion}: {len(counts)} documents, the split has {record.data['test'].documents}"
    for kind, criterion in (("entities", "ner"), ("relations", "re_plus")):
        score = record.scores.test["strict"].get(criterion)
        if score is not None and score.tp + score.fn != getattr(record.data["test"], kind):
            yield f"scores.test.strict.{criterion}: hits and misses aren't the {kind} of the split"
        if kind in record.mistakes and mistakes.totals(record.mistakes[kind]) != (score.tp, score.fp, score.fn):
            yield f"mistakes.{kind}: the classes don't add up to the counts of scores.test.strict.{criterion}"
    if record.finished < record.started:
        yield "finished before it started"


def check_data(record: Record, data_dir: Path | None) -> Iterator[str]:
    """Which splits of a record aren't those at hand, by hash and counts; the embedded corpora are made again.

    Raises:
        MissingData: files of the data set aren't below ``data_dir``, or that is None.
    """
    settings = record.settings.data
    if data_dir is None and settings.dataset not in PRESETS:
        raise MissingData(f"{settings.dataset}: no folder of data was given")
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


def _compare(write: Callable[[Path, str], list[Path]], folder: Path, name: str) -> list[str]:
    with tempfile.TemporaryDirectory() as scratch:
        again = {path.name: path.read_bytes() for path in write(Path(scratch), name)}
    there = {path.name for stem in (name, name + SIGNIFICANCE) for path in folder.glob(f"{stem}.*")}
    problems = [f"{folder / file}: no table of that name comes from the records" for file in sorted(there - set(again))]
    for file, content in again.items():
        if file not in there:
            problems.append(f"{folder / file}: is missing")
        elif (folder / file).read_bytes() != content:
            problems.append(f"{folder / file}: isn't what the records give")
    return problems


def _numbers_of(chosen: Sequence[Record]) -> list[citations.Measured]:
    """The numbers that the records support, as prose may have them, with their deviations."""
    table = tables.runs_table(chosen)
    found = [
        (row[name], row.get(f"{name}_std"))
        for _, row in table.iterrows()
        for name in table.select_dtypes("number").columns
        if not name.endswith("_std")
    ]
    for group in tables.group_runs(chosen):
        for convention, by_criterion in group.records[0].scores.test.items():
            for criterion in by_criterion:
                for ratio in ("precision", "recall", "f1"):
                    values = [getattr(record.scores.test[convention][criterion], ratio) for record in group.records]
                    found.append((mean(values), stdev(values) if len(values) > 1 else None))
    return [(value, None if pd.isna(std) else std) for value, std in found if not pd.isna(value)]
