"""The permutation test against the exact enumeration of all swaps, and the table against pairs that must not be formed."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_examples import record

from iter_bench import records, tables
from iter_bench.scoring import f1
from iter_bench.significance import holm, paired_permutation_test
from iter_bench.tables.significance import differences


def exact_p(a, b):
    """All 2^documents swaps, one by one."""

    def difference(swaps):
        totals = np.zeros((2, a.shape[0], 3), dtype=int)
        for document, swap in enumerate(swaps):
            totals[0] += (b if swap else a)[:, document]
            totals[1] += (a if swap else b)[:, document]
        return np.mean([f1(*t) for t in totals[0]]) - np.mean([f1(*t) for t in totals[1]])

    differences = [difference(swaps) for swaps in product((False, True), repeat=a.shape[1])]
    return differences[0], np.mean(np.abs(differences) >= abs(differences[0]) - 1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_the_test_agrees_with_all_swaps(seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, 4, (2, 8, 3)) for _ in range(2))
    a[..., 0] += seed  # from no difference to a clear one
    found, (difference, p) = paired_permutation_test(a, b), exact_p(a, b)
    assert found.difference == pytest.approx(difference)
    assert found.p == pytest.approx(p, abs=4 * (p * (1 - p) / 10_000) ** 0.5 + 1e-3)


def test_equal_systems_do_not_differ_and_unlike_shapes_are_refused():
    counts = np.random.default_rng(0).integers(0, 4, (3, 50, 3))
    assert paired_permutation_test(counts, counts).p == 1
    with pytest.raises(ValueError, match="paired"):
        paired_permutation_test(counts, counts[:, :49])


@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_is_the_closure_of_bonferroni(p):
    """A difference is real at α if every set of tests that holds it is: the definition, over all sets."""
    families = [rows for size in range(1, len(p) + 1) for rows in combinations(range(len(p)), size)]
    wanted = [max(min(1, len(rows) * min(p[i] for i in rows)) for rows in families if row in rows) for row in range(len(p))]
    assert holm(p) == pytest.approx(wanted)
    assert list(holm([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06]), "by hand"


def test_the_table_pairs_what_ran_on_the_same_documents(tmp_path):
    good, bad = ((1, 0, 0),) * 40, ((0, 1, 1),) * 20 + ((1, 0, 0),) * 20
    runs = [
        *(record(seed, documents={"ner": good}) for seed in (1, 2, 3)),
        *(record(seed, system="asp", documents={"ner": bad}) for seed in (2, 3, 4)),
        record(2, system="plmarker"),  # of an older version, without counts
        record(2, system="plmarker", dataset="ade", documents={"ner": bad}),
    ]
    for run in runs:
        assert records.load(records.write(run, tmp_path)).documents == run.documents
    made = differences(runs, "t")
    table = made.frame
    assert len(table) == 1
    row = table.iloc[0]
    assert (row.a, row.b, row.criterion, row.runs, row.documents) == ("asp", "iter", "ner", 2, 40)
    assert (row.a_f1, row.b_f1, row.difference) == pytest.approx((0.5, 1.0, -0.5)) and row.p == row.p_holm < 0.001
    assert "< 0.001" in tables.markdown(made.shown)
    assert made.notes[1:] == (
        "In no pair, for want of counts by document or of a common seed: plmarker on conll04.",
        "4 runs, seeds 2–3. Epochs: asp 20; iter 20. Hardware: Some CPU (2 cores). "
        "4 runs are of no profile or search; records name their command.",
    ), "of those that were compared"
    third = record(2, system="mine", documents={"ner": bad[::-1]})
    other = [record(1, system=name, dataset="scierc", documents={"ner": bad}) for name in ("iter", "asp")]
    family = differences([*runs, third, *other], "t").frame.query("dataset == 'conll04'")
    assert len(family) == 3 and family.p_holm.max() > table.p[0] and list(family.p_holm) == pytest.approx(list(holm(family.p)))
    tuned = [record(s, documents={"ner": bad}, training={"epochs": 3}) for s in (2, 3)]
    both = differences([*runs, third, *tuned], "t").frame.query("dataset == 'conll04'")
    of_settings = both.a.str.split().str[0] == both.b.str.split().str[0]
    for of in (both[of_settings], both[~of_settings]):
        assert list(of.p_holm) == pytest.approx(list(holm(of.p))), "settings of one system are a family of their own"
    assert of_settings.sum() == 1


def test_systems_that_ran_on_unlike_folds_are_compared_on_those_that_both_have():
    """As a matrix of seeds and folds stands when it's interrupted, or beside one of a single fold."""
    good, bad = ((1, 0, 0),) * 40, ((0, 1, 1),) * 20 + ((1, 0, 0),) * 20
    runs = [
        *(record(1, dataset="ade", fold=fold, documents={"ner": good}) for fold in (0, 1, 2)),
        record(2, dataset="ade", fold=0, documents={"ner": good}),
        *(record(1, system="asp", dataset="ade", fold=fold, documents={"ner": bad}) for fold in (0, 1)),
        record(2, system="asp", dataset="ade", fold=0, documents={"ner": bad}),
    ]
    table = differences(runs, "t").frame.set_index(["a", "b"])
    wide, narrow = table.loc["asp (folds=0–1)", "iter (folds=0–2)"], table.loc["asp (folds=0)", "iter (folds=0)"]
    assert (wide.runs, wide.documents, narrow.runs, narrow.documents) == (1, 80, 1, 40) and len(table) == 2
    assert (wide.a_f1, wide.b_f1) == pytest.approx((0.5, 1.0))
    rows = tables.runs_table(runs).set_index(["system", "setting"])
    assert (rows.loc[("iter", "folds=0–2")].folds, rows.loc[("iter", "folds=0")].seeds) == (3, 1), "fold 0 isn't counted twice"
