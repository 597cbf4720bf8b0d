import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iter_bench.data import spert
from iter_bench.document import Document, Entity, Extraction, Relation, Schema
from iter_bench.errors import DataError

SCHEMA = Schema(("Per", "Org", "Loc"), ("works_for", "married_to"), frozenset({"married_to"}))
WORDS = ["Ann", "Bo", "of", "Acme", "met", "Cy", "."]
SAMPLE = {
    "tokens": WORDS,
    "entities": [
        {"type": "Org", "start": 3, "end": 4},
        {"type": "Per", "start": 0, "end": 2},
        {"type": "Per", "start": 5, "end": 6},
    ],
    "relations": [{"type": "works_for", "head": 1, "tail": 0}, {"type": "married_to", "head": 1, "tail": 2}],
    "orig_id": 7,
}
ANN, ACME, CY = Entity(0, 2, "Per"), Entity(3, 4, "Org"), Entity(5, 6, "Per")


def changed(**values: object) -> dict:
    return {**copy.deepcopy(SAMPLE), **values}


def test_a_sample_is_read_as_it_stands(make):
    documents, notes = spert.read(make([SAMPLE]), SCHEMA)
    relations = (Relation(ANN, ACME, "works_for"), Relation(ANN, CY, "married_to"))
    assert documents == [Document("7", tuple(WORDS), (ANN, ACME, CY), relations)]
    assert notes == {}


def test_repeated_annotations_and_second_directions_are_collapsed_and_counted(make):
    sample = changed(entities=[*SAMPLE["entities"], SAMPLE["entities"][0]])
    sample["relations"] += [
        {"type": "married_to", "head": 2, "tail": 1},
        {"type": "works_for", "head": 1, "tail": 3},
    ]
    documents, notes = spert.read(make([sample]), SCHEMA)
    assert documents == spert.read(make([SAMPLE]), SCHEMA)[0]
    assert notes == {
        "repeated entities collapsed": 1,
        "repeated relations collapsed": 1,
        "second directions of symmetric relations collapsed": 1,
    }


BAD = [
    ([{"type": "Per", "start": 5, "end": 9}], [], "entities[0]: offsets out of range (5:9, the record has 7 words)"),
    ([{"type": "Per", "start": -1, "end": 2}], [], "entities[0]: offsets out of range"),
    ([{"type": "Per", "start": 2, "end": 2}], [], "entities[0]: start is not before end"),
    ([{"type": "per", "start": 0, "end": 2}], [], "entities[0]: unknown type ('per', known are Per, Org, Loc)"),
    ([{"type": "Per", "start": "0", "end": 2}], [], "entities[0]: wrong value"),
    ([{"type": "Per", "start": False, "end": 2}], [], "entities[0]: wrong value"),
    ([{"type": "Per", "start": 0.0, "end": 2}], [], "entities[0]: wrong value"),
    ([{"type": ["Per"], "start": 0, "end": 2}], [], "entities[0]: wrong value"),
    ([None], [], "entities[0]: wrong value"),
    ({}, [], "entities: wrong value"),
    (SAMPLE["entities"], [{"type": "works_for", "head": 1, "tail": 1}], "relations[0]: head = tail"),
    (SAMPLE["entities"], [{"type": "works_for", "head": 1, "tail": 3}], "relations[0].tail: offsets out of range"),
    (SAMPLE["entities"], [{"type": "works_for", "head": -1, "tail": 1}], "relations[0].head: offsets out of range"),
    (SAMPLE["entities"], [{"type": "works_for", "head": True, "tail": 0}], "relations[0].head: wrong value"),
    (SAMPLE["entities"], [{"type": "likes", "head": 1, "tail": 0}], "relations[0]: unknown type"),
    (SAMPLE["entities"], None, "relations: wrong value"),
]


