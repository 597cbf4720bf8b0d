"""What is shown on the terminal: texts as they are, whatever paths, types and errors of others hold."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


def console(**options: Any) -> Console:
    """A console that takes no text for markup or an emoji's name; ``options`` are those of rich."""
    return Console(markup=False, emoji=False, **options)


def print_whole(table: Table, shown_on: Console, width: int = 200) -> None:
    """Prints the table in lines longer than the terminal, if need be: better than columns without their numbers.

    Args:
        table: any.
        shown_on: becomes as wide as the table.
        width: the most characters that a line may have; a pipe or file has no width of its own.
    """
    needed = Measurement.get(shown_on, shown_on.options.update(width=width), table).maximum
    shown_on.width = max(shown_on.width, needed)
    shown_on.print(table)
