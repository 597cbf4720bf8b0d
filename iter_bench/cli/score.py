"""`iter-bench score`: any two files against each other, in every convention."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

from iter_bench.cli.options import Json


def score(
    gold: Annotated[Path, typer.Argument(help="Gold samples, SpERT JSON.", show_default=False)],
    pred: Annotated[Path, typer.Argument(help="The same samples with predicted annotations, SpERT JSON.", show_default=False)],
    types: Annotated[Path, typer.Option(help="The types file of the data set.", show_default=False)],
    json: Json = False,
) -> None:
    """Scores predictions against gold: NER, RE and RE+ in the conventions strict, pl_marker and surface."""
    from iter_bench import scoring
    from iter_bench.data import spert

    schema = spert.read_types(types)
    documents, notes = spert.read(gold, schema, skip_bad=None)  # the predictions are of all of them
    scores = scoring.score(documents, spert.read_predictions(pred, schema, documents), schema)
    if json:
        typer.echo(dumps(scores, indent=1))
    else:
        show(scores)
    for reason, count in notes.items():
        typer.echo(f"{gold}: {count} {reason}", err=True)


def show(scores: dict[str, dict[str, Any]]) -> None:
    """Prints what `iter_bench.scoring.score` gives as a table (ratios in percent)."""
    from rich.table import Table

    from iter_bench.terminal import console

    table = Table("convention", "criterion", title="micro P, R, F1 and macro F1, in percent")
    for name in ("P", "R", "F1", "macro", "tp", "fp", "fn"):
        table.add_column(name, justify="right")
    for convention, by_criterion in scores.items():
        for criterion, entry in by_criterion.items():
            ratios = (entry["precision"], entry["recall"], entry["f1"], entry["macro"]["f1"])
            counts = (entry["tp"], entry["fp"], entry["fn"])
            table.add_row(convention, criterion, *(f"{100 * x:.2f}" for x in ratios), *map(str, counts))
        table.add_section()
    console().print(table)
