"""``iter-bench report``: all tables and figures on one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iter_bench.cli.options import Results


def report(
    results: Results = Path("results"),
    output: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
) -> None:
    """Write one self-contained HTML page with every table and figure that RESULTS has records for."""
    from iter_bench import html_report
    from iter_bench.tables.catalogue import load_recorded

    path = html_report.write(load_recorded(results), output)
    typer.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB, opens without a network")
