"""``iter-bench cost``: what many documents would take, by throughput records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iter_bench.cli.options import Json, Results
from iter_bench.errors import UserError


def cost(
    documents: Annotated[int, typer.Option(min=1, help="How many documents are to be extracted from.")] = 1_000_000_000,
    results: Results = Path("results"),
    json: Json = False,
) -> None:
    """Calculate hours and energy of a large extraction from the throughput records of RESULTS, with the inputs."""
    from json import dumps

    from rich.table import Table

    from iter_bench import records
    from iter_bench.terminal import console, print_whole
    from iter_bench.throughput.cost import CALCULATION, costs
    from iter_bench.throughput.schema import ThroughputRecord

    rows = costs(records.load_all(results / "throughput", ThroughputRecord), documents)
    if not rows:
        raise UserError(f"{results / 'throughput'} holds no VALID record; `iter-bench throughput` measures")
    if json:
        print(dumps({"documents": documents, "calculation": CALCULATION, "costs": rows}))
        return
    table = Table(*(name.replace("_", " ") for name in rows[0]), title=f"{documents:,} documents")
    for row in rows:
        table.add_row(
            *("" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values())
        )
    screen = console()
    print_whole(table, screen, width=1000)
    screen.print(CALCULATION)
