"""A structure imposed on ITER gives what the same structure gives when it's predicted, by the same computation."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from iter_bench.iter_model.modeling import Sizes

SETTINGS = {
    "flat": ("synthetic-w1", {}),
    "nested": ("synthetic-w3", {"no_span": "zero", "link_span": "concat", "gate": False}),
    "several_types": ("synthetic", {"no_span": "zero", "span_decision": "threshold"}),
}


def counted(function):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        result = function()
    return result, dict(counter.get_flop_counts()["Global"])


def without_idle_brackets(system, documents):
    """Documents in which every predicted left bracket starts an entity: an extraction doesn't tell of others."""
    needed = []
    extract = system.module.extract
    system.module.extract = lambda *a, **k: needed.append(found := extract(*a, **k)) or found
    kept = []
    for document in documents:
        needed.clear()
        (extraction,) = system.predict([document])
        if (
            (found := needed[0].found()).needed.lefts
            == len(np.unique(found.left))
            == len({e.start for e in extraction.entities})
        ):
            kept.append(document)
    system.module.extract = extract
    return kept


@pytest.mark.parametrize("name", SETTINGS)
def test_what_was_predicted_is_imposed_by_the_same_computation(tiny, name):
    preset, settings = SETTINGS[name]
    # few: brackets that weights drawn at random leave open let one document have hundreds of pairs
    system, documents = tiny(preset, {"flat": 24, "nested": 10, "several_types": 2}[name], **settings)
    documents = without_idle_brackets(system, documents)
    predicted, work = counted(lambda: system.predict(documents, batch_size=5))
    assert sum(len(e.entities) for e in predicted) > 10 and sum(len(e.relations) for e in predicted) > 10
    structure = system.prepare_structure(documents, predicted)
    given, same_work = counted(lambda: system.predict(documents, batch_size=5, structure=structure))
    assert given == predicted and same_work == work
    for one, other in zip(predicted, given, strict=True):  # the same numbers were computed
        assert [r.score for r in one.relations] == [r.score for r in other.relations]


@pytest.mark.parametrize("name", SETTINGS)
def test_gold_comes_out_whatever_the_weights_say(tiny, name, monkeypatch):
    preset, settings = SETTINGS[name]
    system, documents = tiny(preset, 3 if name == "several_types" else 12, **settings)
    gold = system.reachable(documents).extractions
    structure = system.prepare_structure(documents, gold)

    def sets(extractions):
        return [(set(e.entities), set(e.relations)) for e in extractions]

    assert sets(system.predict(documents, structure=structure)) == sets(gold) != sets(system.predict(documents))
    system.module.encoder.set_attn_implementation("eager")  # torch doesn't count a CPU's fused attention
    one_by_one = counted(lambda: system.predict(documents, batch_size=1, structure=structure))[1]
    assert system.flops(documents, structure) == sum(one_by_one.values())

    extract = system.module.extract  # and with lists of fixed lengths, as on a GPU
    monkeypatch.setattr(
        system.module, "extract", lambda inputs, sizes=None, decisions=None: extract(inputs, Sizes(200, 200, 9000), decisions)
    )
    assert sets(system.predict(documents, structure=structure)) == sets(gold)
