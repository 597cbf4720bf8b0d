"""The system as its users see it: settings, training of both stages, storage, long documents."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from transformers import T5Config, T5EncoderModel

from baselines.plmarker.system import PlMarkerSystem
from iter_bench import data
from iter_bench.document import Document, Entity, Schema
from iter_bench.encoders import load_tokenizer
from iter_bench.errors import SettingsError, UserError
from iter_bench.scoring import dev_scores
from iter_bench.settings import TrainingSettings
from iter_bench.systems import load_system


@pytest.mark.slow
def test_learns_saves_and_loads(tiny_encoder, tmp_path):
    """Six documents by heart, stage by stage; another process would predict the same."""
    corpus = data.load("synthetic-w1", "train")
    documents = [d for d in corpus.documents if len(d.words) <= 18 and d.relations][:6]
    overrides = {"epochs": 60, "batch_size": 16}
    system = PlMarkerSystem.build(
        tiny_encoder, corpus.schema, documents, {"max_span_words": 4, "re_training": overrides}, seed=1
    )
    training = TrainingSettings(epochs=40, batch_size=3, lr_encoder=2e-3, lr_heads=1e-2, select_by="re_plus")
    reported = []
    history = system.fit(documents, documents, training, seed=1, folder=tmp_path / "training", report=reported.append)
    assert [e["stage"] for e in history] == ["ner"] * 40 + ["re"] * 60
    assert set(history[0]["dev"]) == {"ner"} and set(history[-1]["dev"]) == {"ner", "re", "re_plus"}
    assert set(history[-1]["loss"]) == {"classes", "types"}
    assert {event["stage"] for event in reported} == {"ner", "re"}
    found = system.predict(documents)
    assert dev_scores(documents, found, system.schema)["re_plus"] > 0.8
    # trained before: nothing is trained again, and the outcome is the same
    again = PlMarkerSystem.build(tiny_encoder, corpus.schema, documents, system.settings, seed=1)
    assert again.fit(documents, documents, training, seed=1, folder=tmp_path / "training") == history
    system.save(tmp_path / "saved")
    loaded = load_system(tmp_path / "saved")
    assert isinstance(loaded, PlMarkerSystem)
    assert loaded.predict(documents, batch_size=2) == again.predict(documents, batch_size=2)
    assert (loaded.settings, loaded.schema, loaded.parameters) == (system.settings, system.schema, system.parameters)
    (tmp_path / "saved" / "re" / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"re.model\.safetensors"):
        load_system(tmp_path / "saved")


def test_without_relation_types(tiny_encoder, tmp_path):
    """Only stage 1 exists."""
    corpus = data.load("synthetic-w1", "train")
    schema = Schema(corpus.schema.entity_types)
    documents = [replace(d, relations=()) for d in corpus.documents[:3]]
    system = PlMarkerSystem.build(tiny_encoder, schema, documents, {}, seed=1)
    history = system.fit(documents, (), TrainingSettings(epochs=1), seed=1)
    assert [e["stage"] for e in history] == ["ner"]
    system.save(tmp_path)
    assert not (tmp_path / "re").exists()
    assert load_system(tmp_path).predict(documents) == system.predict(documents)
    assert not any(e.relations for e in system.predict(documents))


def test_imposed_entities(tiny):
    """Stage 2 takes any entities; of fewer than two in a document there's nothing to say."""
    system, documents = tiny(entity_types="ner")
    found = system.find_relations(documents, [d.entities if i % 2 else d.entities[:1] for i, d in enumerate(documents)])
    for i, (extraction, document) in enumerate(zip(found, documents, strict=True)):
        spans = {(e.start, e.end): e for e in reversed(document.entities)}
        assert set(extraction.entities) == (set(spans.values()) if i % 2 else set(document.entities[:1]))
        assert i % 2 or not extraction.relations
    assert sum(len(e.relations) for e in found) > 5


