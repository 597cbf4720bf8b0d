"""The table of differences: every pair of systems on the same data, with the p-value of a paired permutation test."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from iter_bench.records import Record
from iter_bench.scoring import CRITERIA
from iter_bench.significance import holm, paired_permutation_test
from iter_bench.tables.runs import Group, group_runs

NOTE = (
    "F1 in convention `strict`, means over runs. p: paired permutation test over test documents, two-sided, 10,000 resamples; "
    "all runs of a pair are swapped together. p Holm: corrected by Holm's method for all rows of this table as one family."
)
COLUMNS = ["dataset", "encoder", "a", "b", "criterion", "runs", "documents", "a_f1", "b_f1", "difference", "p", "p_holm"]


def significance_table(records: Sequence[Record]) -> pd.DataFrame:
    """One row for each pair of systems and criterion, on data sets, encoders, seeds and folds that both were run on.

    Returns:
        Columns ``dataset``, ``encoder``, ``a`` and ``b`` (systems, with their setting where they have several), ``criterion``,
        ``runs`` and ``documents`` that were paired, mean F1 of each and their ``difference`` in [0, 1] (convention
        ``strict``), ``p``, and ``p_holm``, corrected for all rows. Groups without counts of documents, or of different
        documents, are left out.
    """
    rows = []
    for one, other in combinations(group_runs(records), 2):
        if (one.dataset, one.encoder) != (other.dataset, other.encoder):
            continue
        for criterion in CRITERIA:
            a, b = _paired_counts(one, other, criterion)
            if not len(a):
                continue
            found = paired_permutation_test(a, b)
            means = [_f1(counts) for counts in (a, b)]
            names = [f"{group.system} ({group.setting})" if group.setting else group.system for group in (one, other)]
            rows.append([one.dataset, one.encoder, *names, criterion, *a.shape[:2], *means, found.difference, found.p])
    corrected = holm([row[-1] for row in rows])
    return pd.DataFrame([[*row, p] for row, p in zip(rows, corrected, strict=True)], columns=COLUMNS)


def _paired_counts(one: Group, other: Group, criterion: str) -> tuple[np.ndarray, np.ndarray]:
    """[seeds, documents, 3] of both: the seeds that both have, the documents of all their folds one after the other."""
    counts: list[dict[int, dict[tuple[int | None, str], np.ndarray]]] = [{}, {}]
    for of, group in zip(counts, (one, other), strict=True):
        for record in group.records:
            if criterion in record.documents:
                key = (record.settings.data.fold, record.data["test"].sha256)
                of.setdefault(record.settings.seed, {})[key] = np.array(record.documents[criterion])
    shared = [seed for seed in counts[0] if seed in counts[1] and counts[0][seed].keys() == counts[1][seed].keys()]
    paired = [[np.concatenate([of[seed][key] for key in counts[0][seed]]) for seed in shared] for of in counts]
    return np.array(paired[0]), np.array(paired[1])


def _f1(counts: np.ndarray) -> float:
    tp, fp, fn = counts.sum(axis=1).T
    return float(np.mean(2 * tp / np.maximum(2 * tp + fp + fn, 1)))
