"""``iter-bench tables``: every table again, from the records alone."""

from __future__ import annotations

from pathlib import Path

import typer

from iter_bench.cli.options import Results


def tables(results: Results = Path("results")) -> None:
    """Make every table of RESULTS/tables again from the records, and RESULTS/README.md."""
    from iter_bench import summary
    from iter_bench.report import write_all_tables
    from iter_bench.tables.catalogue import load_recorded

    written = write_all_tables(load_recorded(results), results / "tables")
    typer.echo(f"{len(written)} files in {results / 'tables'}, all on one page in {summary.write(results)}")
