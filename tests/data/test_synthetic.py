"""The embedded corpus: deterministic, as nested, dense and long as asked for, and not to be solved by looking names up."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from iter_bench.data.synthetic import (
    ARGUMENTS,
    PRESETS,
    SCHEMA,
    SPLITS,
    VERSION,
    CorpusSettings,
    clauses,
    documents_of_length,
    generate,
    load,
)
from iter_bench.data.synthetic.names import POOLS
from iter_bench.data.synthetic.nominals import SLOT
from iter_bench.data.synthetic.sentences import FRAMES
from iter_bench.document import Document
from iter_bench.errors import SettingsError

CORPORA = {(name, split): load(name, split).documents for name in PRESETS for split in SPLITS}
DEFAULT = {split: CORPORA["synthetic", split] for split in SPLITS}

# A change here is another corpus: raise VERSION with it, and say so in docs/synthetic-corpus.md.
SHA256 = {
    "synthetic": "fb7221952f98330790d4fc42a6e35a46867941e0110c389bda48240f8816f813",
    "synthetic-lengths": "2cd4b4cc7350a97051854c69c0bb8305a8c5a5ffadd3dc208071ebd852dc791e",
    "synthetic-w1": "21c6193e34d8e60c314c82f4fe5fabede5fec88c61f1c046ab6421b4307eff2f",
    "synthetic-w2": "41062ceec9c947d6b84fae9988eca8e307af2881e6220abbb6f27d979dbe22d6",
    "synthetic-w3": "bcb5c43bf4987a791d9cf0c58a73e2b43dfbab3567a0ce3065a0e6d52a6e3b9b",
    "synthetic-w4": "48ec2b04a7f459a5dc2eb39e67e521e006745fc8b4663b14867c39ba28af015c",
}


def digest(documents) -> str:
    rows = [
        [
            document.id,
            document.words,
            [(e.start, e.end, e.type) for e in document.entities],
            [(r.head.start, r.head.end, r.tail.start, r.tail.end, r.type) for r in document.relations],
            document.sentences,
        ]
        for document in documents
    ]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def omega(document: Document) -> int:
    """Section 3.5, literally: A_k holds the brackets that open at k, B_m the entities that end at m, both inclusive."""
    opens = {k: any(e.start == k for e in document.entities) for k in range(len(document.words))}
    sums = [sum(opens[k] for k in range(e.start, m + 1)) for e in document.entities for m in [e.end - 1]]
    return max(sums, default=0)


def text(document: Document, entity) -> str:
    return " ".join(document.words[entity.start : entity.end])


@pytest.mark.parametrize("name", PRESETS)
def test_every_version_has_one_content(name):
    assert VERSION in CORPORA[name, "train"][0].id
    joined = [document for split in SPLITS for document in CORPORA[name, split]]
    assert digest(joined) == SHA256[name]


def test_the_same_in_another_process_with_other_hashes():
    code = (
        "from iter_bench.data.synthetic import *; import hashlib, sys;"
        "print(hashlib.sha256(repr(generate(CorpusSettings(test=40), 'test')).encode()).hexdigest(), 'torch' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    ).stdout.split()
    here = generate(CorpusSettings(test=40), "test")
    assert out == [hashlib.sha256(repr(here).encode()).hexdigest(), "False"]
    assert here == DEFAULT["test"][:40], "a document doesn't depend on how many are made"
    assert generate(CorpusSettings(seed=14, test=40), "test") != here


@pytest.mark.parametrize("name", PRESETS)
def test_structure(name):
    largest = PRESETS[name].omega
    ids = Counter(document.id for split in SPLITS for document in CORPORA[name, split])
    assert set(ids.values()) == {1}
    for split in SPLITS:
        documents = CORPORA[name, split]
        assert len(documents) == PRESETS[name].size(split)
        assert max(map(omega, documents)) == largest
        assert {e.type for d in documents for e in d.entities} == set(SCHEMA.entity_types)
        assert {r.type for d in documents for r in d.relations} == set(SCHEMA.relation_types)
        for document in documents:
            spans = [(e.start, e.end) for e in document.entities]
            assert len(set(spans)) == len(spans), "two entities on one span"
            assert not any(a < c < b < d for a, b in spans for c, d in spans), "entities cross"
            if largest == 1:
                assert not any(a <= c < b and (a, b) != (c, d) for a, b in spans for c, d in spans), "nested, with omega 1"
            assert all((r.head.type, r.tail.type) in ARGUMENTS[r.type] for r in document.relations)
            pairs = Counter(frozenset((r.head, r.tail)) for r in document.relations)
            assert set(pairs.values()) <= {1}, "one pair, one relation"
            shortest, longest = PRESETS[name].words
            assert shortest <= len(document.words) <= longest and (len(document.sentences) == 1) == (len(document.words) <= 36)
            assert not any(" " in word for word in document.words)
            assert document.words[0][0].isupper() and document.words[-1] == "."


def test_order_doesnt_give_the_direction_away():
    forward = Counter()
    for document in DEFAULT["train"]:
        for relation in document.relations:
            forward[relation.type, relation.head < relation.tail] += 1
    for kind in SCHEMA.relation_types:
        if kind in SCHEMA.symmetric:
            assert forward[kind, False] == 0, "a symmetric pair stands once, in reading order"
        else:
            share = forward[kind, True] / (forward[kind, True] + forward[kind, False])
            assert 0.2 < share < 0.8, kind


def test_unseen_names_and_wordings():
    for pool, other in product(POOLS, POOLS):
        assert pool == other or not POOLS[pool].words & POOLS[other].words
    words = {split: {word for d in DEFAULT[split] for word in d.words} for split in SPLITS}
    assert not words["train"] & (POOLS["dev"].words | POOLS["test"].words)
    assert not words["dev"] & POOLS["test"].words and not words["test"] & POOLS["dev"].words
    shared, own = POOLS["shared"].words, POOLS["test"].words
    named = [set(d.words[e.start : e.end]) for d in DEFAULT["test"] for e in d.entities]
    named = [name for name in named if bool(name & shared) != bool(name & own)]
    assert sum(bool(name & own) for name in named) / len(named) == pytest.approx(0.5, abs=0.05)
    for split in ("dev", "test"):
        runs = [re.split(r" ?\S*[{|]\S* ?", clause) for frame in FRAMES for clause in getattr(frame, split)]
        phrases = {run for parts in runs for run in parts if run.count(" ") >= 2}
        assert len(phrases) >= 5
        uses = {split: sum(phrase in " ".join(d.words) for phrase in phrases for d in DEFAULT[split]) for split in SPLITS}
        assert {name for name, count in uses.items() if count} == {split}


def test_a_name_has_many_types():
    types = defaultdict(Counter)
    for document in DEFAULT["train"]:
        for entity in document.entities:
            if entity.end - entity.start == 1:
                types[text(document, entity)][entity.type] += 1
    frequent = [counts for counts in types.values() if sum(counts.values()) >= 5]
    majority = sum(max(counts.values()) for counts in frequent) / sum(sum(counts.values()) for counts in frequent)
    assert len(frequent) > 40 and majority < 0.6


def test_no_wording_has_two_readings():
    """With names masked and articles dropped, no clause can be read with other types or another relation: context decides."""
    readings = {}
    listed = [
        (clause, {"h": frame.head, "t": frame.tail}, None if part == "denied" else frame)
        for frame in FRAMES
        for part in ("stated", "dev", "test", "denied", "apposed", "across")
        for clause in getattr(frame, part)
    ]
    listed += [(clause, {}, None) for group in (*clauses.SINGLE.values(), clauses.TOGETHER, clauses.LISTS) for clause in group]
    for clause, kinds, frame in listed:
        for option in product(*(token.split("|") for token in clause.split())):
            masked, slots = [], []
            for word in " ".join(option).replace("_", " ").split():
                slot = SLOT.fullmatch(word)
                if slot and slot[1] not in ("year", "month", "day", "count"):
                    slots.append(kinds.get(slot[1], slot[1]))
                    word = "ROLE" if slots[-1] == "role" else "NAME"
                masked.append(word)
            order = clause.replace("{t", "{h").find("{h") == clause.find("{h")
            reading = (slots, frame and (frame.relation, frame.head, frame.tail, order or frame.symmetric))
            key = " ".join(word for word in masked if word != "the")
            assert readings.setdefault(key, reading) == reading, key
    assert len(readings) > 900


@settings(max_examples=40, deadline=None)
@given(
    n_words=st.integers(6, 700),
    density=st.floats(0, 20),
    seed=st.integers(0, 10**6),
    largest=st.integers(1, 4),
)
def test_lengths_are_exact(n_words, density, seed, largest):
    for document in documents_of_length(n_words, 2, density, seed, largest):
        assert len(document.words) == n_words
        assert omega(document) <= largest
        assert all(document.words[end - 1] == "." for _, end in document.sentences)
        assert density > 0 or not document.entities


@pytest.mark.parametrize("density", [2, 10, 20])
def test_long_documents_have_the_density_asked_for(density):
    documents = documents_of_length(3400, 2, density, seed=1)
    entities = sum(len(document.entities) for document in documents)
    assert entities / 68 == pytest.approx(density, rel=0.05)
    sentence = {}
    for document in documents:
        for number, (start, end) in enumerate(document.sentences):
            sentence |= {(document.id, word): number for word in range(start, end)}
    gaps = Counter(abs(sentence[d.id, r.head.start] - sentence[d.id, r.tail.start]) for d in documents for r in d.relations)
    assert set(gaps) <= {0, 1}, "relations stay in a sentence or join it to the one before"
    assert density < 10 or 0.05 < gaps[1] / gaps.total() < 0.4


class Lexicon:
    """What needs no context: names of train with their usual type, pairs of types with their usual relation."""

    def __init__(self, train):
        self.names, self.pairs = defaultdict(Counter), defaultdict(Counter)
        for document in train:
            for entity in document.entities:
                self.names[text(document, entity)][entity.type] += 1
            for relation in document.relations:
                forward = relation.head < relation.tail
                types = (relation.head.type, relation.tail.type)[:: 1 if forward else -1]
                self.pairs[types][relation.type, forward] += 1
        self.longest = max(len(name.split()) for name in self.names)
        self.usual = Counter(e.type for d in train for e in d.entities).most_common(1)[0][0]

    def memory(self, document) -> list[tuple]:
        """Longest match, left to right."""
        found, start = [], 0
        while start < len(document.words):
            for end in range(min(start + self.longest, len(document.words)), start, -1):
                if counts := self.names.get(" ".join(document.words[start:end])):
                    found.append((start, end, counts.most_common(1)[0][0]))
                    break
            else:
                end = start + 1
            start = end
        return found

    def capitals(self, document) -> list[tuple]:
        """Every run of capitalised words, the sentence's first only if more follow; unknown names have the usual type."""
        found, start = [], None
        for end, word in enumerate((*document.words, ".")):
            if word[0].isupper() and start is None:
                start = end
            elif not word[0].isupper() and start is not None:
                counts = self.names.get(" ".join(document.words[start:end]))
                if start or end > 1 or counts:
                    found.append((start, end, counts.most_common(1)[0][0] if counts else self.usual))
                start = None
        return found

    def relate(self, document, entities) -> set:
        """The usual relation of the types in this order, between neighbours."""
        found = set()
        for first, second in zip(sorted(entities), sorted(entities)[1:], strict=False):
            if counts := self.pairs.get((first[2], second[2])):
                kind, forward = counts.most_common(1)[0][0]
                found.add(strict(*((first, second) if forward else (second, first)), kind))
        return found


