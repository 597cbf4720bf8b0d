"""Is one system better than another, or are the test documents luck? A paired permutation test over documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
"""Permutations that are drawn; the smallest p is 1 / (RESAMPLES + 1)."""
SEED = 0
"""Of the permutations."""
AT_ONCE = 500
"""Permutations that are counted together, which bounds the memory."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of system A with system B on the same documents.

    Attributes:
        difference: mean F1 of A's runs minus that of B's, in [-1, 1].
        p: share of the permutations (this one included) whose difference is at least as far from 0: two-sided.
    """

    difference: float
    p: float


def paired_permutation_test(a: np.ndarray, b: np.ndarray) -> Comparison:
    """Swaps all that A and B predicted on a document, with probability ½ each, and looks how far the F1s then differ.

    Under the null hypothesis the two systems are exchangeable on every document. The runs (seeds) of a system stay together,
    so the test speaks of documents, not of seeds.

    Args:
        a: [runs, documents, 3] counts tp, fp, fn of A.
        b: likewise of B, with the same documents and number of runs.

    Raises:
        ValueError: documents or runs of A and B differ in number.
    """
    if a.shape != b.shape:
        raise ValueError(f"counts of {a.shape[:2]} and {b.shape[:2]} (runs, documents) can't be paired")
    rng = np.random.default_rng(SEED)
    first, second = (np.moveaxis(counts, 1, 0).reshape(len(counts[0]), -1).astype(np.float64) for counts in (a, b))
    observed = _mean_f1(first.sum(0)) - _mean_f1(second.sum(0))
    extreme = 0
    for start in range(0, RESAMPLES, AT_ONCE):
        swapped = rng.integers(0, 2, (min(AT_ONCE, RESAMPLES - start), len(first))).astype(np.float64)
        moved = swapped @ (second - first)
        differences = _mean_f1(first.sum(0) + moved) - _mean_f1(second.sum(0) - moved)
        extreme += int(np.count_nonzero(np.abs(differences) >= abs(observed) - 1e-12))
    return Comparison(float(observed), (extreme + 1) / (RESAMPLES + 1))


def holm(p: Sequence[float]) -> np.ndarray:
    """The p-values of a family of tests, corrected by Holm's method, however the tests depend on each other.

    Calling those differences real that are below α then calls any false one real with a probability of at most α.

    Args:
        p: of each test.

    Returns:
        [len(p)] in the same order: the smallest times the number of tests, the next times one less, and so on, but none below
        that of a smaller p, and none above 1.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    return corrected


def _mean_f1(totals: np.ndarray) -> np.ndarray:
    """[..., runs · 3] counts → [...] mean over runs of F1, 0 where there is nothing to count."""
    counts = totals.reshape(*totals.shape[:-1], -1, 3)
    errors = counts[..., 1] + counts[..., 2]
    denominator = 2 * counts[..., 0] + errors
    return np.divide(2 * counts[..., 0], denominator, out=np.zeros_like(errors), where=denominator > 0).mean(-1)
