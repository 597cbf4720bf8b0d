"""Scores against hand counts, against a second implementation, against seqeval, and their properties."""

import json
from pathlib import Path

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report
from seqeval.scheme import IOB2
from typer.testing import CliRunner

from iter_bench import scoring
from iter_bench.cli.score import score as score_command
from iter_bench.data import spert
from iter_bench.document import Document, Entity, Extraction, Relation, Schema
from iter_bench.errors import DataError

SCHEMA = Schema(("PER", "LOC"), ("lives_in", "spouse"), frozenset({"spouse"}))
ANN, BOB, ANN_AGAIN, YORK = Entity(0, 1, "PER"), Entity(2, 3, "PER"), Entity(4, 5, "PER"), Entity(7, 9, "LOC")
CY, DI = Entity(0, 1, "PER"), Entity(2, 3, "PER")
DOCUMENTS = [
    Document(
        "1",
        ("Ann", "wed", "Bob", ".", "Ann", "lives", "in", "New", "York", "."),
        (ANN, BOB, ANN_AGAIN, YORK),
        (Relation(ANN, BOB, "spouse"), Relation(ANN_AGAIN, YORK, "lives_in")),
    ),
    Document("2", ("Cy", "wed", "Di"), (CY, DI), (Relation(CY, DI, "spouse"),)),
]
WRONG_TYPE = Entity(4, 5, "LOC")
EXTRACTIONS = [
    Extraction(
        "1",
        (ANN, BOB, WRONG_TYPE, YORK, YORK),
        (
            Relation(BOB, ANN, "spouse"),  # the other direction of a symmetric pair
            Relation(WRONG_TYPE, YORK, "lives_in"),  # right boundaries, wrong type
            Relation(ANN, YORK, "lives_in"),  # the other Ann
        ),
    ),
    Extraction("2", (CY,), (Relation(CY, CY, "spouse"),)),
]
HAND_COUNTS = {
    ("strict", "ner"): (4, 1, 2),
    ("strict", "re"): (2, 2, 1),
    ("strict", "re_plus"): (1, 3, 2),
    ("pl_marker", "ner"): (4, 1, 2),
    ("pl_marker", "re"): (3, 3, 2),
    ("pl_marker", "re_plus"): (2, 4, 3),
    ("surface", "ner"): (4, 1, 1),
    ("surface", "re"): (2, 1, 1),
    ("surface", "re_plus"): (2, 2, 1),
}


def counts(entry):
    return entry["tp"], entry["fp"], entry["fn"]


@pytest.mark.parametrize(("convention", "criterion"), HAND_COUNTS)
def test_hand_counts(convention, criterion):
    entry = scoring.score(DOCUMENTS, EXTRACTIONS, SCHEMA)[convention][criterion]
    tp, fp, fn = HAND_COUNTS[convention, criterion]
    assert counts(entry) == (tp, fp, fn)
    assert (entry["precision"], entry["recall"]) == (tp / (tp + fp), tp / (tp + fn))
    assert entry["f1"] == pytest.approx(2 * entry["precision"] * entry["recall"] / (entry["precision"] + entry["recall"]))


def test_per_type_and_macro_by_hand():
    entry = scoring.score(DOCUMENTS, EXTRACTIONS, SCHEMA)["strict"]["ner"]
    assert counts(entry["per_type"]["PER"]) == (3, 0, 2)
    assert counts(entry["per_type"]["LOC"]) == (1, 1, 0)
    assert entry["macro"] == pytest.approx(
        {"precision": (1 + 1 / 2) / 2, "recall": (3 / 5 + 1) / 2, "f1": (2 * 3 / (6 + 2) + 2 / (2 + 1)) / 2}
    )


def test_a_type_without_gold_and_predictions_stays_out_of_macro():
    schema = Schema(("PER", "LOC", "ORG"))
    documents = [Document("1", ("Ann", "left"), (Entity(0, 1, "PER"),))]
    scores = scoring.score(documents, [Extraction("1", (Entity(0, 1, "PER"),))], schema)["strict"]
    assert set(scores) == {"ner"}
    assert scores["ner"]["macro"]["f1"] == 1.0
    assert counts(scores["ner"]["per_type"]["ORG"]) == (0, 0, 0)


def test_a_self_relation_is_wrong_even_where_boundaries_carry_two_types():
    first, second = Entity(0, 1, "PER"), Entity(0, 1, "LOC")
    documents = [Document("1", ("Lincoln",), (first, second), (Relation(first, second, "lives_in"),))]
    itself = [Extraction("1", (first,), (Relation(first, first, "lives_in"),))]
    swapped = [Extraction("1", (first, second), (Relation(second, first, "lives_in"),))]
    assert counts(scoring.score(documents, itself, SCHEMA)["strict"]["re"]) == (0, 1, 1)
    assert counts(scoring.score(documents, swapped, SCHEMA)["strict"]["re"]) == (1, 0, 0)
    assert counts(scoring.score(documents, swapped, SCHEMA)["strict"]["re_plus"]) == (0, 1, 1)


