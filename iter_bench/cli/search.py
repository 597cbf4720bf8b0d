"""``iter-bench search``: hyper-parameters on a development split."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from iter_bench.cli.options import DataDir, Results, Work


def search(
    name: Annotated[str, typer.Argument(help="Name of a search of the package, or a .toml file.")],
    workers: Annotated[int, typer.Option(min=1, help="Trials side by side, each with its share of the cores.")] = 1,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Count the trials that RESULTS has a record of, wherever they ran.")
    ] = False,
    data_dir: DataDir = None,
    results: Results = Path("results"),
    work: Work = Path("runs"),
) -> None:
    """Search hyper-parameters on a development split; an interrupted search goes on where it was."""
    from iter_bench import search as searches
    from iter_bench.cli.progress import RunProgress, console
    from iter_bench.errors import UserError
    from iter_bench.execution import execute_run, processes
    from iter_bench.report import write_report
    from iter_bench.run import Folders, load_splits

    wanted = searches.load_search(name)
    load_splits(wanted.base.data, data_dir)
    stem = f"search-{Path(name).stem}"
    folders = Folders(results, work)
    with RunProgress(wanted.trials) as progress:
        done, failed = searches.optimise(
            wanted,
            partial(execute_run, folders, data_dir),
            engine=processes(workers),
            report=progress.report,
            journal=work / f"{stem}.journal",
            stored=folders.records,
            recorded=recorded,
        )
    if not done:
        raise UserError(f"all {len(failed)} trials failed:\n" + "\n".join(f"{i}: {why}" for i, why in failed.items()))
    write_report(done, results, stem)
    best = results / "searches" / f"{Path(name).stem}.toml"
    searches.write_best(wanted, done[0], best)
    console.print(f"best setting: {best}", soft_wrap=True)
