"""What all tests share: no network, one thread a process, and the real corpora where they are present."""

import os
from pathlib import Path

# Read when torch and transformers are first imported, which no test module has done yet.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Hides CUDA from all tests but those for it: systems take it where present, and the others are for the CPU."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of the real corpora, for tests that read them."""
    folder = os.environ.get("ITER_BENCH_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("ITER_BENCH_DATA names no folder: the real corpora are needed")
    return Path(folder)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what needs CUDA where there's none; torch is imported only if such a test was selected."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs CUDA, which only `pytest -m gpu` shows to tests")


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory) -> str:
    """Folder of a BERT with random weights, two layers of width 32, and MiniLM's tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    from iter_bench.encoders import load_tokenizer

    folder = tmp_path_factory.mktemp("tiny_encoder")
    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    BertModel(BertConfig(**sizes)).save_pretrained(folder)
    load_tokenizer("minilm").save_pretrained(folder)
    return str(folder)


@pytest.fixture
def doubling_compiler(monkeypatch) -> None:
    """Compiled code gives twice what it should."""
    from iter_bench import compiled  # slow to import, and few tests need it

    monkeypatch.setattr(compiled, "lookup_backend", lambda name: lambda graph, _: lambda *args: [2 * x for x in graph(*args)])
