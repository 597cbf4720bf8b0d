"""All tables of ``results/tables`` that are of no single profile, and what they are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from iter_bench import examples, records, search
from iter_bench.errors import SettingsError, UserError
from iter_bench.examples import Examples
from iter_bench.records import Record
from iter_bench.settings import RunSettings, read_toml, validated
from iter_bench.tables import beyond, data, mistakes, overview, paper, slices, speed, throughput, transfer
from iter_bench.tables.text import Made
from iter_bench.throughput.schema import ThroughputRecord


@dataclass(frozen=True, slots=True)
class Sources:
    """What ``results`` holds.

    Attributes:
        records: of runs.
        data: the figures of the data sets; None where they aren't stored.
        searches: name → best settings, and what was varied → among which values.
        throughput: records of throughput, VALID or not.
        examples: predictions on a few documents of the embedded corpus.
    """

    records: Sequence[Record]
    data: data.DataStatistics | None
    searches: Mapping[str, tuple[RunSettings, Mapping[str, str]]]
    throughput: Sequence[ThroughputRecord] = ()
    examples: Examples | None = None


def load_sources(results: Path) -> Sources:
    """Reads ``runs/``, ``throughput/``, ``searches/``, ``examples/`` and ``data.json`` below ``results``, where they are.

    Raises:
        UserError: names the file that can't be read.
    """
    stored, path = None, results / "data.json"
    if path.exists():
        try:
            stored = validated(data.DataStatistics, path.read_bytes(), path)
        except (OSError, SettingsError) as error:
            raise UserError(f"{error}\n{path} isn't what `iter-bench data stats --json` prints; make it again") from None
    searches = {}
    for path in sorted((results / "searches").glob("*.toml")):
        best = validated(RunSettings, read_toml(path), path)
        space = search.load_search(path.stem).space if path.stem in search.search_names() else {}
        searches[path.stem] = (best, {name: str(domain) for name, domain in space.items()})
    measured = records.load_all(results / "throughput", ThroughputRecord)
    runs = records.load_all(results / "runs")
    return Sources(runs, stored, searches, measured, examples.load(results / "examples", runs))


def load_recorded(results: Path) -> Sources:
    """`load_sources` of a folder that holds records.

    Raises:
        UserError: it holds none, so that all tables and figures would be empty; or a file can't be read.
    """
    sources = load_sources(results)
    if not sources.records and not sources.throughput:
        raise UserError(f"{results} holds no record, in runs/ or throughput/; name a folder of results by --results")
    return sources


def _of_throughput(make: Callable[[Sequence[ThroughputRecord]], Made]) -> Callable[[Sources], Made]:
    return lambda sources: make(sources.throughput)


TABLES: dict[str, Callable[[Sources], Made]] = {
    "summary": lambda sources: overview.summary(sources.records, sources.throughput),
    **{name: _of_throughput(make) for name, make in throughput.TABLES.items()},
    "table2-data": lambda sources: data.data_table(sources.data),
    "table3-main": lambda sources: paper.main_results(sources.records),
    "table4-encoders": lambda sources: paper.encoders(sources.records),
    "table5-hyperparameters": lambda sources: data.hyperparameters(sources.searches),
    "table6-precision-recall": lambda sources: paper.precision_recall(sources.records),
    "table7-transfer": lambda sources: transfer.transfer(sources.records),
    "upper-bounds": lambda sources: overview.upper_bounds(sources.records),
    "conventions": lambda sources: beyond.conventions(sources.records),
    "types": lambda sources: beyond.types(sources.records),
    "mistakes-entities": lambda sources: mistakes.entities(sources.records),
    "mistakes-relations": lambda sources: mistakes.relations(sources.records),
    "depth": lambda sources: slices.depth(sources.records),
    "length": lambda sources: slices.length(sources.records),
    "speed": lambda sources: speed.speed(sources.records, sources.throughput),
    "differences": lambda sources: beyond.significance(sources.records),
}
"""File name → what makes the table, in the order in which they are shown."""
