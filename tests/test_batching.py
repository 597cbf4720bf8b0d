"""Batches of similar length; out of memory makes them smaller, never wrong; company never changes an extraction."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iter_bench import data, systems
from iter_bench.batching import OutOfMemory, ahead, chunks, delayed, in_batches, in_rows
from iter_bench.data.synthetic import SCHEMA

ENCODER = str(Path(__file__).parent / "fixtures" / "tiny_bert")


def batches_of(lengths, batch_size, tokens=None):
    batches = []
    in_batches(lengths, batch_size, batches.append, tokens=tokens)
    return batches


@given(st.lists(st.integers(1, 600)), st.integers(1, 9), st.none() | st.integers(1, 900))
def test_every_sample_is_in_one_batch_that_is_as_large_as_the_limits_allow(lengths, batch_size, tokens):
    batches = batches_of(lengths, batch_size, tokens)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    in_order = [lengths[i] for batch in batches for i in batch]
    assert in_order == sorted(lengths, reverse=True)
    for number, batch in enumerate(batches, 1):
        padded = max(lengths[i] for i in batch) * (len(batch) + 1)
        assert len(batch) <= batch_size
        assert len(batch) == 1 or tokens is None or padded - lengths[batch[0]] <= tokens
        assert len(batch) == batch_size or number == len(batches) or padded > tokens


ENDS = [  # of memory, as they are told
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),  # the same since cuDNN 9
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
]


@given(
    st.lists(st.integers(1, 60)),
    st.integers(1, 40),
    st.integers(60, 600),
    st.sampled_from(ENDS),
)
def test_a_batch_beyond_the_memory_is_halved_and_all_are_done_once(lengths, batch_size, memory, error):
    done, failures = [], 0

    def run(rows):
        nonlocal failures
        if len(rows) * lengths[rows[0]] > memory:
            failures += 1
            raise error
        done.extend(rows)

    in_batches(lengths, batch_size, run)
    assert sorted(done) == list(range(len(lengths)))
    assert failures <= batch_size.bit_length() + 1, "what was too large is remembered"


@pytest.mark.parametrize(
    ("count", "lots"), [(0, []), (3, [3]), (4, [4]), (16, [4, 8, 4]), (256, [4, 8, 16, 32, 64, 64, 64, 4])], ids=str
)
def test_a_gpu_starts_after_one_batch_is_tokenised_and_a_cpu_gets_all_documents_at_once(count, lots):
    documents = list(range(count))
    parts = chunks(documents, 4, torch.device("cuda"))
    assert [len(part) for part in parts] == lots and [i for part in parts for i in part] == documents
    assert chunks(documents, 4, torch.device("cpu")) == [documents][:count]


def test_work_ahead_keeps_its_order_and_raises_where_it_is_due():
    log = []

    def work(item):
        log.append(item)
        return 1 / item

    done = ahead(work, [1, 2, 0, 4])
    assert [next(done), next(done)] == [1, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(done)
    assert log[:3] == [1, 2, 0] and 4 not in log and list(ahead(work, [])) == []


@pytest.mark.parametrize("count", range(5))
def test_what_is_delayed_comes_once_the_next_is_made(count):
    log = []
    made = (log.append(f"make {i}") or i for i in range(count))
    for i in delayed(made):
        log.append(f"use {i}")
    steps = [step for i in range(count) for step in (f"make {i}", f"use {i - 1}")] + [f"use {count - 1}"]
    assert log == [step for step in steps if step != "use -1"]


@given(st.lists(st.integers(1, 60), min_size=1), st.integers(1, 40), st.integers(60, 130), st.randoms())
def test_a_batch_is_ended_once_the_next_has_begun_and_memory_is_shared_by_two(lengths, batch_size, memory, chance):
    held, depths, done = {}, [], []

    def begin(rows):
        need = len(rows) * lengths[rows[0]]
        if sum(held.values()) + need > memory:
            raise MemoryError
        held[rows[0]] = need
        depths.append(len(held))

        def end():
            held.pop(rows[0])
            if len(rows) > 1 and chance.random() < 0.2:
                raise MemoryError
            done.extend(rows)

        return end

    in_batches(lengths, batch_size, begin)()
    assert sorted(done) == list(range(len(lengths))) and not held
    assert max(depths) <= 2


def test_ends_come_one_batch_later():
    events = []

    def begin(rows):
        events.append(("begin", rows[0]))
        return lambda: events.append(("end", rows[0]))

    end_last = in_batches([3, 2, 1], 1, begin)
    assert events == [("begin", 0), ("begin", 1), ("end", 0), ("begin", 2), ("end", 1)]
    end_last()
    assert events[5:] == [("end", 2)]


def test_what_an_earlier_call_still_holds_is_ended_before_a_batch_is_halved():
    held, log = [], []

    def begin(rows):
        if held:
            raise MemoryError
        held.append(rows)
        log.append(len(rows))
        return lambda: log.append("end") or held.clear()

    end_first = in_batches([5], 8, begin)
    end_second = in_batches([3, 3], 8, begin, earlier=end_first)
    assert log == [1, "end", 2] and held
    end_second()
    end_first()
    assert log == [1, "end", 2, "end"], "each once"


@given(st.lists(st.integers(1, 60), min_size=1, max_size=70), st.integers(0, 40))
def test_rows_hold_sequences_side_by_side(lengths, more):
    width = max(lengths) + more
    rows, columns = in_rows(lengths, width)
    places = [(r, c) for r, start, n in zip(rows, columns, lengths, strict=True) for c in range(start, start + n)]
    assert len(set(places)) == sum(lengths) and max(c for _, c in places) < width
    assert set(rows) == set(range(max(rows) + 1))
    if max(rows):  # first fit: at most one row is half empty
        used = [sum(n for r, n in zip(rows, lengths, strict=True) if r == row) for row in range(max(rows) + 1)]
        assert sum(2 * u <= width for u in used) <= 1


def test_one_sample_beyond_the_memory_is_named_and_other_errors_pass(caplog):
    def run(rows):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB")

    with pytest.raises(OutOfMemory, match=r"document b: out of memory with this document alone, 90 long .*3 GiB"):
        in_batches([5, 90, 7], 3, run, name=lambda i: f"document {'abc'[i]}")
    assert "out of memory with 3 samples at once; going on with 1" in caplog.text

    def broken(rows):
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    with pytest.raises(torch.AcceleratorError, match="device-side assert"):
        in_batches([5, 90], 2, broken)


@pytest.fixture(scope="module", params=sorted(systems.REGISTRY))
def exact(request):
    """A system in float64 that decides at random, documents, and what it finds in each by itself.

    Of the documents some have context, and some are several windows: the encoder reads 64 sub-tokens.
    """
    documents = list(data.load("synthetic", "train").documents[:12])
    documents[3] = replace(documents[3], context_before=documents[4].words, context_after=documents[5].words)
    system = systems.system_class(request.param).build(ENCODER, SCHEMA, documents, {}, seed=5)
    torch.manual_seed(3)
    system.module.double()
    for name, weights in system.module.named_parameters():
        if weights.dim() > 1:
            weights.data += (0.3 if "encoder" not in name else 0.05) * torch.randn_like(weights)
    alone = {document.id: system.predict([document])[0] for document in documents}
    assert sum(len(e.entities) for e in alone.values()) > 12 and any(e.relations for e in alone.values())
    return system, documents, alone


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_an_extraction_depends_on_no_batch_order_or_neighbour(exact, drawn):
    system, documents, alone = exact
    order = drawn.draw(st.permutations(range(len(documents))))[: drawn.draw(st.integers(1, len(documents)))]
    found = system.predict([documents[i] for i in order], batch_size=drawn.draw(st.integers(1, 16)))
    for i, extraction in zip(order, found, strict=True):
        wanted = alone[documents[i].id]
        assert extraction == wanted
        for these, those in ((extraction.entities, wanted.entities), (extraction.relations, wanted.relations)):
            assert [x.score for x in these] == pytest.approx([x.score for x in those], abs=1e-6)


def test_out_of_memory_changes_no_prediction(exact, monkeypatch):
    """There's memory for the largest document alone, and embedding more words than it has fails."""
    system, documents, alone = exact
    # PL-Marker's budget alone would keep any batch as small as a document with all its subjects
    monkeypatch.setattr("baselines.plmarker.stage.CPU_ROWS", 10**6)
    embedded, failed = [0], []

    def measure(_, arguments):
        embedded.append(arguments[0].numel())

    def little(_, arguments):
        if arguments[0].numel() > max(embedded):
            failed.append(arguments[0].shape)
            raise torch.OutOfMemoryError("CUDA out of memory")

    words = [m for m in system.module.modules() if isinstance(m, torch.nn.Embedding) and m.num_embeddings > 100]
    for hook, found_by in (
        (measure, lambda: [system.predict([document], batch_size=1)[0] for document in documents]),
        (little, lambda: system.predict(documents, batch_size=64)),
    ):
        hooks = [module.register_forward_pre_hook(hook) for module in words]
        try:
            assert found_by() == [alone[document.id] for document in documents]
        finally:
            for one in hooks:
                one.remove()
    assert failed


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(systems.REGISTRY))
def test_in_bf16_company_changes_one_item_in_twenty_at_most(name):
    """bf16 rounds by batch shape; with weights that decide at random, decisions are as close as they ever are."""
    documents = data.load("synthetic", "train").documents[:24]
    system = systems.system_class(name).build(ENCODER, SCHEMA, documents, {}, seed=5)
    torch.manual_seed(3)
    for weight, values in system.module.named_parameters():
        if values.dim() > 1:
            values.data += (0.3 if "encoder" not in weight else 0.05) * torch.randn_like(values)
    for stage in (system, getattr(system, "ner", None), getattr(system, "relation", None)):
        if hasattr(stage, "precision"):
            stage.precision = "bf16"
    assert system.execution["dtype"] == "bfloat16"
    alone = [system.predict([document])[0] for document in documents]
    items, differing = 0, 0
    for batch_size, seed in ((4, 1), (8, 2), (24, 3)):
        order = random.Random(seed).sample(range(24), 24)
        for i, found in zip(order, system.predict([documents[i] for i in order], batch_size=batch_size), strict=True):
            for these, those in ((found.entities, alone[i].entities), (found.relations, alone[i].relations)):
                items += len({*these, *those})
                differing += len({*these} ^ {*those})
    print(f"{name}: {differing} of {items} items differ")
    assert items > 500 and differing <= items / 20
