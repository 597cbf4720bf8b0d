"""Times of the pieces that a prediction is made of, for finding what got slower: ``pytest tests/benchmarks``, one process.

Weights are random and the encoder tiny; sizes of heads and decoder are MiniLM's. pytest-benchmark knows nothing of GPUs, so
each timed function waits for the device itself. ``--benchmark-save`` and ``--benchmark-compare`` hold two commits against
each other. Under several processes each case runs once, untimed, as a test.
"""

import pytest
import torch

from baselines.asp.decoder import Cache, Decoder, Shape
from baselines.plmarker.system import PlMarkerSystem
from iter_bench import data
from iter_bench.data.synthetic import SCHEMA, documents_of_length
from iter_bench.devices import default_device, synchronize
from iter_bench.document import Extraction
from iter_bench.encoders import load_tokenizer
from iter_bench.iter_model import decoding
from iter_bench.iter_model.heads import GatedFeedForward
from iter_bench.iter_model.system import IterSystem
from iter_bench.scoring import score
from iter_bench.tokenization import WindowTokenizer, forget_words

pytestmark = pytest.mark.benchmark(max_time=0.1, min_rounds=3, disable_gc=True)
DEVICE = default_device()
WIDTH, INNER, DOCUMENTS, WORDS, PER_DOCUMENT = 384, 150, 16, 50, 8


@pytest.fixture
def timed(benchmark):
    """``timed(work)`` → what ``work`` gives; its time ends when the device has done it."""

    def run(work):
        def whole():
            result = work()
            synchronize(DEVICE)
            return result

        with torch.inference_mode():
            synchronize(DEVICE)
            return benchmark(whole)

    return run


@pytest.fixture(scope="module")
def documents():
    return documents_of_length(WORDS, DOCUMENTS, 15, 1, omega=1)


@pytest.fixture(scope="module")
def gold(documents):
    return [Extraction(d.id, d.entities, d.relations) for d in documents]


def drawn(*size, dtype=torch.float32):
    return torch.randn(*size, generator=torch.Generator().manual_seed(1)).to(DEVICE, dtype)


def entity_windows():
    """[E] the document that each entity is of, and that all are real."""
    window = torch.arange(DOCUMENTS, device=DEVICE).repeat_interleave(PER_DOCUMENT)
    return window, torch.ones_like(window, dtype=torch.bool)


@pytest.mark.parametrize("vectors", [1, 2])
def test_head(timed, vectors):
    """``is_left`` of every sub-token, ``is_link`` of every pair of entities."""
    torch.manual_seed(1)
    head = GatedFeedForward(vectors, WIDTH, INNER, 6, activation="gelu", gate=True, dropout=0.0).to(DEVICE)
    states = drawn(DOCUMENTS * WORDS, WIDTH)
    if vectors == 1:
        logits = timed(lambda: head.combine(*head.project(states)))
        plain = head(states)
    else:
        window, real = entity_windows()
        first, second, _ = decoding.pairs_within(window, real, DOCUMENTS, None)
        tails, heads = states[: len(window)], states[-len(window) :]

        def pairs():
            of_tail, of_head = head.project(tails, heads)
            return head.combine(of_tail.take(first), of_head.take(second))

        logits, plain = timed(pairs), head(tails[first], heads[second])
    torch.testing.assert_close(logits, plain.detach(), rtol=1e-3, atol=1e-4)


def test_pairing(timed):
    window, real = entity_windows()
    head, tail, total = timed(lambda: decoding.pairs_within(window, real, DOCUMENTS, DOCUMENTS * PER_DOCUMENT**2))
    assert int(total) == len(set(zip(head.tolist(), tail.tolist(), strict=True))) == DOCUMENTS * PER_DOCUMENT**2
    assert (window[head] == window[tail]).all()


@pytest.mark.parametrize("omega", [1, 4])
def test_span_decisions(timed, omega):
    window = torch.arange(DOCUMENTS, device=DEVICE).repeat_interleave(WORDS)
    is_left = drawn(len(window)) > 1
    logits = drawn(len(window) * omega, 5)

    def decide():
        ordinal, exists = decoding.closest_lefts(is_left, window, omega)
        return ordinal, *decoding.decide_spans(logits, exists.flatten(), "argmax", True)

    _, chosen, probability = timed(decide)
    assert (chosen.sum(1) <= 1).all() and 0 < int(chosen.sum()) < len(window) * omega and probability.shape == chosen.shape


def test_tokenising(timed, documents):
    windows = WindowTokenizer(load_tokenizer("minilm"), 512)

    def anew():
        forget_words()
        return windows.windows(documents)

    assert [window.document for window in timed(anew)] == list(range(DOCUMENTS))


@pytest.mark.parametrize("system", [IterSystem, PlMarkerSystem])
def test_all_but_the_encoder(timed, documents, gold, tiny_encoder, system):
    """Documents to extractions over an encoder that costs next to nothing; decoding is most of what is left."""
    built = system.build(tiny_encoder, SCHEMA, documents, {}, seed=1)
    reachable = built.reachable(documents).extractions
    given = built.prepare_structure(documents, reachable)
    found = timed(lambda: built.predict(documents, batch_size=8, structure=given))
    assert [set(e.relations) for e in found] == [set(e.relations) for e in reachable]


@pytest.fixture(scope="module")
def decoder():
    """Of MiniLM's size."""
    sizes = {"layers": 6, "width": WIDTH, "heads": 12, "head_width": 32, "inner": 4 * WIDTH}
    torch.manual_seed(1)
    return Decoder(Shape(**sizes, activation="gelu", gated=False, eps=1e-12, t5=False, positions=512)).to(DEVICE).eval()


@pytest.mark.parametrize("ahead", [1, 8])
def test_asp_step(timed, decoder, ahead):
    """One pass of the decoder over 8 rows, 64 outputs in: stepwise, and speculative."""
    with torch.inference_mode():
        read = [drawn(8, 64, WIDTH)] * decoder.shape.layers
        memory = decoder.memory(read, torch.ones(8, 64, dtype=torch.long, device=DEVICE))
        cache = Cache(decoder.shape, 8, 80, memory.layers[0][0])
        cache.use(64 + ahead)
        slots = torch.arange(64, 64 + ahead, device=DEVICE).repeat(8, 1)
        embedded = drawn(8, ahead, WIDTH)
    states = timed(lambda: decoder(embedded, slots, memory, slots, cache))
    assert states.shape == (8, ahead, WIDTH) and states.isfinite().all()


@pytest.mark.parametrize("execution", ["packed", "shared_text"])
def test_packing(timed, documents, tiny_encoder, execution):
    stage = PlMarkerSystem.build(tiny_encoder, SCHEMA, documents, {"execution": execution}, seed=1).ner
    examples = stage.unlabelled(stage.candidates(documents))
    batch = timed(lambda: stage.collate(examples))
    pairs, text = sum(len(e.first) for e in examples), sum(len(e.input_ids) for e in examples)
    assert len(batch.input_ids) == text + 2 * pairs and (batch.packs is None) == (execution == "shared_text")


def test_scoring(timed):
    corpus = data.load("synthetic", "test")
    extractions = [Extraction(d.id, d.entities, d.relations) for d in corpus.documents]
    scores = timed(lambda: score(corpus.documents, extractions, corpus.schema))
    assert scores["strict"]["re_plus"]["f1"] == 1
