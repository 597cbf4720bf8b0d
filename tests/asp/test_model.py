"""Loss and decoding against the plain second implementation, in float64."""

import numpy as np
import pytest
import torch
from plain_asp import decode, losses
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from baselines.asp import generation
from baselines.asp.actions import COPY, OPEN, replay, script_of
from baselines.asp.configuration import AspSettings
from baselines.asp.decisions import Greedy
from baselines.asp.generation import generate, width_of
from baselines.asp.source import source_of
from iter_bench.devices import autocast
from iter_bench.document import Document

SYSTEMS = [("bert", {}), ("bert", {"bracket_positions": "subtokens"}), ("t5", {})]


def sources_of(system, documents):
    return [source_of(window, system.config) for window in system.windows.windows(documents)]


def with_context(documents):
    """Every second document with words around it."""
    return [
        Document(d.id, d.words, d.entities, d.relations, (), ("Yesterday", ","), ("He", "left")) if i % 2 else d
        for i, d in enumerate(documents)
    ]


@pytest.mark.parametrize("competing", ["released", "valid"])
@pytest.mark.parametrize("encoder", ["bert", "t5"])
def test_loss(tiny, encoder, competing):
    system, documents = tiny(encoder=encoder, competing=competing)
    documents = with_context(documents)
    batch = system.collate(examples := system.examples(documents))
    found = system.losses(batch, examples)
    actions = links = 0.0
    for document, source in zip(documents, sources_of(system, documents), strict=True):
        script, _, _ = script_of(document, source, system.config)
        right = {}
        for earlier, later, label in script.links.tolist():
            right.setdefault((earlier, later), set()).add(label)
        parts = losses(system.module, source, script.actions.tolist(), script.types.tolist(), right, competing)
        actions, links = actions + parts[0], links + parts[1]
    assert found["actions"].item() == pytest.approx(actions, rel=1e-9)
    assert found["links"].item() == pytest.approx(links, rel=1e-9)
    assert links > 0
    weight = system.module.open_head.outer.bias  # minimised is the mean
    (gradient,) = torch.autograd.grad(found["actions"], weight)
    (of_mean,) = torch.autograd.grad(system.module(batch)["actions"], weight)
    assert torch.equal(gradient, of_mean) and gradient.abs().sum() > 0


@pytest.mark.parametrize("device_like, tokens", [(True, 512), (False, 60), pytest.param(False, 512, marks=pytest.mark.slow)])
@pytest.mark.parametrize("encoder, settings", SYSTEMS)
def test_decoding(tiny, encoder, settings, device_like, tokens, monkeypatch):
    """Stepwise and speculative decoding of a batch give what the plain loops give for each window alone.

    On a GPU nothing is read on the way and everything is computed for every row; that way of working is tried here too.
    """
    if device_like:
        monkeypatch.setattr(generation, "waits_for_nothing", lambda device: False)
    monkeypatch.setattr(generation, "token_budget", lambda device: tokens)
    kinds, plain = set(), []
    for way in ({"decoding": "stepwise"}, {"decoding": "speculative", "lookahead": 5}, {}):
        system, documents = tiny(encoder=encoder, count=8, **settings, **way)
        documents = with_context(documents)
        sources = sources_of(system, documents)
        plain = plain or [decode(system.module, source) for source in sources]
        batches = [sources] if way else [sources[:1], sources[1:3], sources[3:]]  # by default it looks further for few rows
        outputs = [output for batch in batches for output in generate(system.module, batch, system._pad, Greedy())]
        for source, output, expected in zip(sources, outputs, plain, strict=True):
            assert output.actions.tolist() == expected[0]
            assert [kind for kind, _ in output.types] == expected[1]
            assert [link[:3] for link in output.links] == sorted(expected[2])
            # Theorem 1: all of the input is written again
            assert (output.actions == COPY).sum() == len(source.word) + 1
            kinds.update(label for _, _, label in expected[2])
            kinds.add(("brackets", bool(expected[1])))
    assert len(kinds) > 3, "the random heads must decide something"


def test_how_far_a_pass_looks(tiny):
    """Further where a pass is bound by reading weights: for few rows, and on a GPU; as far as is said where it's said."""
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    free, said = AspSettings(), AspSettings(lookahead=4)
    assert [width_of(free, rows, cpu) for rows in (1, 2, 3, 64)] == [8, 8, 6, 6] and width_of(free, 64, gpu) == 8
    assert [width_of(said, rows, device) for rows in (1, 64) for device in (cpu, gpu)] == [4] * 4
    assert width_of(AspSettings(decoding="stepwise"), 1, gpu) == 1
    passes = {}
    for chosen in (None, 4):
        system, documents = tiny(count=3, lookahead=chosen)
        calls = []
        system.module.decoder.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        structure = system.prepare_structure(documents, system.reachable(documents).extractions)
        system.predict(documents, batch_size=1, structure=structure)
        passes[chosen] = len(calls)
    assert passes[None] < 0.9 * passes[4]


