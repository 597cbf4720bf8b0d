"""Tiny PL-Marker systems over tiny encoders of each family, so that implementations can be compared exactly."""

import pytest
import torch
from transformers import AlbertConfig, AlbertModel, RobertaConfig, RobertaModel

from baselines.plmarker.system import PlMarkerSystem
from iter_bench import data
from iter_bench.encoders import load_tokenizer

SIZES = {"vocab_size": 30522, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}


@pytest.fixture(scope="session")
def tiny_encoders(tiny_encoder, tmp_path_factory) -> dict[str, str]:
    """Folder of a tiny encoder by family; ALBERT's layers are of two groups."""
    torch.manual_seed(1)
    others = {
        "roberta": RobertaModel(RobertaConfig(num_hidden_layers=2, max_position_embeddings=514, **SIZES)),
        "albert": AlbertModel(AlbertConfig(num_hidden_layers=4, num_hidden_groups=2, embedding_size=16, **SIZES)),
    }
    folders = {"bert": tiny_encoder}
    for name, model in others.items():
        folder = tmp_path_factory.mktemp(name)
        model.save_pretrained(folder)
        load_tokenizer("minilm").save_pretrained(folder)
        folders[name] = str(folder)
    return folders


@pytest.fixture(scope="session")
def tiny(tiny_encoders):
    """``tiny(family, preset, count, **settings)``: a system in float64, and documents of the embedded corpus."""

    def build(family: str = "bert", preset: str = "synthetic", count: int = 12, **settings):
        corpus = data.load(preset, "train")
        documents = [d for d in corpus.documents if 8 <= len(d.words) <= 20][:count]
        system = PlMarkerSystem.build(tiny_encoders[family], corpus.schema, documents, settings, seed=3)
        torch.manual_seed(5)
        for stage in filter(None, (system.ner, system.relation)):
            stage.module.double()
            with torch.no_grad():  # as built, states differ by little and heads decide almost nothing
                for weight in stage.module.parameters():
                    if weight.dim() > 1:
                        weight.normal_(std=0.3)
        return system, documents

    return build
