"""Tables and the figure of throughput records as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement

from iter_bench import plots
from iter_bench.errors import UserError
from iter_bench.plots.throughput import throughput as figure3
from iter_bench.tables import rich_table
from iter_bench.tables import throughput as tables
from iter_bench.throughput.schema import ThroughputRecord

TABLES = {"table1-throughput": tables.data_sets, "throughput-lengths": tables.lengths}
FIGURE = "figure3-throughput"


def write(records: Sequence[ThroughputRecord], results: Path) -> list[Path]:
    """Writes each of ``TABLES`` that has a row, and the figure where there is a VALID record of one length."""
    written = []
    for name, make in TABLES.items():
        if len((made := make(records)).frame):
            written += made.write(results / "tables", name)
    try:
        return written + plots.save(figure3(records), results / "figures", FIGURE)
    except UserError:
        return written  # no VALID record holds documents of one length


def show(records: Sequence[ThroughputRecord]) -> None:
    """Prints Table 1; where no record is of a data set, the table of lengths."""
    made = next((made for make in TABLES.values() if len((made := make(records)).frame)), None)
    if made is not None:
        console, table = Console(), rich_table(made.shown, made.title)
        # lines longer than the terminal are better than columns without their numbers
        console.width = max(console.width, Measurement.get(console, console.options.update(width=300), table).maximum)
        console.print(table)
