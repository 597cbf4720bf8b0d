"""``iter-bench throughput``: documents a second of all systems, measured in alternation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iter_bench.cli.options import DataDir, Results, Work

if TYPE_CHECKING:
    from iter_bench.throughput.sweep import Step


def throughput(
    sweep: Annotated[
        str | None,
        typer.Argument(
            help="Name of a sweep of the package, or a .toml file.", show_default="gpu where CUDA is present, else quick"
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=2,
            help="Of this call, one of them kept for tables and figures: a cell begins only if one as long as the longest so "
            "far would end within; the next call goes on there.",
            show_default="the sweep's",
        ),
    ] = None,
    data_dir: DataDir = None,
    results: Results = Path("results"),
    work: Work = Path("runs"),
) -> None:
    """Measure documents a second, write records, Table 1 and Figure 3; what was measured here, and is VALID, is skipped."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from iter_bench.cli.progress import console
    from iter_bench.devices import default_device
    from iter_bench.errors import UserError
    from iter_bench.throughput import report
    from iter_bench.throughput.sweep import load_sweep, records_of, run

    sweep = sweep or ("gpu" if default_device().type == "cuda" else "quick")
    wanted, folder, here = load_sweep(sweep), results / "throughput", work / "throughput"
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        bar = bars.add_task("cells", total=None)

        def tell(step: Step) -> None:
            bars.update(bar, description=str(step.cell), total=step.of, completed=step.number - (step.records is None))
            if step.records is not None:
                console.print(line_of(step), soft_wrap=True)

        outcome = run(wanted, folder, here, data_dir=data_dir, minutes=minutes, report=tell)
    invalid = [record for record in outcome.measured if not record.valid]
    for reason in outcome.skipped:
        console.print(f"left out: {reason}", soft_wrap=True)
    for record in invalid:
        console.print(f"INVALID: {record.file_name}: {'; '.join(record.problems)}", soft_wrap=True)
    for cell in outcome.left:
        console.print(f"left for the next call: {cell}", soft_wrap=True)
    console.print(
        f"{len(outcome.measured)} records, {len(invalid)} of them INVALID; {outcome.finished} cells were finished before "
        f"(delete {here} to measure them again), "
        f"{len(outcome.left)} are left; records: {folder}",
        soft_wrap=True,
    )
    measured = list(records_of(wanted, folder, here, data_dir))
    if not any(record.valid for record in measured):
        raise UserError(f"sweep {sweep}: nothing VALID was measured here; see above")
    report.show(measured)
    for path in report.write(results):
        console.print(f"written: {path}", soft_wrap=True)


def line_of(step: Step) -> str:
    """A cell that ended: ``3/12 length-64, batch 8, minilm: iter 123 documents/s, asp INVALID``."""
    from iter_bench.tables.throughput import number

    rates = [
        f"{r.system} {number(r.rate.median)} documents/s" if r.valid else f"{r.system} INVALID" for r in step.records or ()
    ]
    return f"{step.number}/{step.of} {step.cell}: {', '.join(rates) or 'finished before, or left out'}"
