"""``iter-bench evaluate``: a trained system on any split."""

from __future__ import annotations

import sys
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from iter_bench.cli.options import BatchSize, DataDir, Json, SkipBad


def evaluate(
    system: Annotated[str, typer.Argument(help="Folder of a trained system, or a checkpoint's folder or hub name.")],
    dataset: Annotated[str, typer.Option(help="Data set; `iter-bench ls datasets`.")] = "synthetic",
    split: Annotated[str, typer.Option(help="Split; join several with +.")] = "test",
    fold: Annotated[int | None, typer.Option(min=0, help="Fold of a cross-validated data set.")] = None,
    context: Annotated[
        int | None, typer.Option(min=0, help="Context words on each side; by default what the system was trained with.")
    ] = None,
    skip_bad: SkipBad = False,
    output: Annotated[Path | None, typer.Option(help="Write the predictions there, in SpERT JSON.")] = None,
    batch_size: BatchSize = 8,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Score a trained system on a split, in all conventions.

    As JSON, `data` describes the split as a record does, with the gold in it that is out of the system's reach, and `scores`
    are keyed as those of `iter-bench score`.
    """
    from iter_bench import data, scoring, systems
    from iter_bench.cli.notes import lines_of
    from iter_bench.cli.score import show
    from iter_bench.data import spert
    from iter_bench.errors import DataError
    from iter_bench.run import describe

    if context is None:
        trained = systems.run_of(system)
        if context := trained.data.context if trained else 0:
            print(f"{context} words of context on each side, as in its training; --context changes that", file=sys.stderr)
    loaded = data.load(dataset, split, data_dir=data_dir, fold=fold, context=context, skip_bad=skip_bad)
    extractor = systems.load_system(system)
    if isinstance(extractor, systems.ChoosesPrecision) and extractor.precision != "auto":
        print(f"computing in {extractor.precision}, as in its training", file=sys.stderr)
    for kind, known, wanted in (
        ("entity", extractor.schema.entity_types, loaded.schema.entity_types),
        ("relation", extractor.schema.relation_types, loaded.schema.relation_types),
    ):
        if not set(known) <= set(wanted):
            raise DataError(f"{system} predicts {kind} types {list(known)}, {dataset} has {list(wanted)}: they don't fit")
    described = describe(extractor, loaded)
    for line in lines_of(described):
        print(line, file=sys.stderr)
    extractions = extractor.predict(loaded.documents, batch_size=batch_size)
    if output is not None:
        spert.write_predictions(output, loaded.documents, extractions)
    scores = scoring.score(loaded.documents, extractions, loaded.schema)
    if json:
        typer.echo(dumps({"data": described.model_dump(mode="json"), "scores": scores}, indent=1))
    else:
        show(scores)
