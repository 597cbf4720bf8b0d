"""A tiny ASP in float64, so that two implementations can be compared exactly."""

import pytest
import torch
from transformers import T5Config, T5Model

from baselines.asp.system import AspSystem
from iter_bench import data
from iter_bench.encoders import load_tokenizer


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory) -> str:
    """Folder of a whole T5 with random weights, gated as FLAN-T5, with MiniLM's tokenizer."""
    folder = tmp_path_factory.mktemp("tiny_t5")
    torch.manual_seed(1)
    sizes = {"d_model": 32, "num_layers": 2, "num_heads": 2, "d_kv": 16, "d_ff": 48, "vocab_size": 30600}
    config = T5Config(**sizes, feed_forward_proj="gated-gelu", relative_attention_num_buckets=8, decoder_start_token_id=0)
    T5Model(config).save_pretrained(folder)
    load_tokenizer("minilm").save_pretrained(folder)
    return str(folder)


@pytest.fixture
def tiny(tiny_encoder, tiny_t5):
    """Builds a tiny system on documents of the embedded corpus: ``tiny(preset, documents, encoder, **settings)``."""

    def build(preset: str = "synthetic-w1", count: int = 12, encoder: str = "bert", **settings):
        corpus = data.load(preset, "train")
        documents = [d for d in corpus.documents if len(d.words) <= 22][:count]
        name = tiny_t5 if encoder == "t5" else tiny_encoder
        system = AspSystem.build(name, corpus.schema, documents, {"hidden": 24, **settings}, seed=3)
        system.module.double()
        with torch.no_grad():  # new heads decide almost nothing; wider weights make every case occur
            for name, parameter in system.module.named_parameters():
                if system.is_head(name):
                    parameter.normal_(std=0.4)
        return system, documents

    return build