@pytest.mark.parametrize(
    ("extractions", "message"),
    [
        (EXTRACTIONS[:1], "'2' has no extraction"),
        ([*EXTRACTIONS, Extraction("3")], "no document, the first of '3'"),
        ([*EXTRACTIONS, EXTRACTIONS[0]], "'1' has more than one extraction"),
        ([EXTRACTIONS[0], Extraction("2", (Entity(0, 1, "ORG"),))], r"entities\[0\].type: 'ORG' is no entity type"),
        ([EXTRACTIONS[0], Extraction("2", (Entity(2, 4, "PER"),))], "words 2:4 are not in a document of 3 words"),
        ([EXTRACTIONS[0], Extraction("2", (), (Relation(CY, DI, "kills"),))], "'kills' is no relation type"),
        ([EXTRACTIONS[0], Extraction("2", (), (Relation(CY, Entity(0, 9, "PER"), "spouse"),))], r"relations\[0\].tail: words"),
    ],
)
def test_what_does_not_fit_is_an_error(extractions, message):
    with pytest.raises(DataError, match=message):
        scoring.score(DOCUMENTS, extractions, SCHEMA)


@st.composite
def cases(draw):
    """A few documents over two words, with gold and predictions drawn from the same small space."""
    documents, extractions = [], []
    for i in range(draw(st.integers(1, 3))):
        words = tuple(draw(st.lists(st.sampled_from("ab"), min_size=2, max_size=4)))
        spans = [Entity(s, e, t) for s in range(len(words)) for e in range(s + 1, len(words) + 1) for t in SCHEMA.entity_types]
        gold = draw(st.lists(st.sampled_from(spans), unique=True, max_size=4))
        pairs = [
            Relation(h, t, r) for h in gold for t in gold for r in SCHEMA.relation_types if h < t or (h > t and r != "spouse")
        ]
        relations = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=4)) if pairs else []
        documents.append(Document(str(i), words, tuple(gold), tuple(relations)))
        found = draw(st.lists(st.sampled_from(spans), max_size=4)) + draw(st.permutations(gold))[:2]
        ends = st.sampled_from(found) if found else st.nothing()
        guesses = draw(st.lists(st.builds(Relation, ends, ends, st.sampled_from(SCHEMA.relation_types)), max_size=4))
        extractions.append(Extraction(str(i), tuple(found), tuple(guesses + relations[: draw(st.integers(0, 3))])))
    return documents, extractions


def naive_counts(document, extraction, convention, criterion):
    """Pairwise comparison of lists, as the definitions read; equal things are removed one by one."""

    def same_mention(a, b):
        if convention == "surface":
            return document.words[a.start : a.end] == document.words[b.start : b.end]
        return a.start == b.start and a.end == b.end

    def same(a, b):
        if a.type != b.type:
            return False
        if isinstance(a, Entity):
            return same_mention(a, b)

        def same_end(x, y):
            return same_mention(x, y) and (criterion == "re" or x.type == y.type)

        if convention != "surface" and (a.head == a.tail) != (b.head == b.tail):
            return False
        direct = same_end(a.head, b.head) and same_end(a.tail, b.tail)
        return direct or (a.type in SCHEMA.symmetric and same_end(a.head, b.tail) and same_end(a.tail, b.head))

    def distinct(items):
        kept = []
        for item in items:
            if not any(same(item, other) for other in kept):
                kept.append(item)
        return kept

    def weigh(items):
        return sum(2 if convention == "pl_marker" and item.type in SCHEMA.symmetric else 1 for item in items)

    name = "entities" if criterion == "ner" else "relations"
    gold, found = distinct(getattr(document, name)), distinct(getattr(extraction, name))
    hits = [item for item in found if any(same(item, other) for other in gold)]
    return weigh(hits), weigh(found) - weigh(hits), weigh(gold) - weigh(hits)


@settings(max_examples=150, deadline=None)
@given(cases())
def test_a_second_implementation_counts_the_same(case):
    documents, extractions = case
    scores = scoring.score(documents, extractions[::-1], SCHEMA)
    for convention in scoring.CONVENTIONS:
        for criterion in scoring.CRITERIA:
            expected = [naive_counts(d, e, convention, criterion) for d, e in zip(documents, extractions, strict=True)]
            got = scoring.per_document_counts(documents, extractions, SCHEMA, convention, criterion)
            assert got == expected
            entry = scores[convention][criterion]
            assert counts(entry) == tuple(map(sum, zip(*expected, strict=True)))
            by_type = zip(*map(counts, entry["per_type"].values()), strict=True)
            assert counts(entry) == tuple(map(sum, by_type))


