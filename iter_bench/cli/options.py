"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None, typer.Option(help="Folder with the real corpora.", envvar="ITER_BENCH_DATA", show_default=False)
]
Results = Annotated[Path, typer.Option(help="Folder for records, tables and figures.")]
Work = Annotated[Path, typer.Option(help="Folder for checkpoints, trained systems and predictions.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave bad records out, counted and listed, instead of stopping.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Samples a batch.")]


class Engine(StrEnum):
    """What does the work."""

    local = "local"
    ray = "ray"


OnEngine = Annotated[
    Engine,
    typer.Option(help="local: processes of this machine; ray: Ray, here or on the cluster that RAY_ADDRESS names."),
]
