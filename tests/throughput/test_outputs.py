"""The check before timing finds networks that ignore padding, mix rows up, or give nothing, in any type of number."""

import pytest
import torch

from baselines.plmarker.encoding import PATHS
from baselines.plmarker.packing import Batch
from iter_bench import data, systems
from iter_bench.observation.shown import look, show
from iter_bench.throughput import cells, outputs
from iter_bench.throughput.settings import Subject

CORPUS = data.load("synthetic-w1", "dev")
DOCUMENTS = sorted((d for d in CORPUS.documents if d.relations), key=lambda document: len(document.words))[::10][:3]

MISTAKES = {
    "other rows and places": lambda states: states.roll(3, -2).flip(0),
    "random": lambda states: torch.randn_like(states) * states.std(),
    "zero": torch.zeros_like,
}


def break_encoder(system, mistake, patch):
    """The encoder, which the plain path computes by as well, ignores its mask or makes a mistake."""
    encoder = system.module.encoder
    real = encoder.forward

    def forward(*args, **given):
        if mistake == "mask ignored":
            return real(*args, **{**given, "attention_mask": None})
        found = real(*args, **given)
        found.last_hidden_state = MISTAKES[mistake](found.last_hidden_state)
        return found

    patch.setattr(encoder, "forward", forward)


def break_layers(system, mistake, patch):
    """The same for PL-Marker, which takes its encoders apart."""
    if mistake == "mask ignored":
        patch.setattr(Batch, "text_mask", property(lambda batch: torch.ones(batch.examples, batch.longest, dtype=torch.bool)))
        return
    real = PATHS["shared_text"]
    for paths in (PATHS, system.ner.module.paths, system.relation.module.paths):
        patch.setitem(paths, "shared_text", lambda *batch: tuple(map(MISTAKES[mistake], real(*batch))))


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["iter", "asp", "plmarker"])
def test_what_is_wrong_with_a_network_shows(name, precision):
    system = systems.system_class(name).build("minilm", CORPUS.schema, DOCUMENTS, {}, seed=1)
    system.precision = precision
    ready = cells.prepare(Subject(system=name), system, DOCUMENTS)
    assert min(ready.entities, ready.relations) > 2
    assert cells.check(ready, DOCUMENTS, len(DOCUMENTS)) == []
    for mistake in ("mask ignored", *MISTAKES):
        with pytest.MonkeyPatch.context() as patch:
            (break_layers if name == "plmarker" else break_encoder)(system, mistake, patch)
            found = cells.check(ready, DOCUMENTS, len(DOCUMENTS))
        shows = "wrong output: states are 0 or no numbers" if mistake == "zero" else "wrong output: states are up to "
        assert found and found[0].startswith(shows), mistake


def test_states_that_are_not_shown_are_wrong():
    states = torch.ones(3, 2)
    with look({"here": states, "there": states}) as shown:
        show(["here", "elsewhere"], lambda number: states + 3e-5)
        with pytest.raises(RuntimeError, match="looks at the states already"), look({}):
            pass
    assert shown.keys() == {"here"}
    assert outputs._apart(shown["here"], states) == pytest.approx(3e-5, rel=1e-2)
    assert outputs._apart(states[:0], states[:0]) == 0, "a document without anything"
    for found in (shown.get("there"), states[:2], torch.full_like(states, torch.nan)):
        assert not outputs._apart(found, states) <= 1e9
    show(iter(()), lambda number: pytest.fail("nobody looks"))


def test_some_documents_of_all_lengths_are_compared():
    by_length = sorted(CORPUS.documents, key=lambda document: len(document.words))
    assert sorted(outputs._some(by_length[:3])) == [0, 1, 2] and outputs._some(by_length[:1]) == [0]
    some = [len(by_length[i].words) for i in outputs._some(by_length)]
    assert len(some) == outputs.PLAIN and len(set(some)) > 5
    assert {some[0], some[-1]} == {len(by_length[0].words), len(by_length[-1].words)}
