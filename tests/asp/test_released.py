"""The released code's own losses and outputs on made-up sentences and weights (``tests/fixtures/README.md``)."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, T5Config, T5Model

from baselines.asp.actions import COPY
from baselines.asp.batch import outputs_of
from baselines.asp.decisions import Greedy
from baselines.asp.generation import generate
from baselines.asp.source import source_of
from baselines.asp.system import AspSystem
from iter_bench.document import Document, Entity, Relation, Schema

FIXTURES = Path(__file__).parents[1] / "fixtures"
FOLDER = FIXTURES / "released_asp"
HEADS = {"action_head": "open_head", "lr_scorer": "type_head", "rr_scorer": "link_head"}
EXPECTED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Our system with the released weights, and the sentences."""
    folder = tmp_path_factory.mktemp("released_asp")
    weights = load_file(FOLDER / "model.safetensors")
    whole = T5Model(T5Config.from_pretrained(FOLDER))
    whole.load_state_dict({name.removeprefix("t5."): w for name, w in weights.items() if name.startswith("t5.")}, strict=False)
    whole.save_pretrained(folder)
    AutoTokenizer.from_pretrained(FIXTURES / "tiny_t5").save_pretrained(folder)
    schema = Schema(tuple(EXPECTED["entity_types"]), tuple(EXPECTED["relation_types"]), frozenset(EXPECTED["symmetric"]))
    documents = []
    for i, sentence in enumerate(EXPECTED["sentences"]):
        entities = [Entity(*entity) for entity in sentence["entities"]]
        relations = [Relation(entities[head], entities[tail], kind) for head, tail, kind in sentence["relations"]]
        documents.append(Document(str(i), tuple(sentence["words"]), tuple(entities), tuple(relations)))
    settings = {"hidden": 24, "bracket_positions": "subtokens"}
    system = AspSystem.build(str(folder), schema, documents, settings, seed=1)
    with torch.no_grad():
        for theirs, ours in HEADS.items():
            head = getattr(system.module, ours)
            for layer, place in ((head.inner, 0), (head.outer, 3)):
                layer.weight.copy_(weights[f"{theirs}.{place}.weight"])
                layer.bias.copy_(weights[f"{theirs}.{place}.bias"])
    return system, documents


def slip(system, batch) -> float:
    """What the released loss has more: until the first ``<m>`` a ``</m>`` of logit 0 competes, and counts as right too."""
    states = system.module.states(batch).flatten(0, 1)
    opening, _ = system.module.action_logits(states, states, batch)
    absent = torch.ones_like(batch.may_open).index_put((batch.close_at,), torch.tensor(False))
    chosen = torch.where(batch.opens, opening, 0.0).exp()
    ours = (1 + opening.exp()).log() - chosen.log()
    theirs = (2 + opening.exp()).log() - (chosen + 1).log()
    return float((theirs - ours)[absent].sum()) / len(batch.input_ids)


def test_losses(released):
    system, documents = released
    system.module.double()
    examples = system.examples(documents)
    singles = [[i] for i in range(len(documents))]
    expected = [s["loss"] for s in EXPECTED["sentences"]] + EXPECTED["batch_losses"]
    with torch.no_grad():
        for rows, loss in zip(singles + EXPECTED["batches"], expected, strict=True):
            batch = system.collate(whole := [examples[i] for i in rows])
            # a batch without any entity doesn't meet the slip
            more = slip(system, batch) if any(documents[i].entities for i in rows) else 0.0
            mean = sum(part.item() for part in system.losses(batch, whole).values()) / len(whole)
            assert mean + more == pytest.approx(loss, rel=1e-5)
    system.module.float()


def test_outputs(released):
    system, documents = released
    sources = [source_of(window, system.config) for window in system.windows.windows(documents)]
    outputs = generate(system.module, sources, 0, Greedy())
    found, compared = system.predict(documents, batch_size=8), 0
    for sentence, source, output, extraction in zip(EXPECTED["sentences"], sources, outputs, found, strict=True):
        assert source.input_ids.tolist() == sentence["input_ids"]
        if not sentence["valid"]:  # it may close a bracket twice or open two; ours writes valid sequences only
            continue
        pointer = (output.actions == COPY).cumsum() - (output.actions == COPY)
        written = outputs_of(output.actions, pointer, source, system.config).tolist()
        assert [*written[:-1], 1] == sentence["output_ids"]
        entities = [[e.start, e.end - 1, e.type] for e in extraction.entities]
        relations = [[[r.head.start, r.head.end - 1], [r.tail.start, r.tail.end - 1], r.type] for r in extraction.relations]
        assert sorted(entities) == sorted(sentence["predicted_entities"])
        assert sorted(relations) == sorted(sentence["predicted_relations"])
        compared += 1
    assert compared == 26
