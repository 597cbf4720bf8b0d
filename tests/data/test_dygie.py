import copy
import json

import pytest

from iter_bench.data import context, dygie
from iter_bench.document import Entity, Relation, Schema
from iter_bench.errors import DataError

SCHEMA = Schema(("Per", "Org", "Loc"), ("works_for", "married_to"), frozenset({"married_to"}))

# Offsets count over the text, and an end is the last word.
TEXT = {
    "doc_key": "t1",
    "dataset": "made-up",
    "sentences": [["Ann", "Lee", "runs", "Acme"], ["Bo", "wed", "Ann"]],
    "ner": [[[0, 1, "Per"], [3, 3, "Org"]], [[4, 4, "Per"], [6, 6, "Per"]]],
    "relations": [[[0, 1, 3, 3, "works_for"]], [[4, 4, 6, 6, "married_to"], [6, 6, 4, 4, "married_to"]]],
    "clusters": [[[0, 1], [6, 6]]],
}


def lines(*texts: dict) -> str:
    return "\n".join(json.dumps(text) for text in texts) + "\n"


def test_a_text_is_read_whole_and_by_sentence(make):
    ((text,), notes) = dygie.read(make(lines(TEXT)), SCHEMA)
    assert text.id == "t1" and text.sentences == ((0, 4), (4, 7)) and len(text.words) == 7
    assert text.entities == (Entity(0, 2, "Per"), Entity(3, 4, "Org"), Entity(4, 5, "Per"), Entity(6, 7, "Per"))
    assert notes == {"second directions of symmetric relations collapsed": 1}
    (first, second), lost = context.by_sentence(text)
    assert first.relations == (Relation(Entity(0, 2, "Per"), Entity(3, 4, "Org"), "works_for"),)
    assert second.relations == (Relation(Entity(0, 1, "Per"), Entity(2, 3, "Per"), "married_to"),)
    assert (first.id, second.id) == ("t1/0", "t1/1") and not lost


def test_annotations_across_sentences_are_counted(make):
    text = copy.deepcopy(TEXT)
    text["relations"][0].append([4, 4, 3, 3, "works_for"])
    text["ner"][0].append([3, 4, "Loc"])
    text["relations"][0].append([3, 4, 0, 1, "works_for"])
    ((whole,), _) = dygie.read(make(lines(text)), SCHEMA)
    assert len(whole.relations) == 4 and len(whole.entities) == 5
    samples, lost = context.by_sentence(whole)
    assert lost == {"entities across sentences left out": 1, "relations across sentences left out": 2}
    assert sum(len(d.relations) for d in samples) == 2


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("ner", [[[0, 7, "Per"]], []], "ner[0][0]: offsets out of range"),
        ("ner", [[[2, 1, "Per"]], []], "ner[0][0]: start is not before end"),
        ("ner", [[[0, 0, "Dog"]], []], "ner[0][0]: unknown type"),
        ("ner", [[[0, "0", "Per"]], []], "ner[0][0]: wrong value"),
        ("ner", [[[0, 0]], []], "ner[0][0]: wrong value"),
        ("ner", [[]], "ner: wrong value (holds 1 lists for 2 sentences)"),
        ("ner", None, "ner: wrong value"),
        ("relations", [[[0, 1, 0, 1, "works_for"]], []], "relations[0][0]: head = tail"),
        ("relations", [[[0, 1, 2, 2, "works_for"]], []], "relations[0][0].tail: relation of no entity"),
        ("relations", [[[0, 1, 3, 3, "owns"]], []], "relations[0][0]: unknown type"),
        ("relations", [[[[], 1, 3, 3, "owns"]], []], "relations[0][0].head: wrong value"),
        ("sentences", [["Ann"], []], "sentences[1]: empty words"),
        ("sentences", [], "sentences: empty words"),
        ("sentences", [["Ann"], [""]], "sentences[1]: empty words"),
        ("doc_key", 5, "doc_key: wrong value"),
        ("doc_key", "t1", "id: duplicate id"),
    ],
)
def test_bad_texts_are_told_and_left_out(make, key, value, message):
    path = make(lines(TEXT, {**TEXT, "doc_key": "t2", key: value}))
    with pytest.raises(DataError) as error:
        dygie.read(path, SCHEMA)
    assert f"{path}, line 2, {message}" in str(error.value)
    assert [d.id for d in dygie.read(path, SCHEMA, skip_bad=True)[0]] == ["t1"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "broken JSON"),
        (b"[NaN]", "broken JSON"),
        (b"\xff", "broken encoding"),
        (b"3", "wrong value"),
        (b'{"ner": [], "ner": []}', "broken JSON"),
    ],
)
def test_broken_lines_are_told_and_left_out(make, line, reason):
    path = make(line + b"\n" + lines(TEXT).encode())
    with pytest.raises(DataError, match=f"line 1: {reason}"):
        dygie.read(path, SCHEMA)
    documents, notes = dygie.read(path, SCHEMA, skip_bad=True)
    assert len(documents) == 1 and sum(n for what, n in notes.items() if what.startswith("skipped")) == 1