@pytest.mark.parametrize("encoder", ["bert", "t5"])
def test_on_a_gpu_the_host_waits_every_eight_passes_and_twice_at_the_end(tiny, encoder, monkeypatch):
    monkeypatch.setattr(generation, "waits_for_nothing", lambda device: False)
    system, documents = tiny(encoder=encoder, count=5)
    sources = sources_of(system, documents)
    passes, transfers, cpu = [], [], torch.Tensor.cpu
    hook = system.module.decoder.register_forward_hook(lambda *_: passes.append(1))
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "cpu", lambda tensor: transfers.append(1) or cpu(tensor))
        outputs = generate(system.module, sources, system._pad, Greedy())
    hook.remove()
    assert len(passes) % 8 == 0 and len(transfers) == len(passes) // 8 + 2
    assert sum(len(output.links) for output in outputs) > 5
    # with tensors that have shapes only, whatever needs a number of the device raises
    ends, pairs = np.arange(4), np.stack(np.triu_indices(4, k=1))
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        run = generation._Run(system.module, sources, system._pad, Greedy())
        run.encode()
        for _ in range(12):
            run.step()
        found = generation.decided(system.module, run.states.flatten(0, 1), ends, ends + 1, pairs, Greedy())
        with pytest.raises(DataDependentOutputException):
            run.drop_finished()
    assert found.shape == (2, 4 + 6)


def test_the_encoder_reads_only_rows_of_similar_length_together(tiny, monkeypatch):
    system, documents = tiny(count=8)
    sources = sorted(sources_of(system, documents), key=lambda source: -len(source.input_ids))
    monkeypatch.setattr(generation, "token_budget", lambda device: 60)
    shapes = []
    system.module.encoder.register_forward_pre_hook(
        lambda module, args, given: shapes.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    generate(system.module, sources, system._pad, Greedy())
    lengths = [len(source.input_ids) for source in sources]
    expected = []
    while lengths:
        rows = max(1, 60 // lengths[0])
        expected.append((min(rows, len(lengths)), lengths[0]))
        lengths = lengths[rows:]
    assert shapes == expected and len(shapes) > 2


def test_pairs_in_parts_have_the_logits_of_pairs_at_once(tiny, monkeypatch):
    model, combined = tiny(count=2)[0].module, []
    states = torch.randn(9, model.link_head.width, dtype=torch.float64)
    first, second = torch.triu_indices(9, 9, 1)
    logits, combine = model.link_logits(states, first, second), model.link_head.logits
    monkeypatch.setattr("baselines.asp.modeling.PAIRS_AT_ONCE", 10)
    monkeypatch.setattr(model.link_head, "logits", lambda inner: combined.append(len(inner)) or combine(inner))
    assert torch.allclose(model.link_logits(states, first, second), logits) and combined == [10, 10, 10, 6]
    assert model.link_logits(states, first[:0], second[:0]).shape == (0, logits.shape[1])


def test_teacher_forcing_gives_the_logits_of_decoding(tiny):
    """What is decided step by step, given as gold, has the same states; so training sees what decoding sees."""
    system, documents = tiny(decoding="stepwise")
    sources = sources_of(system, documents)
    seen = []

    class Spy:
        def actions(self, opening, closing, rows, pointer):
            seen.append((rows.clone(), opening.clone(), closing.clone()))
            return Greedy().actions(opening, closing, rows, pointer)

        def types(self, logits):
            return logits.argmax(1)

        links = types

    from baselines.asp.batch import collate, example_of

    outputs = generate(system.module, sources, system._pad, Spy())
    forced = 0
    for row, (source, output, document) in enumerate(zip(sources, outputs, documents, strict=True)):
        said = replay(document.id, output.actions, output.types, output.links, source, system.config)
        if len(output.types) != (output.actions == OPEN).sum():
            continue  # a last <m> without </m> can't be gold
        gold = Document(document.id, document.words, said.entities, said.relations)
        script, _, lost = script_of(gold, source, system.config)
        assert not lost and script.actions.tolist() == output.actions.tolist()
        batch = collate([example_of(script, source, system.config)], 0)
        with torch.no_grad():
            states = system.module.states(batch).flatten(0, 1)
            opening, closing = system.module.action_logits(states, states, batch)
        steps = [(o[rows == row], c[rows == row]) for rows, o, c in seen]
        steps = [(o.item(), c.item()) for o, c in steps if len(o)][: len(output.actions)]
        closing = dict(zip(batch.close_rows.tolist(), closing.logsumexp(1).tolist(), strict=True))
        for step, (o, c) in enumerate(steps):
            assert o in (-torch.inf, pytest.approx(opening[step].item(), abs=1e-9))
            assert c == -torch.inf or c == pytest.approx(closing[step], abs=1e-9)
            forced += (o > -torch.inf) + (c > -torch.inf)
    assert forced > 50


@pytest.mark.parametrize("encoder", ["bert", "t5"])
def test_mixed_precision(tiny, encoder):
    system, documents = tiny(encoder=encoder, count=6)
    system.module.float()
    batch = system.collate(examples := system.examples(documents))
    exact = {name: part.item() for name, part in system.losses(batch, examples).items()}
    system.precision = "bf16"
    with autocast(system.device, "bf16"):
        parts = system.losses(batch, examples)
    sum(parts.values()).backward()
    assert {name: part.item() for name, part in parts.items()} == pytest.approx(exact, rel=0.03)
    found = system.predict(documents, batch_size=4)
    assert [e.id for e in found] == [d.id for d in documents]


def test_step_limit(tiny):
    """``max_steps`` cuts outputs where it says, and counts the gold that this costs."""
    for way in ("stepwise", "speculative"):
        system, documents = tiny(max_steps=9, decoding=way)
        for source, output in zip(
            sources := sources_of(system, documents), generate(system.module, sources, system._pad, Greedy()), strict=True
        ):
            expected = decode(system.module, source, max_steps=9)
            assert (output.actions.tolist(), [kind for kind, _ in output.types]) == expected[:2]
    reach = system.reachable(documents)
    assert reach.lost["entities: their </m> comes after max_steps=9 actions"] > 0
    assert sum(len(e.entities) for e in reach.extractions) + sum(
        n for reason, n in reach.lost.items() if reason.startswith("entities")
    ) == sum(len(d.entities) for d in documents)
