"""Runs done anew and compared with what is stored of them: scores by document, and example predictions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

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
        One line for each run without record, that fails, or whose predictions aren't those stored.

    Raises:
        UserError: stored examples are damaged; before anything is done.
    """
    stored = {run.run_id: records.find(results / "runs", run.run_id) for run in runs}
    problems = [f"{results / 'runs'}: the run {run_id} has no record" for run_id, record in stored.items() if record is None]
    left = [run for run in runs if stored[run.run_id] is not None]
    left.sort(key=lambda run: -(stored[run.run_id].durations.get("training") or 0))  # longest first
    shown = _examples(results)
    with tempfile.TemporaryDirectory() as scratch:
        folders = Folders(Path(scratch) / "results", Path(scratch) / "runs")
        one = partial(execution.execute_run, folders, data_dir)
        engine = execution.processes(execution.default_workers(len(left)))
        again, failed = execution.execute_all(left, one, engine=engine, report=report)
        problems += [f"{stored[run_id].file_name}: a fresh run failed: {reason}" for run_id, reason in failed.items()]
        for record in again:
            problems += _differences(stored[record.run_id], record)
        examples.write(again, folders.predictions, folders.results / "examples")
        for name, found in _examples(folders.results).items():
            if differing := sum(a != b for a, b in zip(shown.get(name, found), found, strict=True)):
                problems.append(
                    f"{results / 'examples' / name}: a fresh run predicts otherwise in {differing}/{len(found)} documents"
                )
    return problems


def _examples(results: Path) -> dict[str, tuple[Extraction, ...]]:
    """Example predictions by their record's name; empty where there are none."""
    loaded = examples.load(results / "examples", records.load_all(results / "runs"))
    return {record.file_name: found for record, found in loaded.found} if loaded else {}


def _differences(stored: Record, again: Record) -> Iterator[str]:
    if again.data["test"].sha256 != stored.data["test"].sha256:
        yield f"{stored.file_name}: its test split holds other documents now"
        return
    for criterion, counts in stored.documents.items():
        if differing := sum(a != b for a, b in zip(counts, again.documents[criterion], strict=True)):
            yield f"{stored.file_name}: a fresh run differs in {criterion} of {differing}/{len(counts)} documents"
