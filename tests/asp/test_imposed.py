"""A structure imposed on ASP gives what the same structure gives when it's decoded, by the same passes."""

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from baselines.asp import generation
from iter_bench.document import Document, Entity, Extraction, Relation
from iter_bench.observation.parts import PARTS, listen
from iter_bench.observation.shown import look
from iter_bench.throughput.measurable import CountsFlops, CountsReads, DescribesExecution, TakesStructure

WAYS = [{"decoding": "stepwise"}, {"decoding": "speculative", "lookahead": 5}]


def traced(system, **predict):
    """Extractions, and the shapes of everything that went through the encoder, the decoder or a head's last layer."""
    shapes = []

    def note(module, inputs, _):
        shapes.append((type(module).__name__, *(tuple(i.shape) for i in inputs if torch.is_tensor(i))))

    watched = [
        module
        for name, module in system.module.named_modules()
        if name in ("encoder", "decoder") or name.endswith(("_head.outer", "_head.inner", "embed_tokens", "word_embeddings"))
    ]
    hooks = [module.register_forward_hook(note) for module in watched]
    found = system.predict(**predict)
    for hook in hooks:
        hook.remove()
    return found, shapes


def sets(extractions):
    return [(e.id, set(e.entities), set(e.relations)) for e in extractions]


@pytest.mark.parametrize("device_like", [False, True])
@pytest.mark.parametrize("way", WAYS, ids=["stepwise", "speculative"])
@pytest.mark.parametrize("encoder", ["bert", "t5"])
def test_what_was_decoded_is_imposed_by_the_same_passes(tiny, encoder, way, device_like, monkeypatch):
    if device_like:
        monkeypatch.setattr(generation, "waits_for_nothing", lambda device: False)
    system, documents = tiny(encoder=encoder, **way)
    assert isinstance(system, TakesStructure)
    predicted, work = traced(system, documents=documents, batch_size=5)
    assert sum(len(e.entities) for e in predicted) > 10 and sum(len(e.relations) for e in predicted) > 10
    structure = system.prepare_structure(documents, predicted)
    given, same_work = traced(system, documents=documents, batch_size=5, structure=structure)
    assert sets(given) == sets(predicted) and same_work == work
    assert sum(shape[0] == "Decoder" for shape in work) > 20
    for one, other in zip(predicted, given, strict=True):  # the same numbers were computed
        assert [e.score for e in one.entities] == [e.score for e in other.entities]


