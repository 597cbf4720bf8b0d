"""What all tests share: no network, one thread a process, and the real corpora where they are present."""

import os
from pathlib import Path

# Read when torch and transformers are first imported, which no test module has done yet.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest


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
            pytest.skip("needs CUDA")
