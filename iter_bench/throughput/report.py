"""What a sweep leaves beside its records: the same files as ``iter-bench tables`` and ``iter-bench figures`` write."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from iter_bench import records, summary
from iter_bench.plots.throughput import FIGURES
from iter_bench.report import draw_filled, write_filled
from iter_bench.tables import rich_table
from iter_bench.tables.throughput import TABLES, brief, of_reading
from iter_bench.terminal import console, print_whole
from iter_bench.throughput.readings import READINGS
from iter_bench.throughput.schema import ThroughputRecord


def write(results: Path) -> list[Path]:
    """Writes each of `TABLES` and `FIGURES` that the records below ``results`` fill, and ``README.md``."""
    known = records.load_all(results / "throughput", ThroughputRecord)
    written = write_filled(TABLES, known, results / "tables")
    written += draw_filled({name: partial(draw, known) for name, draw in FIGURES.items()}, results / "figures")
    return [*written, summary.write(results)]


def show(measured: Sequence[ThroughputRecord]) -> None:
    """Prints the table of each reading that anything was measured in; published figures stand in the files."""
    screen = console()
    for name in READINGS:
        if len(text := brief(made := of_reading(name, measured))):
            print_whole(rich_table(text, made.title), screen, width=300)
