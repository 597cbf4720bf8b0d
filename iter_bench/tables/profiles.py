"""The tables of a profile or a search: all its runs, and the differences between them."""

from __future__ import annotations

from collections.abc import Sequence

from iter_bench import matrix
from iter_bench.records import Record
from iter_bench.tables.captions import provenance
from iter_bench.tables.output import formatted
from iter_bench.tables.runs import convention_notes, runs_table
from iter_bench.tables.significance import differences
from iter_bench.tables.text import Made

SEARCH = "search-"
NOTE = (
    "P, R and F1 in percent, convention `strict`; ∗: PL-Marker's convention. Mean ± sample standard deviation over runs. "
    "Seconds, samples/s and memory are those of the runs themselves, whatever ran beside them: no benchmark."
)


def profile_tables(records: Sequence[Record], name: str) -> dict[str, Made]:
    """File name → table: ``name``, and ``name-significance`` where there is anything to compare.

    Args:
        records: of the profile's or search's runs.
        name: of the profile, or ``search-`` and that of the search.
    """
    table = runs_table(records)
    splits = sorted({record.settings.data.test for record in records})
    notes = (NOTE, *convention_notes(records), f"Scored on {' and '.join(splits)}.", provenance(records, _command(name)))
    kind = "Search" if name.startswith(SEARCH) else "Profile"
    made = {name: Made(f"{kind} {name.removeprefix(SEARCH)}", table, notes, formatted(table))}
    between = differences(records, f"{kind} {name.removeprefix(SEARCH)}: differences")
    if len(between.frame):
        made[f"{name}-significance"] = between
    return made


def _command(name: str) -> str:
    if name.startswith(SEARCH):
        return f"iter-bench search {name.removeprefix(SEARCH)}"
    if name in matrix.profile_names():
        return f"make reproduce PROFILE={name}"
    return f"iter-bench reproduce --profile {name}.toml"
