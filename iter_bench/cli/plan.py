"""What a profile needs and costs, for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from iter_bench.terminal import print_whole

if TYPE_CHECKING:
    from iter_bench.preflight import Line, Plan


def show(plan: Plan, console: Console) -> None:
    """A row for all runs that differ in seed and fold only, the sums, and what the hours rest on."""
    bases = list(dict.fromkeys(line.cost.basis for line in plan.lines if line.hours))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("data set", "system", "encoder"):
        table.add_column(name, no_wrap=True)
    for name in ("runs", "done", "hours", "by", "GiB", "can run"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in plan.lines:
        run = line.runs[0]
        context = f" +{run.data.context}" if run.data.context else ""
        encoder = line.encoder if run.encoder == line.encoder else f"{line.encoder}, trained"
        basis = str(bases.index(line.cost.basis) + 1) if line.cost.basis in bases and line.hours else ""
        memory = "?" if line.memory is None else f"{line.memory / 2**30:.1f}"
        cells = (str(len(line.runs)), str(line.finished), _hours(line), basis, memory, "no" if line.problems else "yes")
        table.add_row(f"{run.data.dataset}{context}", run.system, encoder, *cells)
    print_whole(table, console)
    total, possible = plan.hours(plan.lines), plan.hours([line for line in plan.lines if not line.problems])
    runs = sum(len(line.runs) for line in plan.lines)
    rest = f"; the {len(plan.can_run)} that can run: {_of(possible)}" if plan.problems and plan.can_run else ""
    order = "one after the other" if plan.at_once == 1 else f"{plan.at_once} at a time"
    console.print(f"{runs} {'run' if runs == 1 else 'runs'}, {order}: {_of(total)}{rest}", highlight=False)
    console.print(f"On {plan.device}. +N: with N words of context on each side. GiB: peak of training.", highlight=False)
    for i, basis in enumerate(bases, 1):
        console.print(f"  {i}: {basis}", highlight=False)


def missing(plan: Plan) -> str:
    """Everything that keeps runs from running, for an error's text."""
    return "\n".join(f"- {count} {'run' if count == 1 else 'runs'}: {problem}" for problem, count in plan.problems.items())


def _hours(line: Line) -> str:
    return "?" if line.hours is None else f"{line.hours:.2f}" if line.hours < 10 else f"{line.hours:.0f}"


def _of(hours: float | None) -> str:
    return "hours unknown" if hours is None else f"about {hours:.2f} h" if hours < 10 else f"about {hours:.0f} h"
