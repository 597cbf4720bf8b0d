"""Checkpoints of the released code load and give what the released code gives; see ``tests/fixtures/README.md``."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from iter_bench.document import Document, Entity, Relation
from iter_bench.errors import UserError
from iter_bench.iter_model.batch import collate_inputs, collate_labels
from iter_bench.iter_model.modeling import IterModel, Sizes
from iter_bench.iter_model.system import IterSystem
from iter_bench.iter_model.targets import build_targets, slots_of
from iter_bench.systems import load_system

FIXTURES = Path(__file__).parent.parent / "fixtures"
NAMES = ["released_flat", "released_nested", "released_t5"]


@pytest.fixture(params=NAMES)
def released(request, monkeypatch):
    monkeypatch.chdir(FIXTURES)  # _name_or_path of the encoder is relative
    expected = json.loads((FIXTURES / request.param / "expected.json").read_text(encoding="utf-8"))
    return IterSystem.load(FIXTURES / request.param), expected


def documents_of(expected) -> list[Document]:
    documents = []
    for number, sentence in enumerate(expected["sentences"]):
        entities = [Entity(*e) for e in sentence["entities"]]
        relations = tuple(Relation(entities[h], entities[t], kind) for h, t, kind in sentence["relations"])
        documents.append(Document(str(number), tuple(sentence["words"]), tuple(entities), relations))
    return documents


def predicted(system, inputs, slots, sizes=None):
    """Decisions in the fixture's terms: for each sample, entities and relations by sub-token positions."""
    found = system.module.extract(inputs, sizes).found()
    first = [0]
    for s in slots:
        first.append(first[-1] + len(s))
    spans = [
        (w, int(slots[w].left[n - first[w]]), int(slots[w].right[m - first[w]]))
        for w, n, m in zip(found.window.tolist(), found.left.tolist(), found.right.tolist(), strict=True)
    ]
    entities = [[] for _ in slots]
    relations = [{} for _ in slots]
    for (w, *ends), kind in zip(spans, found.type.tolist(), strict=True):
        entities[w].append([*ends, system.config.entity_types[kind]])
    for head, tail, row in zip(found.head.tolist(), found.tail.tolist(), found.link.tolist(), strict=True):
        for kind, probability in zip(system.config.relation_types, row, strict=True):
            if probability > system.config.link_threshold:
                relations[spans[head][0]][(*spans[head][1:], *spans[tail][1:], kind)] = probability
    return entities, relations


@pytest.mark.parametrize("sizes", [None, Sizes(200, 200, 2000)], ids=["exact", "fixed_sizes"])
def test_predicts_what_the_released_code_predicts(released, sizes):
    system, expected = released
    documents = documents_of(expected)
    windows = system.windows.windows(documents)
    for rows in expected["batches"]:
        slots = [slots_of(windows[i], system.config) for i in rows]
        inputs = collate_inputs([windows[i].input_ids for i in rows], slots, system._pad)
        entities, relations = predicted(system, inputs, slots, sizes)
        for row, i in enumerate(rows):
            sentence = expected["sentences"][i]
            assert windows[i].input_ids.tolist() == sentence["input_ids"]
            assert sorted(entities[row]) == sorted(sentence["predicted_entities"])
            wanted = {tuple(r[:5]): r[5] for r in sentence["predicted_relations"]}
            assert relations[row].keys() == wanted.keys()
            assert all(relations[row][key] == pytest.approx(value, abs=1e-4) for key, value in wanted.items())


@pytest.mark.parametrize("both", [False, True], ids=["as_annotated", "symmetric_both"])
def test_loses_what_the_released_code_loses(released, both):
    system, expected = released
    key = "batch_losses_symmetric_both" if both else "batch_losses"
    system.config.symmetric_targets = "both" if both else "once"
    system.config.symmetric = expected.get("symmetric", [])
    model = system.module.double().eval()
    documents = documents_of(expected)
    windows = system.windows.windows(documents)
    for rows, wanted in zip(expected["batches"], expected[key], strict=True):
        if wanted is None:
            continue
        slots = [slots_of(windows[i], system.config) for i in rows]
        targets = [build_targets(documents[i], s, system.config)[0] for i, s in zip(rows, slots, strict=True)]
        inputs = collate_inputs([windows[i].input_ids for i in rows], slots, system._pad)
        with torch.no_grad():
            losses = model(inputs, collate_labels(inputs, slots, targets, len(system.config.relation_types)))
        losses["is_span"] += constant_of_missing_lefts(targets, system.config.omega) if system.config.omega > 1 else 0.0
        assert {name: float(value) for name, value in losses.items()} == {
            name: pytest.approx(wanted[name], rel=1e-6) for name in losses
        }


def constant_of_missing_lefts(targets, omega: int) -> float:
    """The released nested loss has log 2, without a gradient, for every left bracket that a gold right bracket lacks."""
    most = min(omega, max(int(t.is_left.sum()) for t in targets))
    missing = 0
    for t in targets:
        rights = set(t.span_right[t.span_at_right].tolist())
        missing += sum(most - int((t.span_right == m).sum().clip(max=most)) for m in rights)
    return missing * math.log(2)


def test_saved_again_it_is_ours(released, tmp_path):
    system, expected = released
    system.save(tmp_path)
    again = IterSystem.load(tmp_path)
    assert (tmp_path / "config.json").read_text().count("transformer_config") == 0
    documents = documents_of(expected)
    assert again.predict(documents) == system.predict(documents)
    assert isinstance(AutoModel.from_pretrained(tmp_path), IterModel)


def _lose_a_weight(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["is_left.wo.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


DAMAGE = {
    "lacks 1 weights, the first is 'is_left.wo.weight'": _lose_a_weight,
    "can't be loaded together": lambda folder: (folder / "model.safetensors").write_bytes(b"cut"),
    "no file named model": lambda folder: (folder / "model.safetensors").unlink(),
    "omega is 0": lambda folder: _configure(folder, omega=0),
    "can't be loaded": lambda folder: _configure(folder, d_ff=7),
    "its tokenizer could not be loaded": lambda folder: [path.unlink() for path in folder.glob("*token*")],
}


def _configure(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("message", DAMAGE)
def test_a_damaged_system_is_refused_and_never_completed_at_random(tiny, tmp_path, message):
    tiny("synthetic", 1)[0].save(tmp_path)
    DAMAGE[message](tmp_path)
    with pytest.raises(UserError, match=message):
        load_system(tmp_path)


@pytest.mark.parametrize("name", ["/nonexistent", "no/such/folder", "owner/name"])
def test_what_is_no_folder_is_told_as_such(name, tmp_path, monkeypatch):
    """Only owner/name is asked of the hub (tests are offline); where that fails, it's not told as a folder without one."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="there is no such folder") as told:
        load_system(name)
    assert ("from the hub" in str(told.value)) == (name == "owner/name")
