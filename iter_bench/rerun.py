"""Runs done anew and compared with what is stored of them: scores by document, and example predictions."""

from __future__ import annotations

import tempfile
from collections.abc import Container, Iterator, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from iter_bench import examples, execution, records
from iter_bench.document import Extraction
from iter_bench.records import Record
from iter_bench.run import Folders
from iter_bench.settings import RunSettings


def rerun(runs: Sequence[RunSettings], results: Path, *, data_dir: Path | None = None, report: execution.Report) -> list[str]:
    """Does the runs again in a scratch folder, side by side as `iter-bench reproduce` does.

    Other processors and versions of torch round otherwise, so it is said how many documents differ.

    Args:
        report: as in `execution.execute_all`.

    Returns:
        One line for each run without record, that fails, or whose predictions aren't those stored, and for each file of
        examples that is missing or differs. Of a system with several runs on the embedded corpus the one whose examples are
        stored is compared.

    Raises:
        UserError: stored examples are damaged; before anything is done.
    """
    stored = {run.run_id: records.find(results / "runs", run.run_id) for run in runs}
    problems = [f"{results / 'runs'}: the run {run_id} has no record" for run_id, record in stored.items() if record is None]
    left = [run for run in runs if stored[run.run_id] is not None]
    left.sort(key=lambda run: -(stored[run.run_id].durations.get("training") or 0))  # longest first
    folder = results / "examples"
    shown = _examples(results)
    chosen = _with_examples([record for record in stored.values() if record], shown)
    wanted = [examples.GOLD, *(record.file_name for record in chosen)] if chosen else []
    problems += [
        f"{folder / name}: is missing; `iter-bench reproduce` writes it" for name in wanted if not (folder / name).is_file()
    ]
    with tempfile.TemporaryDirectory() as scratch:
        folders = Folders(Path(scratch) / "results", Path(scratch) / "runs")
        one = partial(execution.execute_run, folders, data_dir)
        engine = execution.processes(execution.default_workers(len(left)))
        again, failed = execution.execute_all(left, one, engine=engine, report=report)
        problems += [f"{stored[run_id].file_name}: a fresh run failed: {reason}" for run_id, reason in failed.items()]
        for record in again:
            problems += _differences(stored[record.run_id], record)
        ids = {record.run_id for record in chosen}
        fresh = folders.results / "examples"
        examples.write([record for record in again if record.run_id in ids], folders.predictions, fresh)
        gold, gold_again = folder / examples.GOLD, fresh / examples.GOLD
        if gold.is_file() and gold_again.is_file() and gold.read_bytes() != gold_again.read_bytes():
            problems.append(f"{gold}: isn't what the corpus gives")
        for name, found in _examples(folders.results).items():
            if name in shown and (differing := _differing(shown[name], found)):
                problems.append(f"{folder / name}: a fresh run predicts otherwise in {differing}/{len(found)} documents")
    return problems


def _with_examples(known: Sequence[Record], shown: Container[str]) -> list[Record]:
    """The records whose examples are compared: of each system that whose examples are stored, or the first if none is."""
    chosen: dict[str, Record] = {}
    for record in sorted(known, key=lambda record: record.file_name not in shown):
        if (record.settings.data.dataset, record.settings.data.test) == (examples.DATASET, examples.SPLIT):
            chosen.setdefault(record.system, record)
    return list(chosen.values())


def _examples(results: Path) -> dict[str, tuple[Extraction, ...]]:
    """Example predictions by their record's name; empty where there are none."""
    loaded = examples.load(results / "examples", records.load_all(results / "runs"))
    return {record.file_name: found for record, found in loaded.found} if loaded else {}


def _differences(stored: Record, again: Record) -> Iterator[str]:
    if again.data["test"].sha256 != stored.data["test"].sha256:
        yield f"{stored.file_name}: its test split holds other documents now"
        return
    for criterion, counts in again.documents.items():
        if criterion not in stored.documents:
            yield f"{stored.file_name}: has no {criterion} by document to compare a fresh run with; do the run again"
        elif differing := _differing(stored.documents[criterion], counts):
            yield f"{stored.file_name}: a fresh run differs in {criterion} of {differing}/{len(counts)} documents"


def _differing(stored: Sequence[Any], again: Sequence[Any]) -> int:
    """How many of the values differ; one that only either side has does."""
    return sum(a != b for a, b in zip_longest(stored, again))
