"""Tables from records, and nothing else: as data frames, then as CSV, Markdown, LaTeX or on the terminal."""

from iter_bench.tables.output import formatted, formatted_differences, latex, markdown, rich_table, write
from iter_bench.tables.runs import convention_notes, data_notes, group_runs, runs_table
from iter_bench.tables.significance import NOTE as SIGNIFICANCE_NOTE
from iter_bench.tables.significance import significance_table

__all__ = [
    "SIGNIFICANCE_NOTE",
    "convention_notes",
    "data_notes",
    "formatted",
    "formatted_differences",
    "group_runs",
    "latex",
    "markdown",
    "rich_table",
    "runs_table",
    "significance_table",
    "write",
]
