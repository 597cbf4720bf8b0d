"""``iter-bench reproduce``: all runs of a profile, then its tables and figures."""

from __future__ import annotations

import os
from contextlib import nullcontext
from functools import partial
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from iter_bench.cli.options import DataDir, Engine, OnEngine, Results, Work
from iter_bench.errors import SettingsError, UserError


def reproduce(
    profile: Annotated[str, typer.Option(help="Name of a profile of the package, or a .toml file.")] = "quick",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Runs side by side, each with its share of the cores; else 2 on a CPU, or one a GPU."),
    ] = None,
    engine: OnEngine = Engine.local,
    share: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Only the I-th of N shares of the runs, and no tables: for one job of many."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what is missing and what it will cost, and start nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="With --plan: print JSON for a program.")] = False,
    what_can_run: Annotated[bool, typer.Option("--what-can-run", help="Leave out runs that lack something.")] = False,
    data_dir: DataDir = None,
    results: Results = Path("results"),
    work: Work = Path("runs"),
) -> None:
    """Train and score every run of a profile; finished runs are skipped, an interrupted one goes on where it was.

    What is missing, and how many hours it will take, is said before anything starts; if something is, nothing does.
    """
    from iter_bench import examples, execution, matrix, preflight
    from iter_bench.cli.plan import missing, show
    from iter_bench.cli.progress import RunProgress, console
    from iter_bench.cluster import launched
    from iter_bench.report import write_report
    from iter_bench.run import Folders
    from iter_bench.terminal import console as new_console

    if json and not plan:
        raise SettingsError("--json goes with --plan")
    if launched.count() > 1 and (engine is Engine.ray or (workers or 1) > 1):
        raise SettingsError("processes that train together go with neither --workers nor --engine ray")
    if workers and engine is Engine.ray:
        raise SettingsError("--workers goes with --engine local; on Ray, `resources` in the profile says how many runs fit")

    whole = matrix.load_profile(profile)
    runs = whole.runs() if share is None else matrix.share(whole.runs(), *_share(share))
    folders = Folders(results, work)
    elsewhere = engine is Engine.ray and "RAY_ADDRESS" in os.environ
    if engine is Engine.ray:
        workers, threads = 1, min((given.cpus for given in whole.resources().values()), default=None)
    else:
        workers = min(workers or execution.default_workers(len(runs)), max(1, len(runs)))
        threads = None if workers == 1 else execution.share_of_cores(workers)
    planned = preflight.plan(runs, folders, data_dir, at_once=workers, threads=threads, elsewhere=elsewhere)
    if plan and json:
        typer.echo(dumps(planned.as_json(), indent=1))
        return
    show(planned, new_console(stderr=not plan))
    if planned.problems:
        said = f"profile {profile}: {len(runs) - len(planned.can_run)} of {len(runs)} runs lack something:\n{missing(planned)}"
        if plan:
            typer.echo(said)
        elif not what_can_run:
            raise UserError(f"{said}\nNothing was started; --what-can-run starts the other {len(planned.can_run)}.")
        else:
            console.print(said, highlight=False)
    if plan:
        return
    runs, finished = planned.can_run, sum(line.finished for line in planned.lines if not line.problems)
    console.print(f"profile {profile}: {len(runs)} run{'s' * (len(runs) != 1)}, {finished} of them finished before")
    if engine is Engine.ray:
        from iter_bench.cluster import on_ray

        resources = whole.resources()
        left = [run.run_id for run in runs if folders.finished(run.run_id) is None]
        opened = on_ray.engine(folders, {run_id: resources[run_id] for run_id in left})
    else:
        opened = nullcontext(execution.processes(workers))
    with opened as does, RunProgress(len(runs)) as progress:
        one = partial(execution.execute_run, folders, data_dir)
        done, failed = execution.execute_all(runs, one, engine=does, report=progress.report)
    if done and share is None and launched.number() == 0:
        write_report(done, results, Path(profile).stem)
        examples.write(done, folders.predictions, results / "examples")
    if failed:
        raise UserError(f"{len(failed)} of {len(runs)} runs failed:\n" + "\n".join(f"{i}: {why}" for i, why in failed.items()))


def _share(text: str) -> tuple[int, int]:
    part, slash, of = text.partition("/")
    if not (slash and part.isdecimal() and of.isdecimal() and 1 <= int(part) <= int(of)):
        raise SettingsError(f"--share {text}: write it as I/N, as in 2/5, with I from 1 to N")
    return int(part), int(of)
