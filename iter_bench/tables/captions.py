"""What stands below every table and figure: how many runs, which seeds and folds, on what hardware, from what data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from iter_bench.records import Record
from iter_bench.tables.runs import data_notes


def provenance(records: Sequence[Record]) -> str:
    """Runs, seeds, folds and hardware of what is shown, and where its data aren't those of the catalogue, in some sentences."""
    if not records:
        return "No run was measured for this."
    seeds = {record.settings.seed for record in records}
    folds = {record.settings.data.fold for record in records} - {None}
    parts = [
        f"{len(records)} {'run' if len(records) == 1 else 'runs'}",
        f"{'seed' if len(seeds) == 1 else 'seeds'} {ranges(seeds)}",
    ]
    if folds:
        parts.append(f"{'fold' if len(folds) == 1 else 'folds'} {ranges(folds)}")
    hardware = "; ".join(sorted({record.hardware for record in records}))
    return " ".join([f"{', '.join(parts)}. Hardware: {hardware}.", *data_notes(records)])


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers in few words: ``42–46, 50``."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)
