"""``iter-bench verify``: whether the results are what the records say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iter_bench.cli.options import DataDir, Results


def verify(
    text: Annotated[list[Path] | None, typer.Argument(help="Texts whose numbers are checked, besides results/*.md.")] = None,
    rerun: Annotated[str | None, typer.Option(help="Profile whose runs are also done again and compared.")] = None,
    data_dir: DataDir = None,
    results: Results = Path("results"),
) -> None:
    """Check every record, make every table and figure again, and name numbers in texts that no record supports."""
    from iter_bench import summary
    from iter_bench.cli.progress import RunProgress
    from iter_bench.errors import UserError
    from iter_bench.matrix import load_profile
    from iter_bench.rerun import rerun as run_again
    from iter_bench.verify import verify as check
    from iter_bench.verify import verify_figures

    runs = load_profile(rerun).runs() if rerun else []
    for path in (results, *(text or [])):
        if not path.exists():
            raise UserError(f"{path}: there is no such file or folder")
    texts = [*(text or []), *sorted({*results.glob("*.md"), results / summary.NAME})]
    checked, problems, absent = check(results, texts, data_dir)
    checked["figures"], wrong = verify_figures(results)
    problems += [problem for problem in wrong if problem not in problems]  # a record that can't be read
    typer.echo("checked " + ", ".join(f"{count} {what}" for what, count in checked.items()))
    if absent:
        typer.echo(
            f"not at hand, so the hashes in their records weren't checked: {', '.join(absent)} (--data-dir or ITER_BENCH_DATA)"
        )
    if problems:
        left_out = f"\nThe runs of {rerun} are done again once these hold." if rerun else ""
        raise UserError(f"{len(problems)} things don't hold:\n" + "\n".join(problems) + left_out)
    if runs:
        with RunProgress(len(runs)) as progress:
            problems = run_again(runs, results, data_dir=data_dir, report=progress.report)
        if problems:
            raise UserError(f"{len(problems)} things don't hold in fresh runs of {rerun}:\n" + "\n".join(problems))
        typer.echo(f"{len(runs)} fresh runs of {rerun} predict what is stored")
