"""Checkpoints of the released code load and give what the released code gives; see ``tests/fixtures/README.md``."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoTokenizer

from iter_bench.document import CONTEXT_MARKERS, Document, Entity, Relation
from iter_bench.errors import SettingsError, UserError
from iter_bench.iter_model.batch import collate_inputs, collate_labels
from iter_bench.iter_model.modeling import IterModel, Sizes
from iter_bench.iter_model.system import IterSystem
from iter_bench.iter_model.targets import build_targets, slots_of
from iter_bench.systems import load_system
from iter_bench.tokenization import WindowTokenizer

FIXTURES = Path(__file__).parent.parent / "fixtures"
NAMES = ["released_flat", "released_nested", "released_t5", "released_context"]


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
        around = {name: tuple(sentence.get(name, ())) for name in ("context_before", "context_after")}
        documents.append(Document(str(number), tuple(sentence["words"]), tuple(entities), relations, **around))
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


def finds_what_was_expected(system, expected, sizes=None, relations_too=True):
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
            wanted = {tuple(r[:5]): r[5] for r in sentence["predicted_relations"]} if relations_too else {}
            assert relations[row].keys() == wanted.keys()
            assert all(relations[row][key] == pytest.approx(value, abs=1e-4) for key, value in wanted.items())


@pytest.mark.parametrize("sizes", [None, Sizes(200, 200, 2000)], ids=["exact", "fixed_sizes"])
def test_predicts_what_the_released_code_predicts(released, sizes):
    finds_what_was_expected(*released, sizes)


# Bits of `features` in the released cfg/ of the data sets that checkpoints were published of, each combination once.
PUBLISHED = {
    "conll04": (),
    "ace05": (2, 3, 13),
    "ace05/bert": (2, 3, 8, 13),
    "ace05/small_lr_symrel": (2, 3, 13, 16),
    "ace05/hpo_deberta": (2, 3, 8, 13, 16),
    "ace05/no_cross_info": (2, 8, 13),
    "ade": (5, 9),
    "scierc": (5, 8, 9, 13),
    "scierc/small_lr": (5, 9, 13, 16),
    "scierc/small_lr_symrel": (5, 8, 9, 13, 16),
    "conll03": (11, 21),
    "genia": (5, 9, 11, 13),
}
EXPERIMENTS = {
    "conll04_dev": ((4, 7, 12, 14), "log-sum-exp link loss, a 'no link' class, T5 decoder layers"),
    "conll04/negsample": ((18,), "inverse relations as negatives"),
    "ace05_t5d_as_dec": ((2, 4, 6, 7, 8, 12, 13, 14), "log-sum-exp link loss, T5 decoder layers"),
    "ace05/ce_loss": ((2, 7, 8, 13, 15), "a 'no link' class, cross-entropy over relations"),
    "ace05/neg_link_type": ((2, 7, 8, 13), "a 'no link' class"),
    "ace05/symrel_negsample": ((2, 3, 13, 16, 18), "inverse relations as negatives"),
    "scierc/symrel_negsample": ((5, 8, 9, 13, 16, 18), "inverse relations as negatives"),
    "scierc/d_ff_150": ((5, 8, 9, 13, 16, 18, 20), "inverse relations as negatives"),
}


@pytest.fixture
def altered(tmp_path, monkeypatch):
    """Copies a fixture with other bits of ``features``: ``altered(name, bits)``."""
    monkeypatch.chdir(FIXTURES)

    def copy(name, bits=()):
        shutil.copytree(FIXTURES / name, folder := tmp_path / name)
        _configure(folder, features=sum(1 << bit for bit in bits))
        return folder

    return copy


@pytest.mark.parametrize("bits", PUBLISHED.values(), ids=PUBLISHED)
def test_every_published_kind_of_checkpoint_loads_and_finds_the_same(altered, bits):
    name = "released_nested" if 9 in bits else "released_context" if 3 in bits else "released_flat"
    folder = altered(name, bits)
    if 21 in bits:  # other checkpoints of NER only still hold the head
        weights = load_file(folder / "model.safetensors")
        save_file({k: v for k, v in weights.items() if not k.startswith("rr_score.")}, folder / "model.safetensors")
    system = IterSystem.load(folder)
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    finds_what_was_expected(system, expected, relations_too=11 not in bits)
    assert bool(system.schema.relation_types) == hasattr(system.module, "is_link") == (11 not in bits)
    assert system.config.symmetric_targets == ("both" if 16 in bits else "once")
    assert system.config.loss_reduction == ("mean" if 8 in bits else "sum")


@pytest.mark.parametrize(("bits", "message"), EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_experiments_are_refused_by_name(altered, bits, message):
    folder = altered("released_nested" if 9 in bits else "released_flat", bits)
    for load in (load_system, AutoConfig.from_pretrained):
        with pytest.raises(SettingsError, match=message):
            load(folder)


def test_the_auto_classes_translate_too(altered):
    folder = altered("released_nested", (5, 8, 9))
    config = AutoConfig.from_pretrained(folder)
    assert (config.omega, config.loss_reduction, len(config.entity_types)) == (3, "mean", 4)
    model = AutoModel.from_pretrained(folder)
    assert isinstance(model, IterModel) and model.config.to_dict() == IterModel.from_pretrained(folder).config.to_dict()
    _configure(folder, entity_types=None)
    with pytest.raises(SettingsError, match="damaged"):
        AutoConfig.from_pretrained(folder)


def test_only_the_sentence_between_the_markers_is_extracted(released):
    """Of what the released code finds, all that lies in the sentence, and nothing of its context."""
    system, expected = released
    documents = documents_of(expected)
    for window, sentence, extraction in zip(
        system.windows.windows(documents), expected["sentences"], system.predict(documents), strict=True
    ):
        words = window.word_ids
        inside = [
            (words[n], words[m] + 1, kind) for n, m, kind in sentence["predicted_entities"] if min(words[n], words[m]) >= 0
        ]
        assert {(e.start, e.end, e.type) for e in extraction.entities} == set(inside)


def test_markers_that_the_tokenizer_knows_are_one_subtoken_each():
    """As T5's own tokenizer has them; `input_ids` of the fixture show what others make of them."""
    tokenizer = AutoTokenizer.from_pretrained(FIXTURES / "tiny_t5")
    tokenizer.add_tokens([*CONTEXT_MARKERS], special_tokens=True)
    windows = WindowTokenizer(tokenizer, None, markers=CONTEXT_MARKERS)
    brenton, ostrey, end = [3, 34, 15, 7, 20, 7], tokenizer("Ostrey").input_ids[:-1], 1
    documents = [Document("a", ("Brenton",)), Document("b", ("Brenton",), context_before=("Ostrey",))]
    alone, after = (window.input_ids.tolist() for window in windows.windows(documents))
    assert alone == [149, *brenton, 150, end] and after == [*ostrey, 149, *brenton, 150, end]


