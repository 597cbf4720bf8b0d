"""Both execution paths against each other and against a plain second implementation; who may attend to whom; gradients."""

from dataclasses import replace

import pytest
import torch
from plain_plmarker import pair_logits, span_logits

from baselines.plmarker.encoding import PATHS, packed_mask
from baselines.plmarker.modeling import marker_words
from baselines.plmarker.system import PlMarkerSystem
from iter_bench import data

FAMILIES = ("bert", "roberta", "albert")
SMALL_PACKS = {"ner_pairs": 20, "re_pairs": 3}


@pytest.fixture(scope="module", params=FAMILIES)
def both(tiny, request):
    """The same weights with either execution, and documents."""
    systems = {}
    for execution in PATHS:
        systems[execution], documents = tiny(request.param, execution=execution, **SMALL_PACKS)
    return systems, documents


@pytest.mark.parametrize("stage", ["ner", "relation"])
def test_same_logits_and_gradients(both, stage):
    """Batches of texts of several lengths, some of several packs."""
    systems, documents = both
    logits, gradients = {}, {}
    for execution, system in systems.items():
        own = getattr(system, stage)
        examples = own.examples(documents)
        examples = [*examples[:2], *examples[-3:]]
        batch = own.collate(examples)
        assert execution == "shared_text" or len(batch.packs.example) > batch.examples
        logits[execution] = [part for part in own.module(batch, execution) if part is not None]
        own.module.zero_grad()
        sum(own.losses(batch, examples).values()).backward()
        gradients[execution] = {name: p.grad for name, p in own.module.named_parameters()}
    for one, other in zip(*logits.values(), strict=True):
        assert one.std() > 0.1
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    for name, gradient in gradients["packed"].items():
        torch.testing.assert_close(gradients["shared_text"][name], gradient, rtol=1e-7, atol=1e-9, msg=name)
        assert gradient.abs().sum() > 0 or ".key.bias" in name, name


def test_same_extractions(both):
    systems, documents = both
    found = {
        (execution, size): system.predict(documents, batch_size=size)
        for execution, system in systems.items()
        for size in (1, 5)
    }
    first, *others = found.values()
    assert sum(len(e.entities) for e in first) > 20 and sum(len(e.relations) for e in first) > 20
    assert all(other == first for other in others)


@pytest.mark.parametrize("stage", ["ner", "relation"])
def test_mask(both, stage):
    """A changed marker changes no state of the text and none of another pair; a changed text changes all markers."""
    systems, documents = both
    for execution, system in systems.items():
        own = getattr(system, stage)
        example = own.examples(documents)[0]
        batch = own.collate([example])
        text, markers = PATHS[execution](own.module.encoder, batch)
        pairs = len(markers) // 2
        for row in (1, pairs + 1):  # the start and the end marker of pair 1
            ids, positions = batch.input_ids.clone(), batch.positions.clone()
            ids[batch.text_rows + row], positions[batch.text_rows + row] = 7, 5
            text_now, markers_now = PATHS[execution](own.module.encoder, replace(batch, input_ids=ids, positions=positions))
            same = (markers_now - markers).abs().amax(1) < 1e-12
            torch.testing.assert_close(text_now, text, rtol=0, atol=1e-12)
            assert (~same).nonzero().flatten().tolist() == [1, pairs + 1]
        ids = batch.input_ids.clone()
        ids[2] += 1
        text_now, markers_now = PATHS[execution](own.module.encoder, replace(batch, input_ids=ids))
        assert ((markers_now - markers).abs().amax(1) > 1e-9).all() and ((text_now - text).abs().amax(1) > 1e-9).all()


def test_packed_mask(both):
    """Counted: in a pack of text length N with P pairs, N texts see N, and 2P markers see N + 2 each."""
    systems, documents = both
    system = systems["packed"]
    example = system.ner.examples(documents)[0]
    batch = system.ner.collate([example])
    length, pairs = len(example.input_ids), len(example.first)
    full = packed_mask(batch)[: pairs // batch.packs.size]
    assert (full.sum((1, 2)) == length * length + 2 * batch.packs.size * (length + 2)).all()


def test_second_implementation(tiny):
    """Every candidate of two texts, and every subject and object of one, each encoded by itself."""
    system, documents = tiny()
    examples = system.ner.examples(documents)[:2]
    with torch.no_grad():
        found, _ = system.ner.module(system.ner.collate(examples), "shared_text")
    plain = [
        span_logits(system.ner.module, example.input_ids.tolist(), first, last)
        for example in examples
        for first, last in zip(example.first.tolist(), example.last.tolist(), strict=True)
    ]
    torch.testing.assert_close(found, torch.stack(plain))

    document = documents[0]
    window = system.relation.windows.windows([document])[0]
    spans = {(e.start, e.end): (window.first_subtoken[e.start], window.last_subtoken[e.end - 1]) for e in document.entities}
    assert len(spans) > 2
    with torch.no_grad():
        found = system.relation.module(system.relation.collate(system.relation.examples([document])), "shared_text")
    plain = [
        pair_logits(system.relation.module, window.input_ids.tolist(), subject, object_)
        for subject in (*spans.values(), None)
        for object_ in spans.values()
    ]
    for ours, theirs in zip(found, zip(*plain, strict=True), strict=True):
        torch.testing.assert_close(ours, torch.stack(theirs))


def test_new_embeddings_start_as_words(tiny_encoders):
    corpus = data.load("synthetic", "train")
    system = PlMarkerSystem.build(tiny_encoders["bert"], corpus.schema, corpus.documents[:2], {}, seed=1)
    for stage, words in ((system.ner, ("mask", "entity")), (system.relation, ("mask", "subject", "mask", "object"))):
        weight = stage.module.encoder.get_input_embeddings().weight
        ids = marker_words(system.tokenizer, words)
        assert ids[0] == [system.tokenizer.mask_token_id] and all(len(of) == 1 for of in ids)
        assert torch.equal(weight[-len(words) :], weight[[of[0] for of in ids]])
        assert stage.levitated == (len(weight) - 2, len(weight) - 1)


@pytest.mark.parametrize("stage", ["ner", "relation"])
def test_losses_are_reported_a_sample(tiny, stage):
    """The loop adds up values over batches and divides by examples; the gradient is the batch mean's."""
    system, documents = tiny(count=4, dropout=0.0)
    own = getattr(system, stage)
    examples = own.examples(documents)[:3]
    batch = own.collate(examples)
    reported, means = own.losses(batch, examples), own.module.losses(batch, "shared_text")
    for name, value in reported.items():
        torch.testing.assert_close(value / 3, means[name])
    weights = list(own.module.parameters())
    for one, other in zip(*(torch.autograd.grad(sum(of.values()), weights) for of in (reported, means)), strict=True):
        assert torch.equal(one, other)


def test_gradients_do_not_depend_on_whether_another_text_needs_padding(tiny):
    """On a CPU the softmax of the markers was once in bfloat16 where no mask had widened its scores."""
    system, documents = tiny("bert")
    own = system.ner
    own.module.float()
    short, *_, long = sorted(own.examples(documents), key=own.length)
    found = []
    for other in (long, short):
        own.module.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            markers = PATHS["shared_text"](own.module.encoder, own.collate([long, other]))[1]
        markers[: len(long.first)].float().square().sum().backward()
        found.append(own.module.encoder.encoder.layer[0].attention.self.query.weight.grad)
    assert (found[0] - found[1]).norm() < 1e-4 * found[0].norm()
