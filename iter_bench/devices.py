"""Where models run and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def default_device() -> torch.device:
    """CUDA where present, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """The context in which a model computes; ``auto`` is bf16 on CUDA and fp32 on the CPU."""
    if precision == "bf16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def synchronize(device: torch.device) -> None:
    """Waits until everything that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
