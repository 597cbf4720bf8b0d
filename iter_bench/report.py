"""Tables and figures as files under ``results/``: of the records of a profile, and of all that there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from iter_bench import matrix, plots, search, tables
from iter_bench.errors import SettingsError, UserError
from iter_bench.plots.catalogue import FIGURES
from iter_bench.records import Record
from iter_bench.tables.catalogue import TABLES, Sources
from iter_bench.tables.profiles import SEARCH, profile_tables
from iter_bench.tables.text import Made
from iter_bench.terminal import console, print_whole

Source = TypeVar("Source")

KINDS = {"scores": plots.scores, "learning-curve": plots.learning_curve, "lambda-curve": plots.lambda_curve}
"""What is drawn of the runs of a profile or a search; the last only where a run has a λ."""


def write_tables(records: Sequence[Record], folder: Path, name: str) -> list[Path]:
    """Writes ``<name>.*``, and ``<name>-significance.*`` where there is anything to compare, into ``folder``."""
    made = profile_tables(records, name)
    return [path for file, table in made.items() for path in table.write(folder, file)]


def write_all_tables(sources: Sources, folder: Path) -> list[Path]:
    """Writes every table of `TABLES` that has a row, and those of each profile and search that is finished.

    Such tables of an earlier call that the records don't fill any more are deleted.
    """
    written = write_filled(TABLES, sources, folder)
    for name, chosen in finished_sets(sources.records).items():
        written += write_tables(chosen, folder, name)
    sets = [of for name in _set_names() for of in (name, f"{name}-significance")]
    _delete_stale(folder, sets, written)
    return written


def write_all_figures(sources: Sources, folder: Path) -> list[Path]:
    """Draws every figure of `all_figures` that there are records for; those of an earlier call without any are deleted."""
    written = draw_filled(all_figures(sources), folder)
    _delete_stale(folder, (f"{name}-{kind}" for name in _set_names() for kind in KINDS), written)
    return written


def write_filled(makers: Mapping[str, Callable[[Source], Made]], source: Source, folder: Path) -> list[Path]:
    """Writes each table that has a row, name → what makes it; one without is deleted, if an earlier call wrote it."""
    written = []
    for name, make in makers.items():
        if len((made := make(source)).frame):
            written += made.write(folder, name)
    _delete_stale(folder, makers, written)
    return written


def draw_filled(drawings: Mapping[str, Callable[[], plots.Plot]], folder: Path) -> list[Path]:
    """Draws each figure that there are records for, name → what draws it; one that was drawn and has none now is deleted."""
    written = []
    for name, draw in drawings.items():
        try:
            written += plots.save(draw(), folder, name)
        except UserError:
            continue  # no record holds it yet
    _delete_stale(folder, drawings, written)
    return written


def _delete_stale(folder: Path, names: Iterable[str], written: Sequence[Path]) -> None:
    """Deletes the files of those names that weren't written now, which ``README.md`` would show as made of the records."""
    for path in {path for name in names for path in folder.glob(f"{name}.*")} - set(written):
        path.unlink()


def all_figures(sources: Sources) -> dict[str, Callable[[], plots.Plot]]:
    """What draws each figure: those of `FIGURES`, and of each profile and search that is finished; name → drawing."""
    drawings = {name: partial(draw, sources) for name, draw in FIGURES.items()}
    for name, chosen in finished_sets(sources.records).items():
        drawings |= _figures_of(chosen, name)
    return drawings


def finished_sets(known: Sequence[Record]) -> dict[str, list[Record]]:
    """The profiles and searches of the package whose records are all here: name → records."""
    found = {}
    for name in _set_names():
        try:
            found[name] = records_of(name, known)
        except SettingsError:
            continue
    return found


def _set_names() -> list[str]:
    return [*matrix.profile_names(), *(f"{SEARCH}{name}" for name in search.search_names())]


def records_of(name: str, known: Sequence[Record]) -> list[Record]:
    """The records that the table of that name is made of: those of the profile's, or of the search's, runs.

    Raises:
        SettingsError: there is no such profile or search, or some of its records are missing.
    """
    if name.startswith(SEARCH):
        wanted = search.load_search(name.removeprefix(SEARCH))
        found = [record for record in known if wanted.parameters(record.settings) is not None]
        if len(found) < wanted.trials:
            raise SettingsError(f"{len(found)} of the {wanted.trials} trials have a record here")
        return found
    runs = {run.run_id for run in matrix.load_profile(name).runs()}
    found = [record for record in known if record.run_id in runs]
    if len(found) < len(runs):
        raise SettingsError(f"{len(found)} of the {len(runs)} runs of the profile have a record here")
    return found


def write_figures(records: Sequence[Record], folder: Path, name: str) -> list[Path]:
    """Writes ``<name>-scores.*``, ``-learning-curve.*`` and, where a run has a λ, ``-lambda-curve.*`` into ``folder``."""
    return [path for full, draw in _figures_of(records, name).items() for path in plots.save(draw(), folder, full)]


def _figures_of(records: Sequence[Record], name: str) -> dict[str, Callable[[], plots.Plot]]:
    with_curve = any(record.lambda_curve for record in records)
    return {f"{name}-{kind}": partial(of, records) for kind, of in KINDS.items() if with_curve or kind != "lambda-curve"}


def write_report(records: Sequence[Record], results: Path, name: str) -> list[Path]:
    """Writes ``tables/<name>.*`` and ``figures/<name>-*`` below ``results``, prints the table, and says where all is."""
    written = write_tables(records, results / "tables", name)
    screen = console()
    shown = tables.rich_table(tables.formatted(tables.runs_table(records), full=False), name)
    print_whole(shown, screen)
    written += write_figures(records, results / "figures", name)
    for folder, what in (("runs", "records"), ("tables", "tables"), ("figures", "figures")):
        screen.print(f"{what}: {results / folder}", soft_wrap=True)
    return written
