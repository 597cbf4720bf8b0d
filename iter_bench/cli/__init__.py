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
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


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
    """Entry point: a user's error, or a file that the system refuses, is printed alone and ends with status 2."""
    try:
        app()
    except UserError as error:
        print(f"iter-bench: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        print(f"iter-bench: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
