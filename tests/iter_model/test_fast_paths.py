"""What a GPU is given is tested on the CPU: rows that windows share, lists of fixed lengths, batches in flight, no wait."""

import pytest
import torch
import transformers
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from iter_bench import compiled, data
from iter_bench.batching import OutOfMemory
from iter_bench.encoders import encoder_from_config, load_tokenizer, row_width, shares_rows, states
from iter_bench.iter_model import modeling
from iter_bench.iter_model import system as iter_system
from iter_bench.iter_model.batch import collate_inputs
from iter_bench.iter_model.modeling import Sizes
from iter_bench.iter_model.system import IterSystem
from iter_bench.iter_model.targets import slots_of
from iter_bench.throughput import cells
from iter_bench.throughput.settings import Subject

SMALL = {"vocab_size": 30522, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
FAMILIES = {
    "bert": transformers.BertConfig(**SMALL),
    "roberta": transformers.RobertaConfig(**SMALL, pad_token_id=0),
    "albert": transformers.AlbertConfig(**SMALL, embedding_size=8, pad_token_id=0),
    "t5": transformers.T5Config(vocab_size=30522, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2),
    "deberta": transformers.DebertaV2Config(
        **SMALL | {"type_vocab_size": 0},
        relative_attention=True,
        position_buckets=16,
        max_relative_positions=40,
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
    ),
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


def fixed_lists(system, monkeypatch):
    """Lists of fixed lengths as on a GPU, far too short for any batch at first."""
    monkeypatch.setattr(modeling, "LEAST", Sizes(1, 1, 1))
    monkeypatch.setattr(iter_system, "LEAST", Sizes(1, 1, 1))
    system._sizes = {}


def flat(extractions):
    return [(e.id, e.entities, e.relations, [x.score for x in (*e.entities, *e.relations)]) for e in extractions]


@pytest.mark.parametrize("name", ["bert", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_rows_are_shared_without_seeing_each_other(name, tmp_path, monkeypatch):
    """Also lists of fixed lengths, far too short at first, so that batches in flight were begun with ones that have grown."""
    system, documents = build(FAMILIES[name], tmp_path)
    alone = [system.predict([document])[0] for document in documents]
    assert sum(len(e.relations) for e in alone) > 10
    batches = as_on_a_gpu(system, monkeypatch)
    fixed_lists(system, monkeypatch)
    found = system.predict(documents, batch_size=6)
    assert len(system._sizes) < len(batches), "some batches are alike"
    assert [(e.id, e.entities, e.relations) for e in found] == [(e.id, e.entities, e.relations) for e in alone]
    for one, other in zip(flat(found), flat(alone), strict=True):
        assert one[3] == pytest.approx(other[3], abs=1e-9)
    less = [len(inputs.tokens.input_ids) < inputs.windows for inputs in batches]
    assert len(less) > 2 and all(less) == any(less) == shares_rows(system.module.encoder) == (name != "modernbert")


def test_lists_are_as_long_as_batches_alike_need(tmp_path, monkeypatch):
    """Neither another batch of the call nor an earlier call makes them longer; nor does memory that ended, for which the
    document is named that is too large for it."""
    system, documents = build(FAMILIES["bert"], tmp_path, omega=3)
    short, long = documents[:4], documents[-2:]
    alone = system.predict(short)
    fixed_lists(system, monkeypatch)
    extract, used, needed, memory = system.module.extract, [], [], 10**9

    def watched(inputs, sizes, decisions):
        if sizes.pairs > memory:
            raise torch.OutOfMemoryError("CUDA out of memory")
        used.append(sizes)
        needed.append(extract(inputs).found().needed)  # by lists of exact lengths
        return extract(inputs, sizes, decisions)

    def settled(documents, batch_size):
        system.predict(documents, batch_size=batch_size)
        used.clear(), needed.clear()
        system.predict(documents, batch_size=batch_size)
        return used.copy()

    monkeypatch.setattr(system.module, "extract", watched)
    before = settled(short, 2)
    assert all(size.pairs < 4 * need.pairs for size, need in zip(used, needed, strict=True))
    of_long = settled(long, 2)
    assert of_long[0].pairs > 2 * max(size.pairs for size in before)
    assert settled([*short, *long], 2) == of_long + before

    system._sizes = {}
    system.predict(short[:1])
    assert list(system._sizes.values()) == [Sizes(1, 1, 1).grown_to(needed[-1])], "nor does what too short a list led to"

    memory = max(size.pairs for size in before)
    with pytest.raises(OutOfMemory, match="out of memory with this document alone"):
        system.predict(long, batch_size=2)
    assert all(size.pairs <= memory for size in system._sizes.values())
    assert [system.predict([document])[0].entities for document in short] == [e.entities for e in alone]
    assert settled(short, 2) == before


@pytest.mark.parametrize("fixed", [False, True])
def test_pairs_in_parts_have_the_probabilities_of_pairs_at_once(fixed, tmp_path, monkeypatch):
    system, documents = build(FAMILIES["bert"], tmp_path)
    if fixed:
        fixed_lists(system, monkeypatch)
    documents = documents[:3]
    whole = system.predict_above(documents, 0)
    combined, combine = [], system.module.is_link.combine
    monkeypatch.setattr(modeling, "PAIRS_AT_ONCE", 100)
    monkeypatch.setattr(system.module.is_link, "combine", lambda *of: combined.append(len(of[0].inner)) or combine(*of))
    for one, other in zip(flat(system.predict_above(documents, 0)), flat(whole), strict=True):
        assert one[:3] == other[:3] and one[3] == pytest.approx(other[3], abs=1e-12)
    assert len(combined) > 10 and max(combined) == 100


def test_the_harness_sees_whether_windows_that_share_rows_see_each_other(tmp_path, monkeypatch):
    system, documents = build(FAMILIES["bert"], tmp_path)
    as_on_a_gpu(system, monkeypatch)
    system._sizes = {}
    ready = cells.prepare(Subject(system="iter"), system, documents)
    assert cells.check(ready, documents, 7) == []
    system.module.states = lambda encoder, ids, segment, position, **padded: states(
        encoder, ids, (segment > 0).long(), position, **padded
    )
    assert "states are up to" in cells.check(ready, documents, 7)[0]


class Largest(TorchDispatchMode):
    """The most rows of ``width`` numbers that a tensor had."""

    def __init__(self, width):
        super().__init__()
        self.width, self.rows = width, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.dim() == 2 and out.shape[1] == self.width:
            self.rows = max(self.rows, len(out))
        return out


@pytest.mark.parametrize("width", [None, 64])
@pytest.mark.parametrize("name", ["bert", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS[:3])])
def test_nothing_waits_for_the_device_and_pairs_take_bounded_memory(name, width, tmp_path, monkeypatch):
    """With tensors that have shapes only, every operation that needs a number of the device raises."""
    system, documents = build(FAMILIES[name], tmp_path, no_span="zero", omega=3, d_ff=20)
    monkeypatch.setattr(modeling, "PAIRS_AT_ONCE", 1024)
    windows = system.windows.windows(documents)
    slots = [slots_of(window, system.config) for window in windows]
    inputs = collate_inputs([window.input_ids for window in windows], slots, system._pad, width)
    with FakeTensorMode(allow_non_fake_inputs=True):
        with Largest(width=40) as largest:
            pending = system.module.extract(inputs, Sizes(8, 8, 2**14))
        with pytest.raises(DynamicOutputShapeException):
            system.module.extract(inputs)
    assert len(pending._packed()) > 3 * 2**14
    assert largest.rows == max(1024, 3 * len(inputs.window)) < 2**12, "of a part's pairs, or of spans"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "t5", "deberta"])
def test_a_compiled_encoder_takes_effect_with_few_graphs_and_gives_the_same(name, tmp_path, caplog, monkeypatch):
    system, documents = build(FAMILIES[name], tmp_path)
    plain = system.predict(documents, batch_size=4)
    batches = as_on_a_gpu(system, monkeypatch)
    system.compile(documents[:5])
    found = system.predict(documents, batch_size=4)
    assert [(e.id, e.entities, e.relations) for e in found] == [(e.id, e.entities, e.relations) for e in plain]
    code = system.module.states
    assert system.execution["compile"] == f"inductor, graphs: {code.graphs}" and code.problem is None
    widths = {inputs.tokens.input_ids.shape[1] for inputs in batches}
    assert len(batches) > 3 and (widths <= {64, 128} or (name == "deberta" and len(widths) > 2))
    assert 0 < code.graphs <= 2 * len(widths), "a batch of a single row has a graph of its own"
    assert "iter_bench" not in {record.name for record in caplog.records}


@pytest.mark.parametrize("name", ["bert", "t5", "deberta"])
def test_one_graph_is_of_the_first_width_and_one_of_all_others_and_neither_asks_the_host(name, monkeypatch):
    torch._dynamo.reset()  # which remembers what sizes earlier tests had
    graphs = []
    monkeypatch.setattr(compiled, "lookup_backend", lambda name: lambda graph, _: graphs.append(graph) or graph.forward)
    torch.manual_seed(4)
    encoder = encoder_from_config(FAMILIES[name]).eval()
    code = compiled.Compiled(states, "the encoder")
    for width in (64, 128, 192, 30, 300):
        ids, segment = torch.randint(1000, 2000, (3, width)), torch.ones(3, width, dtype=torch.long)
        segment[0, -9:] = 0
        with torch.inference_mode():
            found, expected = (run(encoder, ids, segment, None, padded=True)[segment > 0] for run in (code, states))
        assert torch.allclose(found, expected, atol=1e-6), width
    assert (code.problem, code.graphs, len(graphs)) == (None, 2, 2)
    called = {str(node.target) for graph in graphs for node in graph.graph.nodes}
    assert not called & {"item", "tolist", "cpu", "numpy"}, "nothing waits"
    assert name == "t5" or not any("method log " in target for target in called), "DeBERTa's buckets are looked up"


@pytest.mark.slow
def test_a_compiler_that_fails_or_errs_is_told_and_not_used(tmp_path, caplog, monkeypatch):
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


def test_a_lack_of_memory_says_nothing_against_compiled_code(monkeypatch):
    def full(graph, inputs):
        def run(*args):
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

        return run

    monkeypatch.setattr(compiled, "lookup_backend", lambda name: full)
    code = compiled.Compiled(torch.square, "a square")
    with pytest.raises(RuntimeError, match="ALLOC_FAILED"):
        code(torch.ones(3))
    assert code.problem is None
