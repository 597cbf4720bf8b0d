"""The command line: one module a command; heavy imports happen inside the commands."""

from __future__ import annotations

import sys

import typer

from iter_bench import __version__
from iter_bench.cli import (
    cost,
    data,
    evaluate,
    figures,
    ls,
    predict,
    report,
    reproduce,
    score,
    search,
    tables,
    throughput,
    train,
    verify,
)
from iter_bench.cluster import launched
from iter_bench.errors import UserError

app = typer.Typer(
    name="iter-bench",
    help="Entity and relation extraction, reproducibly: train, score, predict and compare systems.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    if launched.count() > 1 and context.invoked_subcommand not in ("train", "reproduce"):
        raise UserError(f"{launched.count()} processes were launched, but {context.invoked_subcommand} runs in one")


app.command("reproduce")(reproduce.reproduce)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("score")(score.score)
app.command("search")(search.search)
app.command("throughput")(throughput.throughput)
app.command("cost")(cost.cost)
app.command("tables")(tables.tables)
app.command("report")(report.report)
app.command("verify")(verify.verify)
app.command("ls")(ls.ls)
app.add_typer(data.app, name="data")
app.add_typer(figures.app, name="figures")


def main() -> None:
    """Entry point: a user's error, or a file that the system refuses, is printed alone and ends with status 2.

    Of several processes the first alone prints, and the one that fails.
    """
    launched.silence_others()
    try:
        app()
    except SystemExit as end:
        if end.code:  # the command line is wrong, as typer says in the first process
            launched.let_first_speak()
        raise
    except Exception as error:
        if launched.tells_of_error():
            if (message := _for_people(error)) is None:
                raise
            print(f"iter-bench: {message}", file=sys.stderr)
        sys.exit(2)


def _for_people(error: Exception) -> str | None:
    """What a person is told; nothing of a defect of ours, which needs its traceback."""
    if isinstance(error, UserError | FloatingPointError):  # the latter: the loss is no longer finite
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:  # of the system, not a library's own
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    if launched.lost_another(error):
        return "another process of this training was killed; the same command goes on after the last whole epoch"
    return None
