"""``iter-bench reproduce``: all runs of a profile, then its tables and figures."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from iter_bench.cli.options import DataDir, Results, Work


def reproduce(
    profile: Annotated[str, typer.Option(help="Name of a profile of the package, or a .toml file.")] = "quick",
    workers: Annotated[int, typer.Option(min=1, help="Runs side by side, each with its share of the cores.")] = 1,
    data_dir: DataDir = None,
    results: Results = Path("results"),
    work: Work = Path("runs"),
) -> None:
    """Train and score every run of a profile; finished runs are skipped, an interrupted one goes on where it was."""
    from iter_bench import examples, matrix
    from iter_bench.cli.progress import RunProgress, console
    from iter_bench.errors import UserError
    from iter_bench.report import write_report
    from iter_bench.run import Folders, load_splits

    runs = matrix.load_profile(profile).runs()
    folders = Folders(results, work)
    finished = {run.run_id for run in runs if folders.finished(run.run_id)}
    for data in {run.data for run in runs if run.run_id not in finished}:
        load_splits(data, data_dir)  # what is missing or damaged is said before anything is trained
    console.print(f"profile {profile}: {len(runs)} runs, {len(finished)} of them finished before")
    with RunProgress(len(runs)) as progress:
        one = partial(execute_run, folders, data_dir)
        done, failed = matrix.execute_all(runs, one, workers=workers, report=progress.report)
    if done:
        write_report(done, results, Path(profile).stem)
        examples.write(done, folders.predictions, results / "examples")
    if failed:
        raise UserError(f"{len(failed)} of {len(runs)} runs failed:\n" + "\n".join(f"{i}: {why}" for i, why in failed.items()))


def execute_run(folders, data_dir, run, report):
    """`run.execute` with the arguments that vary last, for workers in other processes."""
    from iter_bench.run import execute

    return execute(run, folders, data_dir=data_dir, report=report)