@pytest.mark.parametrize("device_like", [False, True])
@pytest.mark.parametrize("settings", [WAYS[0], {**WAYS[1], "max_steps": 12}], ids=["stepwise", "speculative"])
@pytest.mark.parametrize("encoder", ["bert", "t5"])
def test_states_of_passes_are_those_of_all_outputs_at_once(tiny, encoder, settings, device_like, monkeypatch):
    """Which take neither a cache, nor outputs that are thrown away, nor rows that are padded or left out."""
    if device_like:
        monkeypatch.setattr(generation, "waits_for_nothing", lambda device: False)
    system, documents = tiny(encoder=encoder, **settings)
    structure = system.prepare_structure(documents, system.reachable(documents).extractions)
    plain = system.plain_states(documents, structure, range(len(documents)))
    with look(plain) as shown:
        system.predict(documents, batch_size=5, structure=structure)
    assert shown.keys() == plain.keys() and len(plain) == 2 * len(documents), "of encoder and decoder"
    assert sum(map(len, shown.values())) == sum(len(given.actions) for given in structure) + sum(
        len(source.input_ids) for source in system._sources(documents)[1]
    )
    for key, states in plain.items():
        torch.testing.assert_close(shown[key], states, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("max_steps", [None, 12])
@pytest.mark.parametrize("preset", ["synthetic-w1", "synthetic-w3"])
def test_gold_comes_out_whatever_the_weights_say(tiny, preset, max_steps):
    """Symmetric relations the way round that they're annotated, and nothing that the system can't express."""
    system, documents = tiny(preset, 8, max_steps=max_steps)
    symmetric = system.schema.symmetric
    documents = [
        replace(d, relations=tuple(Relation(r.tail, r.head, r.type) if r.type in symmetric else r for r in d.relations))
        for d in documents
    ]
    reachable = system.reachable(documents).extractions
    structure = system.prepare_structure(documents, reachable)
    found = system.predict(documents, batch_size=3, structure=structure)
    assert sets(found) == sets(reachable) != sets(system.predict(documents))
    assert any(r.type in symmetric for e in found for r in e.relations) or max_steps
    gold = system.prepare_structure(documents, [Extraction(d.id, d.entities, d.relations) for d in documents])
    for extraction, document in zip(system.predict(documents, structure=gold), documents, strict=True):
        assert set(extraction.entities) <= set(document.entities) and set(extraction.relations) <= set(document.relations)


@pytest.mark.parametrize("encoder", ["bert", "t5"])
def test_operations_are_those_that_torch_counts(tiny, encoder):
    """Output by output nothing is tried in vain, and a document alone is not padded."""
    system, documents = tiny(encoder=encoder, count=3, decoding="stepwise")
    assert isinstance(system, CountsFlops)
    for document, entities in (
        (documents[0], documents[0].entities),
        (documents[1], documents[1].entities),
        (documents[2], ()),
    ):
        relations = document.relations if entities else ()
        structure = system.prepare_structure([document], [Extraction(document.id, entities, relations)])
        # torch doesn't count a CPU's fused attention
        with sdpa_kernel(SDPBackend.MATH), torch.no_grad(), FlopCounterMode(display=False) as counter:
            system.predict([document], batch_size=1, structure=structure)
        assert system.flops([document], structure) == counter.get_total_flops()


@pytest.mark.parametrize("encoder", ["bert", "t5"])
def test_weights_read_are_those_of_passes_that_look_ahead_without_end(tiny, encoder):
    system, documents = tiny(encoder=encoder, lookahead=200)
    assert isinstance(system, CountsReads)
    structure = system.prepare_structure(documents, system.reachable(documents).extractions)
    read = []
    hooks = [
        layer.register_forward_hook(lambda layer, *_: read.append(layer.weight.numel()))
        for part in (system.module.encoder, system.module.decoder)
        for layer in part.modules()
        if isinstance(layer, torch.nn.Linear)
    ]
    system.predict(documents, batch_size=5, structure=structure)
    for hook in hooks:
        hook.remove()
    heads = [w for name, w in system.module.named_parameters() if system.is_head(name) and w.dim() == 2]
    counted = system.weights_read(documents, structure, batch_size=5)
    assert counted == sum(read) + 3 * sum(w.numel() for w in heads) > 3 * 1.5 * system.matrix_weights, "in three batches"


def test_adjacent_entities_and_documents_without_anything(tiny):
    """``</m>`` and ``<m>`` at one place, an entity of the whole text, and nothing to extract from."""
    system, _ = tiny(count=1)
    kind, other = system.schema.entity_types[:2]
    first, second, whole = Entity(0, 1, kind), Entity(1, 2, other), Entity(0, 2, kind)
    documents = [Document("pair", ("Rome", "Paris")), Document("whole", ("Rome", "Paris")), Document("none", ("\u200b",))]
    given = [
        Extraction("pair", (first, second), (Relation(second, first, system.schema.relation_types[0]),)),
        Extraction("whole", (whole,)),
        Extraction("none"),
    ]
    assert sets(system.predict(documents, structure=system.prepare_structure(documents, given))) == sets(given)


def test_description_and_parts(tiny):
    system, documents = tiny()
    assert isinstance(system, DescribesExecution)
    assert system.execution["dtype"] == "float32" and "decoder" in system.execution["attention"]
    linear = [p for n, p in system.module.named_parameters() if p.dim() == 2 and "embeddings" not in n]
    assert system.matrix_weights == sum(p.numel() for p in linear)
    with listen(lambda: None) as seconds:
        system.predict(documents)
    assert set(seconds) == set(PARTS) and all(value > 0 for value in seconds.values())
