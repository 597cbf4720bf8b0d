"""A profile's runs done anew and compared with what is stored of them: scores by document, and example predictions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from iter_bench import examples, execution, matrix, records
from iter_bench.records import Record
from iter_bench.run import Folders


def rerun(
    profile: str,
    results: Path,
    *,
    data_dir: Path | None = None,
    workers: int | None = None,
    report: execution.Report = lambda run, event: None,
) -> list[str]:
    """Does the runs of a profile again in a scratch folder.

    Other processors and versions of torch round otherwise, so it is said how many documents differ.

    Args:
        workers: runs side by side; as `iter-bench reproduce` has them if None.
        report: as in `execution.execute_all`.

    Returns:
        One line for each run without record, that fails, or whose predictions aren't those stored.
    """
    runs = matrix.load_profile(profile).runs()
    stored = {run.run_id: records.find(results / "runs", run.run_id) for run in runs}
    problems = [f"{profile}: the run {run_id} has no record" for run_id, record in stored.items() if record is None]
    left = [run for run in runs if stored[run.run_id] is not None]
    with tempfile.TemporaryDirectory() as scratch:
        folders = Folders(Path(scratch) / "results", Path(scratch) / "runs")
        one = partial(execution.execute_run, folders, data_dir)
        engine = execution.processes(workers or execution.default_workers(len(left)))
        again, failed = execution.execute_all(left, one, engine=engine, report=report)
        problems += [f"{stored[run_id].file_name}: a fresh run failed: {reason}" for run_id, reason in failed.items()]
        for record in again:
            problems += _differences(stored[record.run_id], record)
        if again:
            examples.write(again, folders.predictions, folders.results / "examples")
            problems += _other_examples(results, folders.results)
    return problems


def _differences(stored: Record, again: Record) -> Iterator[str]:
    if again.data["test"].sha256 != stored.data["test"].sha256:
        yield f"{stored.file_name}: its test split holds other documents now"
        return
    for criterion, counts in stored.documents.items():
        if differing := sum(a != b for a, b in zip(counts, again.documents[criterion], strict=True)):
            yield f"{stored.file_name}: a fresh run differs in {criterion} of {differing}/{len(counts)} documents"


def _other_examples(results: Path, fresh: Path) -> Iterator[str]:
    """Compares example predictions of the runs that both folders have."""
    stored, made = (examples.load(folder / "examples", records.load_all(folder / "runs")) for folder in (results, fresh))
    if stored is None or made is None:
        return
    there = {record.run_id: found for record, found in stored.found}
    for record, found in made.found:
        if record.run_id in there and (differing := sum(a != b for a, b in zip(there[record.run_id], found, strict=True))):
            yield (
                f"{results / 'examples' / record.file_name}: a fresh run predicts otherwise in "
                f"{differing}/{len(found)} documents"
            )
