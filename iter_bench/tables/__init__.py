"""Tables from records, and nothing else: as data frames, then as CSV, Markdown, LaTeX or on the terminal."""

from iter_bench.tables.output import formatted, latex, markdown, rich_table, write
from iter_bench.tables.runs import convention_notes, group_runs, runs_table

__all__ = [
    "convention_notes",
    "formatted",
    "group_runs",
    "latex",
    "markdown",
    "rich_table",
    "runs_table",
    "write",
]