@settings(max_examples=60, deadline=None)
@given(cases(), st.randoms(use_true_random=False))
def test_properties(case, random):
    documents, extractions = case
    perfect = scoring.score(documents, [Extraction(d.id, d.entities, d.relations) for d in documents], SCHEMA)
    for convention in scoring.CONVENTIONS:
        for criterion in scoring.CRITERIA:
            entry = perfect[convention][criterion]
            assert entry["f1"] == (1.0 if entry["tp"] else 0.0)
            assert entry["fp"] == entry["fn"] == 0

    def shuffled(items):
        return tuple(random.sample(items, len(items)))

    before = scoring.score(documents, extractions, SCHEMA)
    assert before == scoring.score(
        shuffled(documents), [Extraction(e.id, shuffled(e.entities), shuffled(e.relations)) for e in extractions], SCHEMA
    )
    worse = Extraction("0", (*extractions[0].entities, Entity(0, 1, "PER")), extractions[0].relations)
    if Entity(0, 1, "PER") not in documents[0].entities:
        after = scoring.score(documents, [worse, *extractions[1:]], SCHEMA)
        assert after["strict"]["ner"]["precision"] <= before["strict"]["ner"]["precision"]


FLAT = Schema(("PER", "LOC", "ORG"))


@st.composite
def flat_mentions(draw, length):
    position, mentions = 0, []
    while (position := position + draw(st.integers(0, 2))) < length:
        end = min(length, position + draw(st.integers(1, 3)))
        mentions.append(Entity(position, end, draw(st.sampled_from(FLAT.entity_types))))
        position = end
    return tuple(mentions)


def iob2(length, mentions):
    tags = ["O"] * length
    for m in mentions:
        tags[m.start : m.end] = [f"B-{m.type}"] + [f"I-{m.type}"] * (m.end - m.start - 1)
    return tags


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), flat_mentions(n), flat_mentions(n))), min_size=1))
def test_seqeval_agrees_on_flat_entities(samples):
    if not any(gold for _, gold, _ in samples):
        return  # seqeval has no report without gold
    documents = [Document(str(i), ("word",) * n, gold) for i, (n, gold, _) in enumerate(samples)]
    extractions = [Extraction(str(i), found) for i, (_, _, found) in enumerate(samples)]
    ours = scoring.score(documents, extractions, FLAT)["strict"]["ner"]
    report = classification_report(
        [iob2(n, gold) for n, gold, _ in samples],
        [iob2(n, found) for n, _, found in samples],
        mode="strict",
        scheme=IOB2,
        output_dict=True,
        zero_division=0,
    )
    expected = {name: report[name] for name in FLAT.entity_types if name in report} | {"micro": report["micro avg"]}
    for name, theirs in expected.items():
        entry = ours if name == "micro" else ours["per_type"][name]
        assert (entry["precision"], entry["recall"], entry["f1"]) == pytest.approx(
            (theirs["precision"], theirs["recall"], theirs["f1-score"])
        )
    assert ours["macro"]["f1"] == pytest.approx(report["macro avg"]["f1-score"])


@pytest.fixture
def files(tmp_path):
    spert.write_types(tmp_path / "types.json", SCHEMA)
    spert.write_gold(tmp_path / "gold.json", DOCUMENTS)
    spert.write_predictions(tmp_path / "pred.json", DOCUMENTS, EXTRACTIONS)
    return [str(tmp_path / "gold.json"), str(tmp_path / "pred.json"), "--types", str(tmp_path / "types.json")]


def test_the_command_scores_two_files(files):
    app = typer.Typer()
    app.command("score")(score_command)
    printed = CliRunner().invoke(app, [*files, "--json"], catch_exceptions=False).stdout
    assert json.loads(printed) == scoring.score(DOCUMENTS, EXTRACTIONS, SCHEMA)
    table = CliRunner().invoke(app, files, catch_exceptions=False).stdout
    assert "pl_marker" in table and "80.00" in table  # strict NER precision, 4 of 5


def test_the_command_names_no_way_out_that_it_has_not(files):
    Path(files[0]).write_text('[{"tokens": [], "entities": [], "relations": []}]')
    app = typer.Typer()
    app.command("score")(score_command)
    said = str(CliRunner().invoke(app, files).exception)
    assert "empty words" in said and "skip" not in said
