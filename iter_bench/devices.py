"""Where models run and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from iter_bench.cluster import processes


def default_device() -> torch.device:
    """CUDA where present, else the CPU; of processes that train together each has a GPU of its own."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    processes.place()  # which chooses it
    return torch.device("cuda")


def compute_dtype(device: torch.device, precision: str) -> str:
    """Torch's name of the type of matrix products; ``auto`` is bf16 on CUDA and fp32 on the CPU."""
    return "bfloat16" if precision == "bf16" or (precision == "auto" and device.type == "cuda") else "float32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """The context in which a model computes in ``compute_dtype``."""
    if compute_dtype(device, precision) == "bfloat16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def synchronize(device: torch.device) -> None:
    """Waits until everything that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
