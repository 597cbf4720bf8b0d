"""ASP as a system: it learns, is saved, and refuses what it can't do."""

import json

import pytest
import torch
from transformers import AlbertConfig, AlbertModel

from baselines.asp.system import AspSystem
from iter_bench import data
from iter_bench.document import Document
from iter_bench.encoders import load_tokenizer
from iter_bench.errors import SettingsError, UserError
from iter_bench.scoring import dev_scores
from iter_bench.settings import TrainingSettings
from iter_bench.systems import load_system, system_class


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["bert", "t5"])
def test_it_learns_and_survives_saving(tiny, encoder, tmp_path):
    system, documents = tiny(count=6, encoder=encoder, dropout=0.0, hidden=64)
    system.module.float()
    training = TrainingSettings(epochs=60, batch_size=2, lr_encoder=2e-3, lr_heads=3e-3, warmup_encoder=0.1)
    history = system.fit(documents, (), training, seed=1)
    assert history[-1]["loss"]["actions"] < 0.2 * history[0]["loss"]["actions"]
    found = system.predict(documents)
    scores = dev_scores(documents, found, system.schema)
    assert scores["ner"] > 0.8
    system.save(tmp_path / "saved")
    loaded = load_system(tmp_path / "saved")
    assert isinstance(loaded, system_class("asp"))
    assert loaded.predict(documents, batch_size=2) == found
    assert (loaded.settings, loaded.schema, loaded.parameters) == (system.settings, system.schema, system.parameters)


def test_damaged_folder(tiny, tmp_path):
    system, _ = tiny(count=2)
    system.save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"model\.safetensors"):
        load_system(tmp_path)


def test_a_system_of_the_old_decoder_is_refused(tiny, tmp_path):
    """Its weights would load, and extract something else than what they were trained for."""
    system, _ = tiny(encoder="bert")
    system.save(tmp_path)
    stored = json.loads((tmp_path / "asp.json").read_text())
    assert stored.pop("version") == 4
    (tmp_path / "asp.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match=r"asp\.json: .*version is 1, this iter-bench has 4; train the system anew"):
        AspSystem.load(tmp_path)


def test_a_system_that_was_saved_with_a_fixed_look_ahead_has_it_still(tiny, tmp_path):
    system, documents = tiny(count=3, lookahead=4)
    system.module.float()
    system.save(tmp_path)
    loaded = AspSystem.load(tmp_path)
    assert loaded.settings["lookahead"] == 4 and loaded.predict(documents) == system.predict(documents)


def test_refusals(tiny_encoder, tmp_path):
    corpus = data.load("synthetic-w1", "train")
    with pytest.raises(SettingsError, match="beams"):
        AspSystem.build(tiny_encoder, corpus.schema, corpus.documents, {"beams": 4}, seed=1)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "embedding_size": 16}
    AlbertModel(AlbertConfig(**sizes)).save_pretrained(tmp_path)
    load_tokenizer("minilm").save_pretrained(tmp_path)
    with pytest.raises(SettingsError, match=r"albert.*supported are t5"):
        AspSystem.build(str(tmp_path), corpus.schema, corpus.documents, {}, seed=1)


def test_t5_without_decoder(tiny_t5, tmp_path):
    from transformers import T5EncoderModel

    T5EncoderModel.from_pretrained(tiny_t5).save_pretrained(tmp_path)
    load_tokenizer("minilm").save_pretrained(tmp_path)
    corpus = data.load("synthetic-w1", "train")
    with pytest.raises(SettingsError, match="holds no decoder"):
        AspSystem.build(str(tmp_path), corpus.schema, corpus.documents, {}, seed=1)


def test_parts_of_a_t5(tiny):
    """Prefix and brackets as published: T5's spare embeddings stand for the brackets, and nothing is counted twice."""
    system, _ = tiny(encoder="t5")
    tokenizer = system.tokenizer
    assert tokenizer.decode(list(system.config.prefix)) == "relation extraction :"
    assert (system.config.opening, system.config.closing) == (len(tokenizer), len(tokenizer) + 1)
    assert system.module.encoder.get_input_embeddings().num_embeddings == 30600
    names = dict(system.module.named_parameters())
    assert sum("embed" in name or "shared" in name for name in names) == 1
    assert system.parameters == sum(p.numel() for p in names.values())


def test_long_documents_are_cut_into_windows(tiny):
    """An embedded document of 700 words has more than BERT's 512 positions, and none of its words is lost."""
    system, documents = tiny(count=40)
    words = tuple(word for document in documents for word in document.words)
    assert len(words) > 512
    document = data.load("synthetic-w1", "train").documents[0]
    long = type(document)("long", words)
    with torch.no_grad():
        (found,) = system.predict([long])
    assert found.entities and max(entity.end for entity in found.entities) > 512


def test_only_context_takes_room_from_a_window(tiny):
    """BERT reads 512: 510 sub-tokens of text are one window; with context, so is what fits beside the two markers."""
    system, _ = tiny(count=1)
    for size, around, read in ((510, 0, 512), (510, 9, 512), (509, 9, 511), (500, 9, 512), (500, 8, 512), (500, 3, 507)):
        words = tuple(str(n % 10) for n in range(size + around))
        (source,) = system._sources([Document("d", words[:size], context_after=words[size:])])[1]
        assert len(source.input_ids) == read, (size, around)
    assert len(system._sources([Document("d", ("1",) * 511)])[1]) == 2
