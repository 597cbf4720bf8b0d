"""What stands below every table and figure: how many runs, which seeds and folds, epochs, hardware, data and commands."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from iter_bench import matrix, search
from iter_bench.records import Record, superseded
from iter_bench.tables.runs import data_notes, ranges


def provenance(records: Sequence[Record], command: str | None = None) -> str:
    """Where the runs that are shown come from, in some sentences.

    Runs, seeds, folds, epochs of each system, hardware, where data aren't those of the catalogue, what was wrong with some of
    them, and commands.

    Args:
        records: of the runs.
        command: that makes them all; by default the profiles that they belong to are looked up.
    """
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
    commands = f"Command: `{command}`." if command else _commands(records)
    hardware = "; ".join(sorted({record.hardware for record in records}))
    told = [
        f"{', '.join(parts)}. {_epochs(records)} Hardware: {hardware}.",
        *data_notes(records),
        *_bounded(records),
        *superseded.notes(records),
    ]
    return " ".join([*told, commands])


def _epochs(records: Sequence[Record]) -> str:
    """How long each system was trained: what is compared needn't have been trained alike."""
    found: dict[str, set[int]] = {}
    for record in records:
        stages = len({epoch.stage for epoch in record.history if epoch.stage})
        name = record.system + (" (each stage)" if stages > 1 else "")
        found.setdefault(name, set()).add(record.settings.training.epochs)
    return f"Epochs: {'; '.join(f'{name} {ranges(epochs)}' for name, epochs in sorted(found.items()))}."


def _bounded(records: Sequence[Record]) -> list[str]:
    """Where it is told what no prediction can reach, if a system that is shown has such limits."""
    limited = any(record.data["test"].unreachable for record in records)
    return ["Some systems can't express all of the gold annotation: table `upper-bounds`."] if limited else []


def _commands(records: Sequence[Record]) -> str:
    """The profiles that the runs belong to, those first that hold most of them and little else; then searches."""
    left, commands = {record.run_id for record in records}, []
    while left:
        name, ids = max(_profiles().items(), key=lambda item: (len(item[1] & left), -len(item[1])))
        if not ids & left:
            break
        left -= ids
        commands.append(f"`make reproduce PROFILE={name}`")
    for name, of in _searches().items():
        if trials := {r.run_id for r in records if r.run_id in left and of.parameters(r.settings) is not None}:
            left -= trials
            commands.append(f"`iter-bench search {name}`")
    told = [f"Command: {', '.join(commands)}."] if commands else []
    if left:
        told.append(
            f"{len(left)} {'run is' if len(left) == 1 else 'runs are'} of no profile or search; records name their command."
        )
    return " ".join(told)


@cache
def _profiles() -> dict[str, frozenset[str]]:
    """The run ids of each profile of the package."""
    return {name: frozenset(run.run_id for run in matrix.load_profile(name).runs()) for name in matrix.profile_names()}


@cache
def _searches() -> dict[str, search.Search]:
    """The searches of the package."""
    return {name: search.load_search(name) for name in search.search_names()}
