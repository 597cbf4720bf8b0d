"""Gold → candidates and targets → perfect scores → decoding → gold, up to what is counted as unreachable."""

from collections import Counter
from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.plmarker.system import PlMarkerSystem
from iter_bench import data
from iter_bench.document import Document, Entity, Extraction, Relation, Schema

SCHEMA = Schema(("a", "b", "c"), ("r", "s", "t"), frozenset({"t"}))
WORDS = ("the", "of", "antidisestablishmentarianism", "x", "\u200b", "Paris")  # of many, one and no sub-tokens


def perfect(system: PlMarkerSystem, documents: list[Document]) -> list[Extraction]:
    """What the system predicts with classifiers that are always right; no encoder runs."""
    spans = [np.stack((e.classes, np.ones(len(e.classes))), 1) for e in system.ner.examples(documents)]
    rows = []
    for example in system.relation.examples(documents) if system.relation else ():
        subject = (example.first == example.read[0] + 1) & (example.last == example.read[1] - 1)
        if subject.any() and len(subject) > 1:  # neither the empty subject nor an entity that is alone
            scores = np.full((len(subject), len(system.relation.classes) + 1), -5.0)
            scores[np.arange(len(subject)), example.classes] = 0
            scores[:, -1] = example.types
            rows.append(scores[~subject])
    with pytest.MonkeyPatch.context() as patch:
        for stage, answers in ((system.ner, spans), (system.relation, rows)):
            if stage is not None:
                patch.setattr(stage, "decide", lambda examples, *_, answers=answers: checked(examples, answers))
        return system.predict(documents)


def checked(examples, answers):
    assert [len(e.first) for e in examples] == [len(a) for a in answers]
    return lambda: answers


def check(system: PlMarkerSystem, documents: list[Document]) -> Counter:
    """Each gold item is either lost for one reason or comes out again."""
    reachable = system.reachable(documents)
    kept = [
        replace(d, entities=e.entities, relations=e.relations) for d, e in zip(documents, reachable.extractions, strict=True)
    ]
    for kind in ("entities", "relations"):
        lost = sum(n for reason, n in reachable.lost.items() if reason.startswith(kind))
        gold, left = (sum(len(getattr(d, kind)) for d in of) for of in (documents, kept))
        assert gold == left + lost, kind
    for document, found in zip(kept, perfect(system, kept), strict=True):
        assert set(found.entities) == set(document.entities), document
        relations = {key(r, system.schema) for r in document.relations}
        assert {key(r, system.schema) for r in found.relations} == relations, document
    return reachable.lost


def key(relation: Relation, schema: Schema):
    ends = (relation.head, relation.tail)
    return relation.type, frozenset(ends) if relation.type in schema.symmetric else ends


@st.composite
def documents(draw) -> Document:
    words = tuple(draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=24)))
    starts = st.integers(0, len(words) - 1)
    spans = st.tuples(starts, st.integers(1, 6), st.sampled_from(SCHEMA.entity_types))
    entities = sorted({Entity(s, min(s + n, len(words)), t) for s, n, t in draw(st.lists(spans, max_size=7))})
    relations = {}
    if len(entities) > 1:
        for head, tail, kind in draw(
            st.lists(st.tuples(st.sampled_from(entities), st.sampled_from(entities), st.sampled_from(SCHEMA.relation_types)))
        ):
            if head != tail:
                relation = Relation(head, tail, kind)
                relations.setdefault(key(relation, SCHEMA), relation)
    border = draw(st.integers(1, len(words)))
    sentences = ((0, border), (border, len(words))) if border < len(words) else ()
    context = ("before", "it") if draw(st.booleans()) else ()
    return Document("d", words, tuple(entities), tuple(relations.values()), sentences, context, context)


@pytest.fixture(scope="module")
def systems(tiny_encoder):
    """Wide and narrow limits, every overlap filter."""
    chosen = (
        {},
        {"max_span_words": 3, "ner_length": 16, "re_length": 14, "ner_overlap": "any", "entity_types": "ner"},
        {"max_span_words": 5, "ner_length": 12, "re_length": 30, "ner_overlap": "keep", "re_overlap": "keep"},
    )
    return [PlMarkerSystem.build(tiny_encoder, SCHEMA, (), of, seed=1) for of in chosen]


A, B, AB = Entity(0, 1, "a"), Entity(1, 2, "a"), Entity(0, 2, "b")
TURNED = Document("d", ("the", "the"), (A, AB, B), (Relation(A, AB, "t"), Relation(B, A, "t")))


@settings(max_examples=60, deadline=None)
@given(document=documents())
@hypothesis.example(document=TURNED)  # symmetric relations overlap at both ends only as they're decoded
def test_any_document(systems, document):
    for system in systems:
        check(system, [document])


def test_reasons(systems):
    """One document for each reason, counted by hand."""
    words = ("the",) * 12
    long, inner, twin = Entity(0, 9, "a"), Entity(1, 3, "a"), Entity(1, 3, "b")
    nested, across, far = Entity(2, 4, "a"), Entity(5, 7, "c"), Entity(11, 12, "c")
    relations = (
        Relation(long, far, "r"),
        Relation(inner, far, "r"),
        Relation(far, inner, "s"),
        Relation(inner, across, "r"),
    )
    sentences = ((0, 6), (6, 12))
    document = Document("d", words, (long, inner, twin, nested, across, far), relations, sentences)
    assert check(systems[0], [document]) == {
        "entities: longer than max_span_words=8": 1,
        "entities: they reach over the end of their sentence": 1,
        "entities: second type of the same span": 1,
        "entities: they overlap another one of their type": 1,
        "relations: an entity of theirs is unreachable": 2,
        "relations: second one of the same two entities": 1,
    }


@pytest.mark.parametrize(
    "preset, overlap, losing",
    [("synthetic", "same_type", True), ("synthetic", "keep", False), ("synthetic-w1", "same_type", False)],
)
def test_embedded_corpus(tiny_encoder, preset, overlap, losing):
    """With the filters off, only spans longer than L are lost; flat data lose nothing to them."""
    for split in ("train", "test"):
        corpus = data.load(preset, split)
        chosen = {"ner_overlap": overlap, "max_span_words": 9}
        lost = check(
            PlMarkerSystem.build(tiny_encoder, corpus.schema, corpus.documents, chosen, seed=1), list(corpus.documents)
        )
        assert bool(lost) == losing, lost


@pytest.mark.slow
@pytest.mark.parametrize("name, split", [("conll04", "train+dev"), ("scierc", "train"), ("ade", "all"), ("genia", "test")])
def test_real_corpora(tiny_encoder, data_dir, name, split):
    corpus = data.load(name, split, data_dir=data_dir)
    longest = data.catalogue.entry(name).max_span_words
    build = {"max_span_words": longest, "ner_overlap": "keep"}
    system = PlMarkerSystem.build(tiny_encoder, corpus.schema, corpus.documents, build, seed=1)
    lost = check(system, list(corpus.documents))
    assert sum(n for reason, n in lost.items() if reason.startswith("entities")) < 0.01 * sum(
        len(d.entities) for d in corpus.documents
    )