def f1(gold: list[set], predicted: list[set]) -> float:
    hits = sum(len(a & b) for a, b in zip(gold, predicted, strict=True))
    return 2 * hits / (sum(map(len, gold)) + sum(map(len, predicted)))


def strict(head, tail, kind):
    return (*sorted((head, tail)), kind) if kind in SCHEMA.symmetric else (head, tail, kind)


@pytest.mark.parametrize("name", PRESETS)
def test_a_lexicon_fails(name):
    """Far below what a model learns; even the gold entities don't give the relations away."""
    test, lexicon = CORPORA[name, "test"], Lexicon(CORPORA[name, "train"])
    entities = [[(e.start, e.end, e.type) for e in d.entities] for d in test]
    relations = [
        {strict((r.head.start, r.head.end, r.head.type), (r.tail.start, r.tail.end, r.tail.type), r.type) for r in d.relations}
        for d in test
    ]
    scores = {}
    for system, found in (
        ("lexicon", [lexicon.memory(d) for d in test]),
        ("capitals", [lexicon.capitals(d) for d in test]),
        ("gold entities", entities),
    ):
        scores[system, "NER"] = f1([set(e) for e in entities], [set(e) for e in found])
        scores[system, "RE+"] = f1(relations, [lexicon.relate(d, e) for d, e in zip(test, found, strict=True)])
    print(name, {" ".join(key): round(100 * value, 1) for key, value in scores.items()})  # docs/synthetic-corpus.md has them
    assert scores["lexicon", "NER"] < 0.2 and scores["lexicon", "RE+"] < 0.02
    assert scores["capitals", "NER"] < 0.4 and scores["capitals", "RE+"] < 0.1
    assert scores["gold entities", "NER"] == 1 and scores["gold entities", "RE+"] < 0.5


def test_wrong_requests_say_what_is_wrong():
    with pytest.raises(SettingsError, match="no split 'tset'; it has train, dev, test"):
        generate(CorpusSettings(), "tset")
    with pytest.raises(SettingsError, match="there are synthetic, synthetic-w1"):
        load("synthetic-w5", "train")
    with pytest.raises(SettingsError, match="at least 6 words"):
        documents_of_length(3, 1, 10, 0)
    for wrong in ({"omega": 5}, {"words": (30, 20)}, {"words": (2, 20)}, {"density": 60}, {"version": "0.9"}, {"sead": 1}):
        with pytest.raises(ValidationError):
            CorpusSettings(**wrong)
    assert generate(CorpusSettings(train=0), "train") == ()