INDEX = "model.safetensors.index.json"


def _shard(folder) -> dict[str, str]:
    """Divides the weights into three files with an index, as transformers does from 5 GB on; the file of each weight."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    files = {key: f"model-{i % 3 + 1:05}-of-00003.safetensors" for i, key in enumerate(sorted(weights))}
    for file in set(files.values()):
        save_file({key: weights[key] for key in weights if files[key] == file}, folder / file)
    _index(folder, files)
    return files


def _index(folder, files):
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": files}), encoding="utf-8")


def test_a_checkpoint_in_several_files_is_the_same(altered):
    folder = altered("released_t5")
    whole = IterModel.from_pretrained(folder).state_dict()
    _shard(folder)
    divided = IterModel.from_pretrained(folder).state_dict()
    assert whole.keys() == divided.keys() and all(torch.equal(whole[key], divided[key]) for key in whole)


def _away(folder, files, name):
    (folder / files["is_l.wo.weight"]).rename((folder / name).resolve())
    _index(folder, {key: name if file == files["is_l.wo.weight"] else file for key, file in files.items()})


INDEX_DAMAGE = {
    "neither model.safetensors nor model.safetensors.index.json": lambda folder, files: (folder / INDEX).unlink(),
    "index.json: is damaged": lambda folder, files: (folder / INDEX).write_text("{"),
    r"index.json: is damaged \(KeyError": lambda folder, files: (folder / INDEX).write_text("{}"),
    "should name a file for each weight": lambda folder, files: _index(folder, {**files, "is_l.wo.weight": 1}),
    "10 weights are missing .* the first is 'encoder.shared.weight'": lambda folder, files: _index(
        folder, {key: file for key, file in files.items() if file != files["is_l.wo.weight"]}
    ),
    "names model-00003-of-00003.safetensors, which isn't there": lambda folder, files: (
        folder / "model-00003-of-00003.safetensors"
    ).unlink(),
    "lacks 'is_l.bias', which": lambda folder, files: _index(folder, {**files, "is_l.bias": files["is_l.wo.weight"]}),
    "can't be read": lambda folder, files: (folder / files["is_l.wo.weight"]).write_bytes(b"cut"),
    "names '../outside.safetensors'; weights are read": lambda folder, files: _away(folder, files, "../outside.safetensors"),
    "names '/.*'; weights are read": lambda folder, files: _away(folder, files, str(folder.parent / "outside.safetensors")),
}


@pytest.mark.parametrize("message", INDEX_DAMAGE)
def test_a_damaged_index_is_told_in_a_sentence(altered, message):
    folder = altered("released_t5")
    INDEX_DAMAGE[message](folder, _shard(folder))
    with pytest.raises(UserError, match=message):
        IterModel.from_pretrained(folder)


def test_weights_of_other_sizes_are_told_in_a_sentence(altered):
    _configure(folder := altered("released_flat"), d_ff=7)
    with pytest.raises(UserError, match=r"don't fit its config.json(.|\n)*is_left.gate.weight"):
        IterModel.from_pretrained(folder)


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
    r"together: .*omega: Input should be greater than or equal to 1": lambda folder: _configure(folder, omega=0),
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
