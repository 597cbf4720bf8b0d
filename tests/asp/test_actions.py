"""Gold → actions → replay → gold, on the embedded corpus, on the real ones, and on whatever hypothesis thinks of."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.asp.actions import CLOSE, COPY, OPEN, reachable, replay, script_of
from baselines.asp.configuration import AspConfig, AspSettings
from baselines.asp.source import source_of
from baselines.asp.system import AspSystem
from iter_bench import data
from iter_bench.document import Document, Entity, Extraction, Relation, Schema
from iter_bench.encoders import load_tokenizer
from iter_bench.tokenization import WindowTokenizer

TOKENIZER = load_tokenizer("minilm")
WINDOWS = WindowTokenizer(TOKENIZER, 512)


def configured(schema: Schema, **own) -> AspConfig:
    types = (schema.entity_types, schema.relation_types, tuple(sorted(schema.symmetric)))
    return AspConfig({}, *types, (), 101, 30522, 30523, 30524, 30525, AspSettings(**own))


def unordered(relations, schema):
    """Relations with the pairs of symmetric ones as sets, as the scorer compares them."""
    return {(r.type, frozenset((r.head, r.tail)) if r.type in schema.symmetric else (r.head, r.tail)) for r in relations}


def replayed(script, source, config) -> Extraction:
    best: dict[tuple[int, int], int] = {}
    for earlier, later, label in script.links.tolist():
        best.setdefault((earlier, later), label)
    links = [(*pair, label, None) for pair, label in best.items()]
    return replay("d", script.actions, [(kind, None) for kind in script.types.tolist()], links, source, config)


def check_valid(actions, pointer, source):
    """Every rule of a valid sequence, one by one."""
    copied, opened = 0, None
    assert pointer[0] == 0
    for step, action in enumerate(actions):
        assert pointer[step] == copied
        if action == COPY:
            copied += 1
        elif action == OPEN:
            assert opened is None and source.can_open[copied]
            opened = copied
        else:
            assert action == CLOSE and opened is not None and opened < copied and source.can_close[copied]
            opened = None
            assert step + 1 < len(actions)
    assert opened is None and copied == len(source.word) + 1
    assert len(actions) >= len(source.word)  # Theorem 1


def check_document(document, schema, **own):
    config = configured(schema, **own)
    (window,) = WINDOWS.windows([document])
    source = source_of(window, config)
    script, kept, lost = script_of(document, source, config)
    check_valid(script.actions.tolist(), script.pointer.tolist(), source)
    assert set(kept).isdisjoint(lost) and set(kept) | set(lost) == set(document.entities)
    found, (expected, _, second) = replayed(script, source, config), reachable(document, source, config)
    assert set(found.entities) == set(expected.entities) == set(kept)
    if not second:
        assert unordered(found.relations, schema) == unordered(expected.relations, schema)
    return kept, lost, found


def test_flat_corpus_survives():
    corpus = data.load("synthetic-w1", "train")
    for document in corpus.documents:
        _, lost, found = check_document(document, corpus.schema)
        assert not lost and set(found.entities) == set(document.entities)
        assert unordered(found.relations, corpus.schema) == unordered(document.relations, corpus.schema)


WORDS = "Ann Arbor lies in Michigan , says the encyclopaedia of Ypsilanti .".split()
SCHEMA = Schema(("A", "B"), ("R", "S"), frozenset({"S"}))


@st.composite
def documents(draw):
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9))
    spans = st.integers(0, len(words) - 1).flatmap(lambda a: st.tuples(st.just(a), st.integers(a + 1, len(words))))
    found = draw(st.lists(st.builds(lambda s, t: Entity(*s, t), spans, st.sampled_from("AB")), max_size=5, unique=True))
    entities = sorted(found)
    pairs = list(itertools.permutations(entities, 2))
    relations = (
        draw(
            st.lists(
                st.builds(lambda p, t: Relation(*p, t), st.sampled_from(pairs), st.sampled_from("RS")), max_size=4, unique=True
            )
        )
        if pairs
        else []
    )
    context = draw(st.lists(st.sampled_from(WORDS), max_size=3))
    return Document("d", tuple(words), tuple(entities), tuple(relations), (), tuple(context), tuple(context[:1]))


@settings(max_examples=80, deadline=None)
@given(documents(), st.sampled_from(["words", "subtokens"]))
def test_any_document_loses_as_little_as_possible(document, positions):
    """Overlaps included: what is kept is a largest set without overlap, by trying all subsets."""
    kept, lost, _ = check_document(document, SCHEMA, bracket_positions=positions)
    spans = {(e.start, e.end) for e in document.entities}
    largest = max(
        size
        for size in range(len(spans) + 1)
        for subset in itertools.combinations(spans, size)
        if all(a[1] <= b[0] or b[1] <= a[0] for a, b in itertools.combinations(subset, 2))
    )
    assert len(kept) == largest
    assert all(
        reason in ("second type of the same span", "overlap of one that is kept, since brackets don't nest")
        for reason in lost.values()
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, split, flat", [("conll04", "train+dev", True), ("ade", "all", False), ("scierc", "train", False)]
)
def test_real_corpus_survives(tiny_encoder, data_dir, name, split, flat):
    corpus = data.load(name, split, data_dir=data_dir)
    for document in corpus.documents:
        _, lost, _ = check_document(document, corpus.schema)
        assert not lost or not flat
    system = AspSystem.build(tiny_encoder, corpus.schema, corpus.documents, {"hidden": 8}, seed=1)
    reach = system.reachable(corpus.documents)
    for kind in ("entities", "relations"):
        all_of, left = (sum(len(getattr(d, kind)) for d in of) for of in (corpus.documents, reach.extractions))
        assert left + sum(n for reason, n in reach.lost.items() if reason.startswith(kind)) == all_of
        assert left > 0.9 * all_of
