"""The rows of the data table: the figures of every split of a data set, next to those that the paper prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from iter_bench import published
from iter_bench.data import ade, catalogue, loading, synthetic
from iter_bench.data.catalogue import MissingData
from iter_bench.data.statistics import CountSubtokens, Statistics, statistics


@dataclass(frozen=True, slots=True)
class Row:
    """One split of one data set.

    Attributes:
        dataset: catalogue name.
        split: such as ``train``; ``test, fold 3`` for a fold.
        measured: the figures, or None where the split's file is not there.
        expected: number of samples of the distribution, where it is known.
        paper_samples: as the paper prints them for this split.
        paper: the data set's whole row of `published.data`; only beside the split that its ω and overlap share are of.
        notes: what the load changed or left out.
    """

    dataset: str
    split: str
    measured: Statistics | None
    expected: int | None = None
    paper_samples: str | None = None
    paper: Mapping[str, Any] | None = None
    notes: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For a program."""
        share = {} if self.measured is None else {"overlap_share": self.measured.overlap_share}
        return {
            "dataset": self.dataset,
            "split": self.split,
            "measured": {**asdict(self.measured), **share} if self.measured else None,
            "expected_samples": self.expected,
            "paper_samples": self.paper_samples,
            "paper": self.paper,
            "notes": self.notes,
        }


@cache
def subtokens_of(encoder: str) -> CountSubtokens:
    """How the encoder's tokenizer counts a sample's sub-tokens."""
    from iter_bench.encoders import load_tokenizer

    tokenizer = load_tokenizer(encoder)
    return lambda words: len(tokenizer(list(words), is_split_into_words=True, verbose=False).input_ids)


def rows(
    name: str,
    data_dir: Path | None = None,
    count_subtokens: CountSubtokens | None = None,
    *,
    skip_bad: bool = False,
) -> list[Row]:
    """The rows of one data set; of a cross-validated one, the whole and the test split of every fold.

    Raises:
        SettingsError: there is no such data set.
        MissingData: not one of its files is there.
        DataError: a file or record is bad.
    """
    if name not in catalogue.catalogue():
        return [
            Row(name, split, statistics(loading.load(name, split).documents, count_subtokens)) for split in synthetic.SPLITS
        ]
    entry = catalogue.entry(name)
    main, printed = "all" if entry.folds else "train", published.data_row(name)
    found: list[Row] = []
    failed: list[MissingData] = []
    for split in entry.files:
        paper_samples = printed["train" if split == "all" else split] if printed else None
        paper = printed if split == main else None
        try:
            dataset = loading.load(name, split, data_dir=data_dir, skip_bad=skip_bad)
        except MissingData as error:
            failed.append(error)
            found.append(Row(name, split, None, entry.samples.get(split), paper_samples, paper))
            continue
        measured = statistics(dataset.documents, count_subtokens)
        found.append(Row(name, split, measured, entry.samples.get(split), paper_samples, paper, dataset.notes))
    if len(failed) == len(entry.files):
        raise failed[0]
    if entry.folds:
        folds = ade.folds_of(dataset.documents, entry.folds.count, entry.folds.seed)
        for fold in range(entry.folds.count):
            measured = statistics((d for d, f in zip(dataset.documents, folds, strict=True) if f == fold), count_subtokens)
            found.append(Row(name, f"test, fold {fold}", measured))
    return found