@pytest.mark.parametrize(("entities", "relations", "message"), BAD)
def test_bad_records_stop_the_load_or_are_left_out_and_counted(make, caplog, entities, relations, message):
    path = make([SAMPLE, changed(entities=entities, relations=relations, orig_id=8)])
    with pytest.raises(DataError) as error:
        spert.read(path, SCHEMA)
    assert f"{path}, record 1, {message}" in str(error.value)
    documents, notes = spert.read(path, SCHEMA, skip_bad=True)
    kind = message.split(": ")[1].split(" (")[0]
    assert [d.id for d in documents] == ["7"] and notes == {f"skipped records: {kind}": 1}
    assert message in caplog.text


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (changed(tokens=[]), "tokens: empty words"),
        (changed(tokens=["a", " "]), "tokens[1]: empty words"),
        (changed(tokens=["a", 1]), "tokens[1]: wrong value"),
        (changed(tokens="abc"), "tokens: wrong value"),
        (changed(orig_id=7.5), "orig_id: wrong value"),
        (changed(), "id: duplicate id ('7' is also that of record 0)"),
        ([], "wrong value"),
    ],
)
def test_bad_words_and_ids_are_told(make, sample, message):
    path = make([SAMPLE, sample])
    with pytest.raises(DataError, match="record 1") as error:
        spert.read(path, SCHEMA)
    assert message in str(error.value)


def test_the_first_twenty_problems_are_told_at_once(make):
    bad = [changed(orig_id=i, entities=[{"type": "X", "start": 0, "end": 1}], relations=[]) for i in range(30)]
    with pytest.raises(DataError) as error:
        spert.read(make(bad), SCHEMA)
    assert "30 problems in 30 records" in str(error.value) and "record 19," in str(error.value)
    assert "record 20," not in str(error.value) and "and 10 more" in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        *(b"[{", b"[NaN]", b"{}", b'[{"tokens": ["\xff"]}]', b"[" * 100_000, b"", b"[" + b"9" * 5000),
        json.dumps([SAMPLE])[:-2].encode() + b', "relations": []}]',  # the sample's own would be lost
    ],
)
@pytest.mark.parametrize("skip_bad", [True, False])
def test_broken_files_can_not_be_skipped(make, content, skip_bad):
    path = make(content)
    with pytest.raises(DataError, match=str(path)):
        spert.read(path, SCHEMA, skip_bad=skip_bad)


def test_asp_markers_are_taken_off_and_their_surroundings_are_context(make):
    marked = ["<extra_id_22>", *WORDS, "<extra_id_23>"]
    entities = [{**e, "start": e["start"] + 1, "end": e["end"] + 1} for e in SAMPLE["entities"]]
    sample = changed(tokens=marked, entities=entities, extended=["a", "b", "c", *marked, "d", "e"])
    last = changed(tokens=marked, entities=entities, extended=["x", *marked[:-1]], orig_id=8)
    alone = changed(tokens=marked, entities=entities, extended=WORDS, orig_id=9)
    plain = spert.read(make([SAMPLE]), SCHEMA)[0][0]
    (first, second, third), _ = spert.read(make([sample, last, alone]), SCHEMA, context=2)
    assert (first.words, first.entities, first.relations) == (plain.words, plain.entities, plain.relations)
    assert (first.context_before, first.context_after) == (("b", "c"), ("d", "e"))
    assert (second.context_before, second.context_after) == (("x",), ())
    assert (third.context_before, third.context_after) == ((), ())
    assert spert.read(make([sample]), SCHEMA)[0] == [plain]
    with pytest.raises(DataError, match="extended"):
        spert.read(make([{**sample, "extended": ["other", *marked[1:]]}]), SCHEMA, context=2)


def test_types_keep_their_order_and_symmetry(make, tmp_path):
    path = tmp_path / "types.json"
    spert.write_types(path, SCHEMA)
    assert spert.read_types(path) == SCHEMA
    assert spert.read_types(make({"entities": {"A": {"short": "a"}}})).relation_types == ()
    for bad in ([], {"entities": []}, {"entities": {}, "relations": {"r": {"symmetric": "no"}}}):
        with pytest.raises(DataError):
            spert.read_types(make(bad))


