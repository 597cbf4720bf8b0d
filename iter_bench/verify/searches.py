"""Whether the result of each search is the best of its recorded trials."""

from __future__ import annotations

from collections.abc import Iterator

from iter_bench import search
from iter_bench.errors import SettingsError
from iter_bench.report import records_of
from iter_bench.tables.catalogue import Sources
from iter_bench.tables.profiles import SEARCH


def check_searches(sources: Sources) -> Iterator[str]:
    """What is wrong with the files of ``searches/``: the settings of each must be those of its best trial.

    Of a search that isn't the package's, the space isn't known here, so that the settings only need a record.
    """
    for name, (best, _) in sources.searches.items():
        known = {record.run_id: record for record in sources.records}
        if name in search.search_names():
            try:
                known = {record.run_id: record for record in records_of(f"{SEARCH}{name}", sources.records)}
            except SettingsError as error:
                yield f"{name}.toml: {error}"
                continue
        if best.run_id not in known:
            yield f"{name}.toml: no trial with a record has these settings, which would be run {best.run_id}"
        elif name in search.search_names():
            wanted = search.load_search(name)
            reached = {id_: wanted.reached(of) for id_, of in known.items() if wanted.objective in of.scores.test["strict"]}
            if reached and reached.get(best.run_id) != max(reached.values()):
                first = max(reached, key=reached.__getitem__)
                yield f"{name}.toml: has the settings of run {best.run_id}, but run {first} is better in {wanted.objective}"
