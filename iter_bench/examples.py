"""Predictions to look at: the test documents of the embedded corpus with gold and what each system found, as SpERT JSON.

The corpus is our own generated text, so these may be committed: ``results/examples/gold.json``, and a file for each run
under its record's name. `iter-bench reproduce` writes them, the report shows some, ``verify`` compares a fresh run with all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from iter_bench import data
from iter_bench.data import spert, synthetic
from iter_bench.document import Document, Extraction
from iter_bench.errors import UserError
from iter_bench.records import Record
from iter_bench.records.schema import file_name

DATASET, SPLIT = "synthetic", "test"
GOLD = "gold.json"


@dataclass(frozen=True, slots=True)
class Examples:
    """Documents, and what was found in them.

    Attributes:
        documents: with gold.
        found: (record of the run, one extraction a document), a run a system.
    """

    documents: tuple[Document, ...]
    found: tuple[tuple[Record, tuple[Extraction, ...]], ...]


def write(done: Sequence[Record], predictions: Callable[[str], Path], folder: Path) -> list[Path]:
    """Writes the examples of the first run of each system on the embedded corpus, in place of earlier ones of that system.

    Args:
        done: finished runs; without one on the embedded corpus nothing is written.
        predictions: run id → the file of its predictions on the test split.
        folder: of the examples.
    """
    first: dict[str, Record] = {}
    for record in done:
        if (record.settings.data.dataset, record.settings.data.test) == (DATASET, SPLIT):
            first.setdefault(record.system, record)
    if not first:
        return []
    documents = data.load(DATASET, SPLIT).documents
    written = [folder / GOLD]
    spert.write_gold(written[0], documents)
    for record in first.values():
        extractions = spert.read_predictions(predictions(record.run_id), synthetic.SCHEMA, documents)
        written.append(folder / record.file_name)
        spert.write_predictions(written[-1], documents, extractions)
    for record in first.values():
        of_system = file_name(DATASET, record.system).removesuffix(".json")
        for earlier in set(folder.glob(f"{of_system}-*.json")) - set(written):
            earlier.unlink()
    return written


def load(folder: Path, known: Sequence[Record]) -> Examples | None:
    """What `write` wrote; None where there is nothing.

    Raises:
        UserError: a file is damaged, or none of the ``known`` records is of its run.
    """
    if not (folder / GOLD).is_file():
        return None
    documents, _ = spert.read(folder / GOLD, synthetic.SCHEMA)
    records = {record.file_name: record for record in known}
    found = []
    for path in sorted(folder.glob("*.json")):
        if path.name == GOLD:
            continue
        if path.name not in records:
            raise UserError(f"{path}: its run has no record of that name; make the examples again (`make reproduce`)")
        found.append((records[path.name], tuple(spert.read_predictions(path, synthetic.SCHEMA, documents))))
    return Examples(tuple(documents), tuple(found))
