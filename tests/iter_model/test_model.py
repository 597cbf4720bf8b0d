"""The fast heads against the plain second implementation, and gold → targets → perfect logits → decode → gold."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from plain_iter import PlainIter, perfect

from iter_bench.document import Document
from iter_bench.errors import SettingsError
from iter_bench.iter_model.assembling import assemble
from iter_bench.iter_model.batch import collate_inputs, collate_labels
from iter_bench.iter_model.configuration import IterConfig
from iter_bench.iter_model.modeling import Found, Sizes
from iter_bench.iter_model.targets import Slots, build_targets, slots_of

SETTINGS = {
    "flat": ("synthetic-w1", {}),
    "flat_all_pairs": ("synthetic-w1", {"link_loss": "all", "gate": False}),
    "flat_thresholds": ("synthetic-w1", {"span_decision": "threshold"}),
    "nested": ("synthetic", {}),
    "nested_all_pairs": ("synthetic", {"link_loss": "all", "symmetric_targets": "once"}),
    "nested_zero": ("synthetic-w3", {"no_span": "zero", "link_span": "concat", "activation": "relu"}),
    "nested_thresholds": ("synthetic", {"no_span": "zero", "span_decision": "threshold"}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_equals_the_plain_version_in_float64(tiny, name):
    preset, settings = SETTINGS[name]
    system, documents = tiny(preset, 2 if settings.get("span_decision") == "threshold" else 5, **settings)
    model = system.module.double().eval()
    windows = system.windows.windows(documents)
    slots = [slots_of(window, system.config) for window in windows]
    targets = [build_targets(d, s, system.config)[0] for d, s in zip(documents, slots, strict=True)]
    inputs = collate_inputs([window.input_ids for window in windows], slots, system._pad)
    with torch.no_grad():
        fast = model(inputs, collate_labels(inputs, slots, targets, len(system.config.relation_types)))
        hidden = model.encode(inputs).view(*inputs.tokens.input_ids.shape, -1)
    slow = {}
    first = np.cumsum([0] + [len(s) for s in slots])
    exact, fixed = model.extract(inputs).found(), model.extract(inputs, Sizes(400, 2000, 100_000)).found()
    seen = 0
    for row, document in enumerate(documents):
        plain = PlainIter(model, hidden[row], slots[row])
        for part, value in plain.losses(document).items():
            slow[part] = slow.get(part, 0.0) + value
        spans, links = plain.extract()
        seen += len(spans)
        for found in (exact, fixed):
            of = [
                (int(n - first[row]), int(m - first[row]), int(t))
                for w, n, m, t in zip(found.window, found.left, found.right, found.type, strict=True)
                if w == row
            ]
            assert set(of) == spans and len(of) == len(spans)
            base = int(np.sum(found.window < row))
            pairs = [i for i, head in enumerate(found.head) if base <= head < base + len(of)]
            got = {
                (of[found.head[i] - base], of[found.tail[i] - base], k): found.link[i, k]
                for i in pairs
                for k in range(len(system.config.relation_types))
            }
            assert got == pytest.approx(links, abs=1e-10)
    assert seen > 10
    assert {part: float(value) for part, value in fast.items()} == pytest.approx(slow, rel=1e-9)


@pytest.mark.parametrize("preset", ["synthetic-w1", "synthetic-w2", "synthetic-w3", "synthetic-w4"])
@pytest.mark.parametrize("omega", [1, 2, 4])
def test_gold_to_targets_to_gold_up_to_what_is_unreachable(tiny, preset, omega):
    system, documents = tiny(preset, 60, omega=omega, symmetric_targets="once")
    reachable = system.reachable(documents)
    for document, gold in zip(documents, reachable.extractions, strict=True):
        decoded = perfect(system, document)
        assert set(decoded.entities) == set(gold.entities)
        assert set(decoded.relations) == set(gold.relations)
    lost = sum(len(d.entities) - len(e.entities) for d, e in zip(documents, reachable.extractions, strict=True))
    assert sum(n for reason, n in reachable.lost.items() if reason.startswith("entities")) == lost
    assert (lost > 0) == (int(preset[-1]) > omega)


def test_predictions_do_not_depend_on_batch_or_order(tiny):
    system, documents = tiny("synthetic", 16)
    system.module.double()
    alone = {e.id: e for e in system.predict(documents, batch_size=1)}
    assert sum(len(e.entities) for e in alone.values()) > 40
    for order in (documents, documents[::-1]):
        assert system.predict(order, batch_size=7) == [alone[d.id] for d in order]


def test_empty_and_untokenisable_documents_give_empty_extractions(tiny):
    system, documents = tiny("synthetic", 3)
    odd = [Document("none", ()), Document("control", ("\u200b", "\x07")), documents[0]]
    found = system.predict(odd)
    assert [e.id for e in found] == ["none", "control", documents[0].id]
    assert found[0].entities == found[1].entities == ()
    assert system.predict([]) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"omega": 2, "link_span": "right"}, "settings of iter: link_span 'right' can't tell nested spans apart"),
        ({"omega": 2, "span_decision": "threshold"}, "settings of iter: .*needs no_span 'zero'"),
        ({"link_loss": "some"}, "settings of iter, link_loss: .*'all' or 'brackets'"),
        ({"omega": 0}, "settings of iter, omega: .*greater than or equal to 1"),
    ],
)
def test_settings_that_there_cannot_be_are_refused_alike_in_a_run_and_in_a_configuration(tiny, settings, message):
    for refuse in (lambda: tiny(**settings), lambda: IterConfig(**settings)):
        with pytest.raises(SettingsError, match=message):
            refuse()
    assert (IterConfig().omega, IterConfig().link_span, IterConfig(omega=3).link_span) == (1, "right", "sum")


def test_of_brackets_at_sub_tokens_of_the_same_words_the_likelier_relation_stands():
    """Word 0 has two sub-tokens, word 1 one: spans 0:1 and 0:0 of sub-tokens are the same word."""
    config = IterConfig(entity_types=("A",), relation_types=("r",), bracket_positions="subtokens")
    positions = np.arange(3)
    found = Found(
        window=np.zeros(3, int),
        left=np.array([0, 0, 2]),
        right=np.array([0, 1, 2]),
        type=np.zeros(3, int),
        score=np.ones(3),
        head=np.array([0, 1]),
        tail=np.array([2, 2]),
        link=np.array([[0.6], [0.9]]),
        needed=None,
    )
    slots = [Slots(positions, positions, np.array([0, 0, 1]))]
    for order in ([0, 1], [1, 0]):
        turned = replace(found, head=found.head[order], link=found.link[order])
        (extraction,) = assemble(turned, turned.link > 0.5, slots, ["d"], config)
        assert [(r.head.end, r.tail.end, r.score) for r in extraction.relations] == [(1, 2, 0.9)]
