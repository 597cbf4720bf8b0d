"""Tables and figures made again from the records, and compared with those that lie there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from iter_bench import plots, tables
from iter_bench.citations import Measured
from iter_bench.errors import SettingsError, UserError
from iter_bench.records import Record
from iter_bench.report import all_figures, finished_sets, records_of, write_tables
from iter_bench.tables import throughput
from iter_bench.tables.catalogue import TABLES, Sources, load_sources
from iter_bench.tables.runs import spread

SIGNIFICANCE = "-significance"


class Table(NamedTuple):
    """A table as the records give it.

    Attributes:
        write: writes its files into a folder, under a name.
        frame: the numbers.
        measured: what prose may cite of it.
    """

    write: Callable[[Path, str], list[Path]]
    frame: pd.DataFrame
    measured: Sequence[Measured]


def check_tables(sources: Sources, folder: Path) -> tuple[int, dict[str, Table], list[str]]:
    """Makes every table again that `report.write_all_tables` writes.

    Returns:
        How many were made, by name those that lie in ``folder`` to the letter, and a line for each thing that doesn't hold.
    """
    again = _tables(sources)
    there = {path.stem.removesuffix(SIGNIFICANCE) for path in folder.glob("*.*")}
    holding, problems = {}, []
    for name in sorted(there | set(again)):
        if name not in again:
            problems.append(f"{folder / name}.*: {_why_not(name, sources.records)}")
        elif name not in there:
            problems.append(f"{folder / name}.*: is missing: run `iter-bench tables`")
        elif different := _compare(again[name].write, folder, name):
            problems += different
        else:
            holding[name] = again[name]
    return len(again), holding, problems


def _tables(sources: Sources) -> dict[str, Table]:
    found = {}
    for name, make in TABLES.items():
        made = make(sources)
        cited = made.frame.filter(throughput.CITED if name in throughput.TABLES else []).to_numpy().ravel()
        if len(made.frame):
            found[name] = Table(made.write, made.frame, [(value, None) for value in cited if not pd.isna(value)])
    for name, chosen in finished_sets(sources.records).items():
        found[name] = Table(partial(write_tables, chosen), tables.runs_table(chosen), _numbers_of(chosen))
    return found


def _why_not(name: str, known: Sequence[Record]) -> str:
    """Why there's no such table."""
    if name not in TABLES:
        try:
            records_of(name, known)
        except SettingsError as error:
            return str(error)
    return "no table of that name comes from the records"


def _compare(write: Callable[[Path, str], list[Path]], folder: Path, name: str) -> list[str]:
    with tempfile.TemporaryDirectory() as scratch:
        again = {path.name: path.read_bytes() for path in write(Path(scratch), name)}
    there = {path.name for stem in (name, name + SIGNIFICANCE) for path in folder.glob(f"{stem}.*")}
    problems = [f"{folder / file}: no table of that name comes from the records" for file in sorted(there - set(again))]
    for file, content in again.items():
        if file not in there:
            problems.append(f"{folder / file}: is missing: run `iter-bench tables`")
        elif (folder / file).read_bytes() != content:
            problems.append(f"{folder / file}: isn't what the records give")
    return problems


def _numbers_of(chosen: Sequence[Record]) -> list[Measured]:
    """The numbers that the records support, as prose may have them, with their deviations."""
    table = tables.runs_table(chosen)
    found = [
        (row[name], row.get(f"{name}_std"))
        for _, row in table.iterrows()
        for name in table.select_dtypes("number").columns
        if not name.endswith("_std")
    ]
    for group in tables.group_runs(chosen):
        for convention, by_criterion in group.records[0].scores.test.items():
            for criterion in by_criterion:
                for ratio in ("precision", "recall", "f1"):
                    values = [getattr(record.scores.test[convention][criterion], ratio) for record in group.records]
                    found.append(spread(values))
    for test in (record.data["test"] for record in chosen):
        found += [(count, None) for count in (test.entities, test.relations, *test.unreachable.values()) if count]
    return [(value, None if pd.isna(std) else std) for value, std in found if not pd.isna(value)]


def verify_figures(results: Path) -> tuple[int, list[str]]:
    """Draws every figure again that `report.write_all_figures` draws, and compares caption and drawing.

    Of the PNG, only whether it is there. The drawing is the SVG, which depends on the version of matplotlib too:
    ``requirements.lock`` has the right one.

    Returns:
        How many figures were drawn, and one line for each thing that doesn't hold.
    """
    folder, drawn, problems = results / "figures", 0, []
    try:
        sources = load_sources(results)
    except UserError as error:
        return 0, str(error).splitlines()
    drawings = all_figures(sources) if sources.records or sources.throughput else {}
    there = {path.stem for path in folder.glob("*.*")}
    with tempfile.TemporaryDirectory() as scratch:
        for name in sorted(there | set(drawings)):
            try:
                again = plots.save(drawings[name](), Path(scratch), name) if name in drawings else []
            except UserError:  # no record holds it yet
                again = []
            drawn += bool(again)
            if not again and name in there:
                problems.append(f"{folder / name}.*: no figure of that name comes from the records")
            elif again and name not in there:
                problems.append(f"{folder / name}.*: is missing: run `iter-bench figures`")
                continue
            for path in again:
                if not (stored := folder / path.name).exists():
                    problems.append(f"{stored}: is missing: run `iter-bench figures`")
                elif path.suffix != ".png" and stored.read_bytes() != path.read_bytes():
                    problems.append(f"{stored}: isn't what the records give")
    return drawn, problems
