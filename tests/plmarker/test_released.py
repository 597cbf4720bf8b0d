"""What the released code makes of made-up weights and made-up texts (``tests/fixtures/README.md``), ours makes too."""

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from baselines.plmarker import decoding
from baselines.plmarker.decoding import overlap
from baselines.plmarker.encoding import PATHS
from baselines.plmarker.system import PlMarkerSystem
from iter_bench.data import dygie
from iter_bench.data.context import by_sentence
from iter_bench.document import Document, Entity, Extraction, Relation, Schema
from iter_bench.scoring import score

FIXTURES = Path(__file__).parents[1] / "fixtures"
FOLDER = FIXTURES / "released_plmarker"
SCHEMA = Schema(("Company", "Person", "Place", "Ware"), ("kin", "makes", "seated_in", "works_for"), frozenset({"kin"}))
SETTINGS = {"max_span_words": 5, "ner_length": 64, "re_length": 64, "ner_pairs": 20, "re_pairs": 3}
STORED = {"rtol": 0, "atol": 1e-4}  # logits have four decimals


@pytest.fixture(scope="module")
def released() -> dict:
    return json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    """Each sentence with the rest of its text as context."""
    texts, notes = dygie.read(FOLDER / "texts.jsonl", SCHEMA)
    assert not notes
    return [document for text in texts for document in by_sentence(text, context=1000)[0]]


@pytest.fixture(scope="module", params=PATHS)
def system(request) -> PlMarkerSystem:
    built = PlMarkerSystem.build(str(FIXTURES / "tiny_bert"), SCHEMA, [], {**SETTINGS, "execution": request.param}, seed=1)
    for name, stage in (("ner", built.ner), ("re", built.relation)):
        weights = load_file(FOLDER / f"{name}.safetensors")
        stage.module.load_state_dict({key: weight.float() for key, weight in weights.items()})
    return built


def logits_of(stage, examples) -> list:
    with torch.no_grad():
        return [stage.module(stage.collate([example]), stage.config.settings.execution) for example in examples]


def place(entity, document) -> tuple[int, int]:
    """First and last word in the whole text, as the released code counts."""
    begin = len(document.context_before)
    return entity.start + begin, entity.end - 1 + begin


def test_spans(system, documents, released):
    """Every candidate's logits, in the released order of spans, and what the overlap filter leaves."""
    found = logits_of(system.ner, system.ner.unlabelled(system.ner.candidates(documents)))
    for (ours, _), theirs in zip(found, released["sentences"], strict=True):
        torch.testing.assert_close(ours, torch.tensor(theirs["spans"]), **STORED)
    for document, entities, theirs in zip(documents, system.find_entities(documents), released["sentences"], strict=True):
        assert [[*place(e, document), e.type] for e in entities] == theirs["entities"]


def test_pairs(system, documents, released):
    """Logits of each subject with each object: classes in the released order, and types."""
    entities = system.find_entities(documents)
    examples, pairs = system.relation.pairs(documents, entities)
    ours = {}
    for columns, logits in zip(pairs, logits_of(system.relation, examples), strict=True):
        for (index, *ends), *rows in zip(columns.tolist(), *logits, strict=True):
            ours[index, *(place(entities[index][end], documents[index]) for end in ends)] = rows
    theirs = [(index, *pair) for index, sentence in enumerate(released["sentences"]) for pair in sentence["pairs"]]
    assert len(theirs) == len(ours) > 200
    for index, subject, object_, *rows in theirs:
        for one, other in zip(ours[index, tuple(subject), tuple(object_)], rows, strict=True):
            torch.testing.assert_close(one, torch.tensor(other), **STORED)


def relations_of(extraction, document) -> set[tuple]:
    """Type, head and tail as the released code counts, a symmetric relation's ends in order."""
    return {
        (r.type, *(sorted if r.type in SCHEMA.symmetric else list)(place(e, document) for e in (r.head, r.tail)))
        for r in extraction.relations
    }


def released_relations(sentence) -> set[tuple]:
    return {
        (name, *(sorted if name in SCHEMA.symmetric else list)(tuple(end) for end in ends))
        for *ends, name in sentence["relations"]
    }


def test_relations(system, documents, released, monkeypatch):
    """The same relations before the overlap filter drops any; what that ranks by differs for inverse relations."""
    settings = system.config.settings.model_copy(update={"re_overlap": "keep"})
    monkeypatch.setattr(system.relation, "config", replace(system.config, settings=settings))
    untouched = 0
    found = system.find_relations(documents, system.find_entities(documents))
    for document, extraction, sentence in zip(documents, found, released["sentences"], strict=True):
        ours, theirs = relations_of(extraction, document), released_relations(sentence)
        assert theirs <= ours
        if not any(
            one.type == other.type and overlap(one.head, other.head) and overlap(one.tail, other.tail)
            for one, other in combinations(extraction.relations, 2)
        ):
            assert theirs == ours
            untouched += len(ours)
    assert untouched > 10


def test_the_overlap_filter_differs_for_one_reason(system, documents, released, monkeypatch):
    """The released code turns an inverse class round and then ranks by the score of what it has become."""
    best = decoding._best

    def slipped(pairs, config, classes):
        rows = {ends: i for i, ends in enumerate(zip(pairs.document, pairs.subject, pairs.object, strict=True))}
        for document, found in best(pairs, config, classes):
            low, high = sorted((found.head, found.tail))
            of_both = pairs.scores[rows[document, low, high]] + pairs.scores[rows[document, high, low]][classes.swap]
            yield document, replace(found, rank=float(of_both[found.kind]))

    def same() -> list[bool]:
        found = system.find_relations(documents, system.find_entities(documents))
        return [
            relations_of(extraction, document) == released_relations(sentence)
            for document, extraction, sentence in zip(documents, found, released["sentences"], strict=True)
        ]

    assert same().count(False) == 5
    monkeypatch.setattr(decoding, "_best", slipped)
    assert all(same())
    assert sum(len(released_relations(sentence)) for sentence in released["sentences"]) == 78


def test_losses(system, documents, released):
    """Of batches of eight examples in order, each with all its pairs."""
    for stage, expected in ((system.ner, released["losses"]["ner"]), (system.relation, released["losses"]["re"])):
        examples = stage.examples(documents)
        batches = [stage.collate(examples[i : i + 8]) for i in range(0, len(examples), 8)]
        with torch.no_grad():
            losses = [list(stage.module.losses(batch, system.config.settings.execution).values()) for batch in batches]
        torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected).view(len(batches), -1), rtol=1e-5, atol=1e-6)


def test_scores(documents, released):
    """The released scorers' F1 of the released output is that of convention ``pl_marker``."""
    extractions = []
    for document, sentence in zip(documents, released["sentences"], strict=True):
        begin = len(document.context_before)
        of = {(first, last): Entity(first - begin, last + 1 - begin, name) for first, last, name in sentence["entities"]}
        relations = [Relation(of[tuple(head)], of[tuple(tail)], name) for head, tail, name in sentence["relations"]]
        extractions.append(Extraction(document.id, tuple(of.values()), tuple(relations)))
    ours = score(documents, extractions, SCHEMA)["pl_marker"]
    for criterion, f1 in released["f1"].items():
        assert 0.1 < ours[criterion]["f1"] == pytest.approx(f1, abs=1e-12)
