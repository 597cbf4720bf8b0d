"""Whether records say of stored predictions what these score: those on the embedded corpus, whose sentences may be stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from iter_bench import data, examples, scoring
from iter_bench.data.synthetic import SCHEMA
from iter_bench.document import Extraction
from iter_bench.errors import UserError
from iter_bench.records import Record


def check_predictions(folder: Path, known: Sequence[Record]) -> Iterator[str]:
    """Which scores of a record its predictions in ``folder`` don't give, in any convention or document.

    Args:
        folder: of what `examples.write` wrote; nothing is said of one without.
        known: records, those of the predictions among them.
    """
    try:
        stored = examples.load(folder, known)
    except UserError as error:
        yield from str(error).splitlines()
        return
    if stored is None:
        if any(folder.glob("*.json")):
            yield f"{folder / examples.GOLD}: is missing; `iter-bench reproduce` writes it"
        return
    if stored.documents != tuple(data.load(examples.DATASET, examples.SPLIT).documents):
        yield f"{folder / examples.GOLD}: isn't what the corpus gives"
        return
    for record, found in stored.found:
        for problem in _differences(record, stored, found):
            yield f"{folder / record.file_name}: {problem}"


def _differences(record: Record, stored: examples.Examples, found: Sequence[Extraction]) -> Iterator[str]:
    again = scoring.score(stored.documents, found, SCHEMA)
    for convention, by_criterion in record.scores.test.items():
        for criterion, score in by_criterion.items():
            counts = {name: again[convention][criterion][name] for name in ("tp", "fp", "fn")}
            if counts != score.model_dump(include=set(counts)):
                yield f"its {criterion} in convention {convention} is {_line(counts)}, the record says otherwise"
    for criterion, counts in record.documents.items():
        one_by_one = scoring.per_document_counts(stored.documents, found, SCHEMA, "strict", criterion)
        if differing := sum(a != b for a, b in zip_longest(one_by_one, map(tuple, counts))):
            yield f"the record says otherwise of {criterion} in {differing}/{len(one_by_one)} documents"


def _line(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
