"""``iter-bench figures``: every figure again, from the records alone."""

from __future__ import annotations

from pathlib import Path

import typer

from iter_bench.cli.options import Results


def figures(results: Results = Path("results")) -> None:
    """Draw every figure of RESULTS/figures again from the records, and RESULTS/README.md."""
    from iter_bench import summary
    from iter_bench.report import write_all_figures
    from iter_bench.tables.catalogue import load_sources

    written = write_all_figures(load_sources(results), results / "figures")
    typer.echo(f"{len(written)} files in {results / 'figures'}, all on one page in {summary.write(results)}")
