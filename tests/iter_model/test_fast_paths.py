"""What a GPU is given is tested on the CPU: rows that windows share, lists of fixed lengths, batches in flight, no wait."""

import pytest
import torch
import transformers
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode

from iter_bench import data
from iter_bench.encoders import load_tokenizer, shares_rows
from iter_bench.iter_model import system as iter_system
from iter_bench.iter_model.batch import collate_inputs
from iter_bench.iter_model.modeling import Sizes
from iter_bench.iter_model.system import IterSystem
from iter_bench.iter_model.targets import slots_of

SMALL = {"vocab_size": 30522, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
FAMILIES = {
    "bert": transformers.BertConfig(**SMALL),
    "roberta": transformers.RobertaConfig(**SMALL, pad_token_id=0),
    "albert": transformers.AlbertConfig(**SMALL, embedding_size=8, pad_token_id=0),
    "t5": transformers.T5Config(vocab_size=30522, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2),
    "modernbert": transformers.ModernBertConfig(**SMALL, pad_token_id=0, local_attention=8),
}

OTHERS = ("roberta", "albert", "modernbert")


def build(config, folder, **settings):
    """A system in float64 over that encoder with random weights that decide at random."""
    torch.manual_seed(4)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    load_tokenizer("minilm").save_pretrained(folder)
    corpus = data.load("synthetic", "train")
    by_length = sorted(corpus.documents[:200], key=lambda document: len(document.words))
    documents = by_length[:12] + by_length[-5:]
    system = IterSystem.build(str(folder), corpus.schema, documents, settings, seed=3)
    for name, weights in system.module.double().named_parameters():
        if weights.dim() > 1:
            weights.data += (0.3 if "encoder" not in name else 0.1) * torch.randn_like(weights)
    return system, documents


def flat(extractions):
    return [(e.id, e.entities, e.relations, [x.score for x in (*e.entities, *e.relations)]) for e in extractions]


@pytest.mark.parametrize("name", ["bert", "t5", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_rows_are_shared_without_seeing_each_other(name, tmp_path, monkeypatch):
    """Also lists of fixed lengths, far too short at first, so that batches in flight were begun with ones that have grown."""
    system, documents = build(FAMILIES[name], tmp_path)
    alone = [system.predict([document])[0] for document in documents]
    assert sum(len(e.relations) for e in alone) > 10
    batches = []

    def packed(*args, **kwargs):
        batches.append(collate_inputs(*args, **kwargs | {"pack": shares_rows(system.module.encoder)}))
        return batches[-1]

    monkeypatch.setattr(iter_system, "collate_inputs", packed)
    monkeypatch.setattr(iter_system, "token_budget", lambda device: 10_000)
    system._sizes = Sizes(1, 1, 1)
    found = system.predict(documents, batch_size=7)
    assert [(e.id, e.entities, e.relations) for e in found] == [(e.id, e.entities, e.relations) for e in alone]
    for one, other in zip(flat(found), flat(alone), strict=True):
        assert one[3] == pytest.approx(other[3], abs=1e-9)
    shared = [len(inputs.tokens.input_ids) < inputs.windows for inputs in batches]
    assert len(shared) > 2 and any(shared) == shares_rows(system.module.encoder) == (name != "modernbert")


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("name", ["bert", "t5", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS[:2])])
def test_nothing_waits_for_the_device(name, pack, tmp_path):
    """With tensors that have shapes only, every operation that needs a number of the device raises."""
    system, documents = build(FAMILIES[name], tmp_path, no_span="zero", omega=3)
    windows = system.windows.windows(documents)
    slots = [slots_of(window, system.config) for window in windows]
    inputs = collate_inputs([window.input_ids for window in windows], slots, system._pad, pack=pack)
    with FakeTensorMode(allow_non_fake_inputs=True):
        pending = system.module.extract(inputs, Sizes(8, 8, 64))
        with pytest.raises(DynamicOutputShapeException):
            system.module.extract(inputs)
    assert pending._host.shape[0] > 3
