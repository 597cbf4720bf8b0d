"""What a GPU is given is tested on the CPU: rows that windows share, lists of fixed lengths, batches in flight, no wait."""

import threading

import pytest
import torch
import transformers
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode

from iter_bench import data
from iter_bench.batching import chunks
from iter_bench.encoders import load_tokenizer, row_width, shares_rows, states
from iter_bench.iter_model import system as iter_system
from iter_bench.iter_model.batch import collate_inputs
from iter_bench.iter_model.modeling import Sizes
from iter_bench.iter_model.system import IterSystem
from iter_bench.iter_model.targets import slots_of
from iter_bench.throughput import cells
from iter_bench.throughput.settings import Subject
from iter_bench.tokenization import WindowTokenizer

SMALL = {"vocab_size": 30522, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
FAMILIES = {
    "bert": transformers.BertConfig(**SMALL),
    "roberta": transformers.RobertaConfig(**SMALL, pad_token_id=0),
    "albert": transformers.AlbertConfig(**SMALL, embedding_size=8, pad_token_id=0),
    "t5": transformers.T5Config(vocab_size=30522, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2),
    "modernbert": transformers.ModernBertConfig(**SMALL, pad_token_id=0, local_attention=8),
}

OTHERS = ("t5", "roberta", "albert", "modernbert")


def build(config, folder, **settings):
    """A system in float64 over that encoder with random weights that decide at random."""
    torch.manual_seed(4)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    load_tokenizer("minilm").save_pretrained(folder)
    corpus = data.load("synthetic", "train")
    by_length = sorted(corpus.documents[:200], key=lambda document: len(document.words))
    documents = by_length[:12] + by_length[-5:]
    system = IterSystem.build(str(folder), corpus.schema, documents, settings, seed=3)
    for name, weights in system.module.double().named_parameters():
        if weights.dim() > 1:
            weights.data += (0.3 if "encoder" not in name else 0.1) * torch.randn_like(weights)
    return system, documents


def as_on_a_gpu(system, monkeypatch):
    """Windows share rows where the encoder can have it so, and batches are larger; gives the list that batches go to."""
    batches = []

    def shared(ids, slots, pad, width):
        width = row_width(system.module.encoder, max(map(len, ids))) if shares_rows(system.module.encoder) else None
        batches.append(collate_inputs(ids, slots, pad, width))
        return batches[-1]

    monkeypatch.setattr(iter_system, "collate_inputs", shared)
    monkeypatch.setattr(iter_system, "token_budget", lambda device: 10_000)
    return batches


def flat(extractions):
    return [(e.id, e.entities, e.relations, [x.score for x in (*e.entities, *e.relations)]) for e in extractions]


@pytest.mark.parametrize("name", ["bert", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_rows_are_shared_without_seeing_each_other(name, tmp_path, monkeypatch):
    """Also lists of fixed lengths, far too short at first, so that batches in flight were begun with ones that have grown."""
    system, documents = build(FAMILIES[name], tmp_path)
    alone = [system.predict([document])[0] for document in documents]
    assert sum(len(e.relations) for e in alone) > 10
    batches = as_on_a_gpu(system, monkeypatch)
    system._sizes = Sizes(1, 1, 1)
    found = system.predict(documents, batch_size=7)
    assert [(e.id, e.entities, e.relations) for e in found] == [(e.id, e.entities, e.relations) for e in alone]
    for one, other in zip(flat(found), flat(alone), strict=True):
        assert one[3] == pytest.approx(other[3], abs=1e-9)
    less = [len(inputs.tokens.input_ids) < inputs.windows for inputs in batches]
    assert len(less) > 2 and all(less) == any(less) == shares_rows(system.module.encoder) == (name != "modernbert")


def test_the_harness_sees_whether_windows_that_share_rows_see_each_other(tmp_path, monkeypatch):
    system, documents = build(FAMILIES["bert"], tmp_path)
    as_on_a_gpu(system, monkeypatch)
    system._sizes = Sizes(1, 1, 1)
    ready = cells.prepare(Subject(system="iter"), system, documents)
    assert cells.check(ready, documents, 7) == []
    system.module.states = lambda encoder, ids, segment, position, **padded: states(
        encoder, ids, (segment > 0).long(), position, **padded
    )
    assert "states are up to" in cells.check(ready, documents, 7)[0]


def test_documents_are_tokenised_ahead_in_parts_and_come_out_in_order(tmp_path, monkeypatch):
    """As on a GPU, with windows of which a document has several, so that imposed decisions must find their part."""
    system, documents = build(FAMILIES["bert"], tmp_path)
    system.windows = WindowTokenizer(system.tokenizer, 24)
    gold = system.reachable(documents).extractions
    structure = system.prepare_structure(documents, gold)
    assert len(structure) > len(documents) + 5
    whole, imposed = system.predict(documents), system.predict(documents, structure=structure)
    assert sum(len(e.relations) for e in whole) > 10 < sum(len(e.relations) for e in imposed)

    threads = []
    prepared = system._prepared
    monkeypatch.setattr(system, "_prepared", lambda part: threads.append(threading.current_thread()) or prepared(part))
    monkeypatch.setattr(iter_system, "chunks", lambda documents, size, _: chunks(documents, size, torch.device("cuda")))
    monkeypatch.setattr("iter_bench.batching.GPU_CHUNK", 2)
    for found, wanted in (
        (system.predict(documents, batch_size=2), whole),
        (system.predict(documents, batch_size=2, structure=structure), imposed),
    ):
        for one, other in zip(flat(found), flat(wanted), strict=True):
            assert one[0] == other[0] and set(one[1]) == set(other[1]) and set(one[2]) == set(other[2])
    parts = -(-len(documents) // 4)
    assert len(threads) == 2 * parts and threads.count(threading.main_thread()) == 2, "the first of each call"
    assert system.predict([]) == []


@pytest.mark.parametrize("width", [None, 64])
@pytest.mark.parametrize("name", ["bert", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS[:3])])
def test_nothing_waits_for_the_device(name, width, tmp_path):
    """With tensors that have shapes only, every operation that needs a number of the device raises."""
    system, documents = build(FAMILIES[name], tmp_path, no_span="zero", omega=3)
    windows = system.windows.windows(documents)
    slots = [slots_of(window, system.config) for window in windows]
    inputs = collate_inputs([window.input_ids for window in windows], slots, system._pad, width)
    with FakeTensorMode(allow_non_fake_inputs=True):
        pending = system.module.extract(inputs, Sizes(8, 8, 64))
        with pytest.raises(DynamicOutputShapeException):
            system.module.extract(inputs)
    assert pending._host.shape[0] > 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "t5"])
def test_a_compiled_encoder_takes_effect_with_few_graphs_and_gives_the_same(name, tmp_path, caplog, monkeypatch):
    system, documents = build(FAMILIES[name], tmp_path)
    plain = system.predict(documents, batch_size=4)
    batches = as_on_a_gpu(system, monkeypatch)
    system.compile(documents[:5])
    found = system.predict(documents, batch_size=4)
    assert [(e.id, e.entities, e.relations) for e in found] == [(e.id, e.entities, e.relations) for e in plain]
    compiled = system.module.states
    assert system.execution["compile"] == f"inductor, graphs: {compiled.graphs}" and compiled.problem is None
    widths = {inputs.tokens.input_ids.shape[1] for inputs in batches}
    assert len(batches) > 3 and widths <= {64, 128}
    assert 0 < compiled.graphs <= 2 * len(widths), "a batch of a single row has a graph of its own"
    assert "iter_bench" not in {record.name for record in caplog.records}


@pytest.mark.slow
def test_a_compiler_that_fails_or_errs_is_told_and_not_used(tmp_path, caplog, monkeypatch):
    from iter_bench import compiled

    def fails(graph, inputs):
        raise ValueError("no compiler here")

    def errs(graph, inputs):
        return lambda *args: tuple(1.5 * out for out in graph(*args))

    system, documents = build(FAMILIES["bert"], tmp_path)
    plain = system.predict(documents)
    for backend, reason in ((fails, "no compiler here"), (errs, "its states are 5.0e-01 apart")):
        monkeypatch.setattr(compiled, "lookup_backend", lambda name, backend=backend: backend)
        system.module.states = states
        system.compile(documents[:3])
        assert reason in system.execution["compile"] and system.execution["compile"].startswith("none: ")
        assert reason in caplog.text and system.predict(documents) == plain