def test_context_is_read_and_long_documents_are_cut(tiny):
    system, documents = tiny(count=40)
    whole = [replace(documents[0], context_before=("Once", "upon"), context_after=("a", "time"))]
    assert len(system.ner.windows.windows(whole)[0].input_ids) == len(system.ner.windows.windows(documents)[0].input_ids) + 4
    assert [len(e.first) for e in system.ner.examples(whole)] == [len(e.first) for e in system.ner.examples(documents[:1])]
    words = tuple(word for document in documents for word in document.words)
    assert len(words) > 512
    with torch.no_grad():
        entities = system.find_entities([type(documents[0])("long", words)])[0]
    assert max(e.end for e in entities) > 512 and min(e.start for e in entities) < 20


def test_a_text_that_fills_its_window_has_no_example_with_an_empty_subject(tiny):
    """As in the released code, whose empty subject would stand behind its last place."""
    system, documents = tiny(re_length=24)
    around = [replace(documents[0], context_before=("a",) * n, context_after=("a",) * n) for n in (0, 20)]
    for document, more in zip(around, (1, 0), strict=True):
        (window,) = system.relation.windows.windows([document])
        assert (len(window.input_ids) == 22) == (not more)
        assert len(system.relation.examples([document])) == len(document.entities) + more


def test_span_limit_is_that_of_the_data_set(tiny_encoder):
    """As the catalogue's comments say: GENIA 12, SciERC 8; else 8, or what 99 % of the entities need."""
    words = ("the",) * 100

    def lengths(*of):
        return [Document(str(i), words, (Entity(0, count, "a"),)) for i, count in enumerate(of)]

    genia, scierc = (data.catalogue.entry(name).schema for name in ("genia", "scierc"))
    for schema, train, chosen, limit in (
        (genia, (), {}, 12),
        (genia, (), {"max_span_words": 5}, 5),
        (scierc, lengths(*range(1, 30)), {}, 8),
        (Schema(("a",)), (), {}, 8),
        (Schema(("a",)), lengths(*[3] * 99, 11), {}, 8),
        (Schema(("a",)), lengths(*[3] * 98, 11, 20), {}, 11),
    ):
        system = PlMarkerSystem.build(tiny_encoder, schema, train, chosen, seed=1)
        assert system.settings["max_span_words"] == limit


@pytest.mark.parametrize("settings, expected", [({}, [0.05, 0.05]), ({"dropout": 0.3}, [0.3, 0.3])])
def test_dropout_is_the_encoders_unless_it_is_set(tiny_encoders, tmp_path, settings, expected):
    corpus = data.load("synthetic-w1", "dev")
    folder = tmp_path / "albert"
    shutil.copytree(tiny_encoders["albert"], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_dropout_prob": 0.05}))
    system = PlMarkerSystem.build(str(folder), corpus.schema, corpus.documents, settings, seed=1)
    system.save(tmp_path / "saved")
    for of in (system, load_system(tmp_path / "saved")):
        assert [stage.module.dropout.p for stage in (of.ner, of.relation)] == expected


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"beams": 4}, "beams"),
        ({"max_span_words": 0}, "max_span_words"),
        ({"execution": "fast"}, "shared_text"),
        ({"re_training": {"epoch": 3}}, "epoch"),
        ({"re_training": {"epochs": 0}}, "epochs"),
    ],
)
def test_bad_settings(tiny_encoder, settings, message):
    with pytest.raises(SettingsError, match=message):
        PlMarkerSystem.build(tiny_encoder, Schema(("a",)), (), settings, seed=1)


def test_other_families_are_refused(tmp_path):
    T5EncoderModel(T5Config(d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, vocab_size=99)).save_pretrained(tmp_path)
    load_tokenizer("minilm").save_pretrained(tmp_path)
    with pytest.raises(SettingsError, match=r"supported are bert, roberta, albert.*t5"):
        PlMarkerSystem.build(str(tmp_path), Schema(("a",)), (), {}, seed=1)
