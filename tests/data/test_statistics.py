import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iter_bench.data.statistics import has_overlap, omega, statistics
from iter_bench.document import Document, Entity


def document(*spans: tuple[int, int], words: int = 9, name: str = "d") -> Document:
    return Document(name, ("w",) * words, tuple(Entity(a, b, f"T{i}") for i, (a, b) in enumerate(spans)))


@pytest.mark.parametrize(
    ("spans", "expected_omega", "overlap"),
    [
        ((), 0, False),
        (((0, 2), (2, 4)), 1, False),
        (((0, 4), (1, 2)), 2, True),  # one inside another
        (((0, 4), (0, 2)), 1, True),  # the same start: one bracket, but the shorter begins in the longer
        (((0, 4), (2, 4)), 2, True),  # the same end
        (((0, 3), (2, 5)), 2, True),  # crossing
        (((0, 9), (1, 2), (3, 4), (5, 6)), 4, True),  # not the depth of nesting, which is 2
        (((0, 4), (0, 4)), 1, False),  # one span of two types
    ],
)
def test_hand_counted(spans, expected_omega, overlap):
    assert omega(document(*spans)) == expected_omega
    assert has_overlap(document(*spans)) == overlap


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(1, 4)).map(lambda s: (s[0], min(9, s[0] + s[1]))), max_size=6))
def test_as_the_formula_of_section_3_5_has_it(spans):
    """Position by position, with A_k and B_m built as the paper writes them."""
    left = {k: any(start == k for start, _ in spans) for k in range(9)}
    right = {m: [start for start, end in spans if end - 1 == m] for m in range(9)}
    paper = max((sum(left[k] for k in range(n, m + 1)) for m in right for n in right[m]), default=0)
    assert omega(document(*spans)) == paper
    inside = any(a != b and a[0] <= b[0] < a[1] for a in spans for b in spans)
    assert has_overlap(document(*spans)) == inside


def test_a_split_in_one_row():
    documents = [document((0, 4), (1, 2), words=4, name="a"), document(words=7, name="b")]
    row = statistics(documents, lambda words: len(words) + 2)
    assert (row.samples, row.entities, row.relations, row.omega, row.overlap_share) == (2, 2, 0, 2, 0.5)
    assert row.subtokens == (6, 9, 7.5)
    assert statistics([]).overlap_share == 0 and statistics([]).subtokens is None
