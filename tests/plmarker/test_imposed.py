"""A structure imposed on PL-Marker gives what the same structure gives when it's predicted, by the same computation."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from baselines.plmarker import stage
from baselines.plmarker.encoding import PATHS
from iter_bench.document import Document, Entity, Extraction, Relation
from iter_bench.observation.parts import PARTS, listen
from iter_bench.observation.shown import look
from iter_bench.throughput.measurable import TakesStructure

CHOSEN = {"as_released": {}, "kept": {"ner_overlap": "keep", "re_overlap": "keep", "entity_types": "ner"}}


def traced(system, **predict):
    """Extractions, and the shapes of everything that went through an encoder or a classifier."""
    shapes = []

    def note(execution, path):
        def run(encoder, batch):
            packs = None if batch.packs is None else (batch.packs.size, len(batch.packs.example))
            shapes.append((execution, len(batch.input_ids), batch.longest, batch.widest, batch.most, batch.examples, packs))
            return path(encoder, batch)

        return run

    with pytest.MonkeyPatch.context() as patch:
        for paths in (stage.module.paths for stage in (system.ner, system.relation)):
            for execution, path in list(paths.items()):
                patch.setitem(paths, execution, note(execution, path))
        hooks = [
            head.register_forward_hook(lambda module, _, logits: shapes.append((module.out_features, logits.shape)))
            for name, head in system.module.named_modules()
            if name.endswith("type_classifier")
        ]
        found = system.predict(**predict)
    for hook in hooks:
        hook.remove()
    return found, shapes


@pytest.mark.parametrize("name", CHOSEN)
@pytest.mark.parametrize("execution", PATHS)
def test_what_was_predicted_is_imposed_by_the_same_computation(tiny, execution, name):
    # what nothing filters is a crowd: two documents hold hundreds of pairs
    system, documents = tiny(count=2 if name == "kept" else 12, execution=execution, **CHOSEN[name])
    assert isinstance(system, TakesStructure)
    predicted, work = traced(system, documents=documents, batch_size=5)
    assert sum(len(e.entities) for e in predicted) > 20 and sum(len(e.relations) for e in predicted) > 20
    structure = system.prepare_structure(documents, predicted)
    given, same_work = traced(system, documents=documents, batch_size=5, structure=structure)
    assert [(e.id, set(e.entities), set(e.relations)) for e in given] == [
        (e.id, set(e.entities), set(e.relations)) for e in predicted
    ]
    assert same_work == work and {shape[0] for shape in work} > {execution}


@pytest.mark.parametrize("execution", PATHS)
def test_the_subjects_of_a_batch_of_documents_go_together_as_far_as_the_budget_lets_them(tiny, execution, monkeypatch):
    """And what is extracted is the same, whoever shares a pass."""
    system, documents = tiny(count=8, execution=execution)
    structure = system.prepare_structure(documents, system.reachable(documents).extractions)
    examples, pairs = system.relation.pairs(documents, structure.entities)
    of = [int(columns[0, 0]) for columns in pairs]
    assert len(examples) > 3 * len(set(of)) > 3 * 5
    passes, path = [], system.relation.module.paths[execution]
    monkeypatch.setitem(system.relation.module.paths, execution, lambda *args: passes.append(args[1].examples) or path(*args))
    found = []
    for rows, batch_size, expected in (
        (10**6, 1, sorted(of.count(document) for document in set(of))),
        (10**6, 3, None),
        (1, 3, [1] * len(of)),
        (4 * max(example.rows for example in examples), 8, None),
    ):
        monkeypatch.setattr(stage, "CPU_ROWS", rows)
        passes.clear()
        found.append(system.find_relations(documents, structure.entities, batch_size=batch_size))
        assert sum(passes) == len(examples) and (expected is None or sorted(passes) == expected)
        assert len(passes) == -(-len(set(of)) // batch_size) or rows < 10**6
    assert all(others == found[0] for others in found[1:]) and sum(len(e.relations) for e in found[0]) > 10


@pytest.mark.parametrize("execution", PATHS)
def test_states_of_batches_are_those_of_examples_alone(tiny, execution):
    system, documents = tiny(execution=execution)
    structure = system.prepare_structure(documents, system.reachable(documents).extractions)
    plain = system.plain_states(documents, structure, [0, 3, 8])
    with look(plain) as shown:
        system.predict(documents, batch_size=5, structure=structure)
    subjects = sum(min(2, len(of)) for of in (structure.entities[i] for i in (0, 3, 8)) if len(of) > 1)
    assert shown.keys() == plain.keys() and len(plain) == 3 + subjects > 3, "each text, and two subjects of each"
    for key, states in plain.items():
        torch.testing.assert_close(shown[key], states, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("preset", ["synthetic-w1", "synthetic"])
def test_gold_comes_out_whatever_the_weights_say(tiny, preset):
    """Symmetric relations the way round that they're annotated, and nothing that the system can't express."""
    system, documents = tiny("bert", preset, 8)
    symmetric = system.schema.symmetric
    documents = [
        replace(d, relations=tuple(Relation(r.tail, r.head, r.type) if r.type in symmetric else r for r in d.relations))
        for d in documents
    ]
    gold = [Extraction(d.id, d.entities, d.relations) for d in documents]
    structure = system.prepare_structure(documents, system.reachable(documents).extractions)
    found = system.predict(documents, batch_size=3, structure=structure)
    reachable = system.reachable(documents).extractions
    assert [(set(e.entities), set(e.relations)) for e in found] == [(set(e.entities), set(e.relations)) for e in reachable]
    assert any(e.relations for e in found) and found != system.predict(documents)
    beyond = system.predict(documents, structure=system.prepare_structure(documents, gold))
    assert all(
        set(e.entities) <= set(d.entities) and set(e.relations) <= set(d.relations)
        for e, d in zip(beyond, documents, strict=True)
    )


def test_types_that_overlap_only_once_they_are_predicted_again(tiny):
    """Stage 1's filter would drop one of these; as an outcome of both stages they're possible."""
    system, documents = tiny(count=1)
    kind, other = system.schema.entity_types[0], system.schema.relation_types[0]
    first, second = Entity(0, 2, kind), Entity(1, 3, kind)
    given = [Extraction(documents[0].id, (first, second), (Relation(second, first, other),))]
    assert system.predict(documents, structure=system.prepare_structure(documents, given)) == given


def test_a_document_without_anything(tiny):
    system, _ = tiny(count=1)
    documents = [Document("one", ("Rome",)), Document("invisible", ("\u200b",))]
    given = [Extraction("one"), Extraction("invisible")]
    assert system.predict(documents, structure=system.prepare_structure(documents, given)) == given


@pytest.mark.parametrize("execution", PATHS)
def test_parts(tiny, execution):
    """All four parts of both stages are marked, and none begins within another."""
    system, documents = tiny(execution=execution)
    with listen(lambda: None) as seconds:
        system.predict(documents)
    assert set(seconds) == set(PARTS) and all(np.isfinite(value) and value > 0 for value in seconds.values())
