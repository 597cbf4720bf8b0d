"""The table of differences: every pair of systems on the same data, with the p-value of a paired permutation test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from iter_bench.records import Record
from iter_bench.scoring import CRITERIA
from iter_bench.significance import RESAMPLES, holm, paired_permutation_test
from iter_bench.tables.captions import provenance
from iter_bench.tables.output import formatted_differences
from iter_bench.tables.runs import Group, group_runs
from iter_bench.tables.text import Made

NOTE = (
    "F1 in convention `strict`, means over runs. p: paired permutation test over the scored documents, two-sided, "
    f"{RESAMPLES:,} resamples, so never below 1/{RESAMPLES + 1:,}; all runs of a pair are swapped together. p Holm: corrected "
    "by Holm's method; the pairs of different systems on a data set are one family, those of one system's settings another. It "
    "says whether these trained systems differ, whatever search and epochs each was given."
)
COLUMNS = ["dataset", "encoder", "a", "b", "criterion", "runs", "documents", "a_f1", "b_f1", "difference", "p", "p_holm"]


class _Pair(NamedTuple):
    """Two groups on the same data with the same encoder; a, b: counts [seeds, documents, 3] of the records that were paired."""

    one: Group
    other: Group
    criterion: str
    a: np.ndarray
    b: np.ndarray
    records: list[Record]


def differences(records: Sequence[Record], title: str) -> Made:
    """One row for each pair of systems and criterion, on data sets, encoders, seeds and folds that both were run on.

    The frame's columns are ``dataset``, ``encoder``, ``a`` and ``b`` (systems, with their setting where they have several),
    ``criterion``, ``runs`` and ``documents`` that were paired, mean F1 of each and their ``difference`` in [0, 1]
    (convention ``strict``), ``p``, and ``p_holm``, corrected for all rows of the data set that compare
    systems, or settings of one. Groups without counts by document,
    or of different documents, are in no pair; the notes name those that could have been in one.
    """
    groups = group_runs(records)
    pairs = [pair for one, other in combinations(groups, 2) for pair in _pairs(one, other)]
    rows = []
    for pair in pairs:
        found = paired_permutation_test(pair.a, pair.b)
        subject = (pair.one.dataset, pair.one.encoder, _name(pair.one), _name(pair.other), pair.criterion)
        rows.append([*subject, *pair.a.shape[:2], _f1(pair.a), _f1(pair.b), found.difference, found.p])
    frame = pd.DataFrame(rows, columns=COLUMNS[:-1])
    of_systems = pd.Series([pair.one.system != pair.other.system for pair in pairs], dtype=bool)
    frame["p_holm"] = frame.groupby(["dataset", of_systems])["p"].transform(lambda p: holm(list(p))).astype(float)
    notes = [NOTE]
    paired = {id(group) for pair in pairs for group in (pair.one, pair.other)}
    subjects = [(group.dataset, group.encoder) for group in groups]
    left = [g for g, of in zip(groups, subjects, strict=True) if subjects.count(of) > 1 and id(g) not in paired]
    if left:
        told = "; ".join(f"{_name(group)} on {group.dataset}" for group in left)
        notes.append(f"In no pair, for want of counts by document or of a common seed: {told}.")
    used = {record.run_id: record for pair in pairs for record in pair.records}
    return Made(title, frame, (*notes, provenance(list(used.values()))), formatted_differences(frame))


def _pairs(one: Group, other: Group) -> Iterator[_Pair]:
    """A pair for each criterion that both have: their common seeds and folds, all folds' documents one after the other."""
    if (one.dataset, one.encoder) != (other.dataset, other.encoder):
        return
    for criterion in CRITERIA:
        sides: list[dict[int, dict[tuple[int | None, str], Record]]] = [{}, {}]
        for of, group in zip(sides, (one, other), strict=True):
            for record in group.records:
                if criterion in record.documents:
                    key = (record.settings.data.fold, record.data["test"].sha256)
                    of.setdefault(record.settings.seed, {})[key] = record
        shared = [seed for seed in sides[0] if seed in sides[1]]
        folds = [key for key in next(iter(sides[0].values()), ()) if all(key in of[seed] for of in sides for seed in shared)]
        if not shared or not folds:
            continue
        chosen = [[[of[seed][key] for key in folds] for seed in shared] for of in sides]
        a, b = (np.array([np.concatenate([r.documents[criterion] for r in runs]) for runs in side]) for side in chosen)
        yield _Pair(one, other, criterion, a, b, [record for side in chosen for runs in side for record in runs])


def _name(group: Group) -> str:
    return f"{group.system} ({group.setting})" if group.setting else group.system


def _f1(counts: np.ndarray) -> float:
    tp, fp, fn = counts.sum(axis=1).T
    return float(np.mean(2 * tp / np.maximum(2 * tp + fp + fn, 1)))