@st.composite
def documents(draw) -> Document:
    word = st.text(st.characters(codec="utf-8"), min_size=1, max_size=4).filter(lambda w: not w.isspace())
    words = draw(st.lists(word, min_size=1, max_size=9))
    span = st.tuples(st.integers(0, len(words) - 1), st.integers(1, len(words))).filter(lambda s: s[0] < s[1])
    entity = st.builds(lambda s, t: Entity(*s, t), span, st.sampled_from(SCHEMA.entity_types))
    entities = sorted(draw(st.sets(entity, max_size=6)))
    relations: dict[Relation, None] = {}
    if len(entities) > 1:
        end = st.sampled_from(entities)
        for head, tail, type_ in draw(st.lists(st.tuples(end, end, st.sampled_from(SCHEMA.relation_types)), max_size=5)):
            if head != tail and not (type_ == "married_to" and Relation(tail, head, type_) in relations):
                relations[Relation(head, tail, type_)] = None
    return Document(draw(st.text(max_size=3).filter(lambda t: t.isascii())), tuple(words), tuple(entities), tuple(relations))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(documents(), max_size=4, unique_by=lambda d: d.id))
def test_what_is_written_is_read_again(tmp_path, gold):
    path = tmp_path / "gold.json"
    spert.write_gold(path, gold)
    assert spert.read(path, SCHEMA) == (gold, {})
    extractions = [Extraction(d.id, d.entities, tuple(sorted(d.relations))) for d in gold]
    spert.write_predictions(path, gold, extractions)
    assert spert.read_predictions(path, SCHEMA, gold) == extractions
    assert list(tmp_path.iterdir()) == [path]


def test_predictions_may_say_what_gold_can_not(tmp_path, make):
    gold, _ = spert.read(make([SAMPLE]), SCHEMA)
    other = Entity(1, 2, "Loc", score=0.5)
    relations = (
        Relation(ANN, ANN, "works_for"),
        Relation(ANN, CY, "married_to"),
        Relation(CY, ANN, "married_to", score=0.25),
        Relation(other, ANN, "works_for"),
    )
    path = tmp_path / "pred.json"
    spert.write_predictions(path, gold, [Extraction("7", (ANN, CY), relations)])
    assert '"score": 0.25' in path.read_text()
    (read,) = spert.read_predictions(path, SCHEMA, gold)
    assert set(read.entities) == {ANN, CY, other} and set(read.relations) == set(relations)


@pytest.mark.parametrize(
    ("pred", "message"),
    [
        ([], "has 0 samples, the gold data 1"),
        ([changed(tokens=["Ann", "Bob", *WORDS[2:]])], "record 0, tokens: other words than gold's (word 1 is 'Bob'"),
        ([changed(id="8")], "1 ids are none of the gold data, the first is '8'; 1 ids of the gold data are missing"),
        ([changed(id="7"), changed(id="7")], "1 ids stand twice, the first is '7'"),
        ([changed(relations=[{"type": "x", "head": 0, "tail": 1}])], "record 0, relations[0].type: unknown type"),
        ([changed(entities=[{"type": "Per", "start": 0, "end": 99}], relations=[])], "record 0, entities[0]: offsets"),
    ],
)
def test_predictions_of_other_samples_are_refused(make, pred, message):
    gold, _ = spert.read(make([SAMPLE]), SCHEMA)
    with pytest.raises(DataError) as error:
        spert.read_predictions(make(pred), SCHEMA, gold)
    assert message in str(error.value) and "skip" not in str(error.value)


def test_predictions_are_matched_by_id_in_any_order_else_by_position(make):
    gold, _ = spert.read(make([SAMPLE, changed(id="8", relations=[])]), SCHEMA)
    here, there = changed(id="7"), changed(id="8", entities=[], relations=[])
    first = spert.read_predictions(make([here, there]), SCHEMA, gold)
    assert [e.id for e in first] == ["7", "8"] and first[0].entities and not first[1].entities
    assert spert.read_predictions(make([there, here]), SCHEMA, gold) == first
    without = [{key: value for key, value in sample.items() if key != "id"} for sample in (here, there)]
    assert spert.read_predictions(make(without), SCHEMA, gold) == first


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "gold.json"
    spert.write_json(path, ["old"])
    with pytest.raises(ValueError, match="float"):
        spert.write_json(path, [float("nan")])
    assert json.loads(path.read_text()) == ["old"] and list(tmp_path.iterdir()) == [path]
    with pytest.raises(DataError, match=r"gold\.json/below\.json: can't be written: "):
        spert.write_json(path / "below.json", [])
