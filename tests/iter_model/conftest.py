"""A tiny ITER over a tiny encoder, so that two implementations can be compared exactly."""

import pytest
import torch

from iter_bench import data
from iter_bench.iter_model.system import IterSystem


@pytest.fixture
def tiny(tiny_encoder):
    """Builds a tiny system on documents of the embedded corpus: ``tiny(preset, documents, **settings)``."""

    def build(preset: str = "synthetic", count: int = 24, **settings):
        corpus = data.load(preset, "train")
        documents = [d for d in corpus.documents if len(d.words) <= 22][:count]
        system = IterSystem.build(tiny_encoder, corpus.schema, documents, {"dropout": 0.1, **settings}, seed=3)
        with torch.no_grad():  # heads as new ones have them decide almost nothing; wider weights make every case occur
            for name, weights in system.module.named_parameters():
                if system.is_head(name):
                    weights.mul_(6)
        return system, documents

    return build
