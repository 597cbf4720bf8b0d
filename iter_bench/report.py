"""Tables and figures of a set of records: files under ``results/``, and the table on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement

from iter_bench import plots, tables
from iter_bench.records import Record


def write_tables(records: Sequence[Record], folder: Path, name: str) -> list[Path]:
    """Writes ``<name>.*``, and ``<name>-significance.*`` where there is anything to compare, into ``folder``."""
    table = tables.runs_table(records)
    written = tables.write(table, tables.formatted(table), folder, name, tables.convention_notes(records))
    differences = tables.significance_table(records)
    if len(differences):
        text, note = tables.formatted_differences(differences), tables.SIGNIFICANCE_NOTE
        written += tables.write(differences, text, folder, f"{name}-significance", [note])
    return written


def write_report(records: Sequence[Record], results: Path, name: str) -> list[Path]:
    """Writes ``tables/<name>.*`` and ``figures/<name>-*`` below ``results``, prints the table, and says where all is."""
    written = write_tables(records, results / "tables", name)
    figures = {"scores": plots.scores(records), "learning-curve": plots.learning_curve(records)}
    if any(record.lambda_curve for record in records):
        figures["lambda-curve"] = plots.lambda_curve(records)
    for kind, plot in figures.items():
        written += plots.save(plot, results / "figures", f"{name}-{kind}")
    console = Console()
    shown = tables.rich_table(tables.formatted(tables.runs_table(records), full=False), name)
    console.width = max(console.width, Measurement.get(console, console.options.update(width=200), shown).maximum)
    console.print(shown)  # lines longer than the terminal are better than columns without their numbers
    for folder, what in (("runs", "records"), ("tables", "tables"), ("figures", "figures")):
        console.print(f"{what}: {results / folder}", soft_wrap=True)
    return written
