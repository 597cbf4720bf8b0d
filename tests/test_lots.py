"""As on a GPU, documents go in lots: each is tokenised while the one before computes, and nothing comes out otherwise."""

import threading
from itertools import pairwise

import pytest
import torch

from iter_bench import batching, data, systems
from iter_bench.batching import chunks
from iter_bench.data.synthetic import SCHEMA
from iter_bench.document import Document, Schema
from iter_bench.tokenization import WindowTokenizer


@pytest.fixture
def documents():
    """Also one without windows and one without entities."""
    by_length = sorted(data.load("synthetic", "train").documents[:200], key=lambda document: len(document.words))
    bare = [Document("invisible", ("\u200b",)), Document("short", ("Rome",))]
    return by_length[:9] + bare + by_length[9:12] + by_length[-5:]


@pytest.fixture(params=sorted(systems.REGISTRY))
def system(request, tiny_encoder, documents):
    """One in float64 that decides at random, and reads long documents in several windows, so that lots have unlike counts."""
    built = systems.system_class(request.param).build(tiny_encoder, SCHEMA, documents, {}, seed=3)
    torch.manual_seed(4)
    for weights in built.module.double().parameters():
        weights.data += 0.05 * torch.randn_like(weights)
    for part in (built.ner, built.relation) if request.param == "plmarker" else (built,):
        part.windows = WindowTokenizer(built.tokenizer, 24)
    return built


@pytest.fixture
def begun(system, monkeypatch):
    """The lots that PL-Marker's stages begin, and those that ITER begins and ends, in order, each by its first document."""
    log = []
    if system.name == "iter":
        extract = system._extract

        def begins(lot, *rest):
            log.append(("begin", lot[0].id))
            end_last, extractions = extract(lot, *rest)
            return end_last, lambda: log.append(("end", lot[0].id)) or extractions()

        monkeypatch.setattr(system, "_extract", begins)
    for name in ("ner", "relation") if system.name == "plmarker" else ():
        stage = getattr(system, name)
        find = stage.find

        def noting(documents, *rest, name=name, find=find):
            log.append((name, documents[0].id))
            return find(documents, *rest)

        monkeypatch.setattr(stage, "find", noting)
    return log


def test_lots_are_tokenised_ahead_and_come_out_in_order(system, documents, begun, monkeypatch):
    windows = (system.ner if system.name == "plmarker" else system).windows
    assert len(windows.windows(documents)) > len(documents) + 5
    structure = system.prepare_structure(documents, system.reachable(documents).extractions)
    whole, imposed = system.predict(documents), system.predict(documents, structure=structure)
    assert sum(len(e.relations) for e in whole) > 10 < sum(len(e.relations) for e in imposed)

    threads = []
    prepare = "_sources" if system.name == "asp" else "_prepared"
    prepared = getattr(system, prepare)
    monkeypatch.setattr(system, prepare, lambda lot: threads.append(threading.current_thread()) or prepared(lot))
    monkeypatch.setattr(batching, "chunks", lambda documents, size, _: chunks(documents, size, torch.device("cuda")))
    monkeypatch.setattr(batching, "GPU_CHUNK", 2)
    begun.clear()
    for found, wanted in (
        (system.predict(documents, batch_size=2), whole),
        (system.predict(documents, batch_size=2, structure=structure), imposed),
    ):
        for one, other in zip(found, wanted, strict=True):
            assert one.id == other.id
            assert spans(one.entities) == spans(other.entities) and {*map(ends, one.relations)} == {*map(ends, other.relations)}
    lots = [documents[0].id, *(document.id for document in documents[2::4])]
    assert len(threads) == 2 * len(lots) and threads.count(threading.main_thread()) == 2, "the first of each call"
    if begun:  # a lot goes on only once the next was begun
        first, then = ("ner", "relation") if system.name == "plmarker" else ("begin", "end")
        order = [(first, lots[0]), *(step for a, b in pairwise(lots) for step in ((first, b), (then, a)))]
        assert begun == 2 * [*order, (then, lots[-1])]
    assert system.predict([]) == []


@pytest.mark.parametrize("name", sorted(systems.REGISTRY))
def test_lots_without_relations(name, tiny_encoder, documents, monkeypatch):
    bare = [Document(d.id, d.words, d.entities) for d in documents]
    system = systems.system_class(name).build(tiny_encoder, Schema(SCHEMA.entity_types), bare, {}, seed=3)
    reachable = system.reachable(bare).extractions
    structure = system.prepare_structure(bare, reachable)
    monkeypatch.setattr(batching, "chunks", lambda documents, size, _: chunks(documents, size, torch.device("cuda")))
    found = system.predict(bare, batch_size=2, structure=structure)
    assert [(e.id, spans(e.entities), e.relations) for e in found] == [(e.id, spans(e.entities), ()) for e in reachable]


def spans(entities):
    return {(entity.start, entity.end, entity.type) for entity in entities}


def ends(relation):
    return *spans((relation.head,)), *spans((relation.tail,)), relation.type
