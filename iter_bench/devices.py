"""Where models run and in which precision."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import fields
from typing import Any, Self

import torch
from torch import Tensor, nn

from iter_bench.cluster import processes
from iter_bench.settings import dtype_of


def default_device() -> torch.device:
    """CUDA where present, else the CPU; of processes that train together each has a GPU of its own."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    processes.place()  # which chooses it
    # cuDNN's attention, torch's first choice on recent GPUs, plans anew for each shape, and here few batches have the same
    torch.backends.cuda.enable_cudnn_sdp(False)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as `deterministic` needs before the first matrix product
    return torch.device("cuda")


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """On a GPU, sums whose order is another each time are put in order, so that the same seed gives the same numbers.

    On a CPU nothing needs it.

    Raises:
        RuntimeError: torch's, of an operation that it can't order.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled, torch.utils.deterministic.fill_uninitialized_memory = torch.utils.deterministic.fill_uninitialized_memory, False
    torch.use_deterministic_algorithms(True)  # for a warning alone the gradient of attention would not be ordered
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled


def compute_dtype(device: torch.device, precision: str) -> str:
    """Torch's name of the type of matrix products on ``device``; see `dtype_of`."""
    return dtype_of(precision, device.type)


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """The context in which a model computes in ``compute_dtype``."""
    if compute_dtype(device, precision) == "bfloat16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


@contextmanager
def predicting(module: nn.Module, device: torch.device, precision: str) -> Iterator[None]:
    """``autocast`` for prediction, with the weights ``lowered``."""
    with lowered(module, device, precision), autocast(device, precision):
        yield


@contextmanager
def lowered(module: nn.Module, device: torch.device, precision: str) -> Iterator[None]:
    """For bf16, linear layers hold their weights in it meanwhile, converted once; those that do already are left.

    Autocast alone would convert every weight in every pass: it remembers nothing in inference mode, nor in compiled code. The
    numbers are the same.
    """
    lower = compute_dtype(device, precision) == "bfloat16"
    layers = [
        layer for layer in module.modules() if lower and isinstance(layer, nn.Linear) and layer.weight.dtype != torch.bfloat16
    ]
    own = [dict(layer.named_parameters(recurse=False)) for layer in layers]
    try:
        for layer, weights in zip(layers, own, strict=True):
            for name, weight in weights.items():
                setattr(layer, name, nn.Parameter(weight.detach().bfloat16(), requires_grad=False))
        yield
    finally:
        for layer, weights in zip(layers, own, strict=True):
            for name, weight in weights.items():
                setattr(layer, name, weight)


class Movable:
    """Base of dataclasses that hold tensors."""

    def to(self, device: torch.device) -> Self:
        """The same on ``device``; see ``moved``."""
        return type(self)(**{f.name: _on(getattr(self, f.name), device) for f in fields(self)})


def _on(value: Any, device: torch.device) -> Any:
    if isinstance(value, Movable):
        return value.to(device)
    return moved(value, device) if isinstance(value, Tensor) else value


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on ``device``; a copy to a GPU goes by pinned memory, so that nothing waits for it."""
    if tensor.device == device:
        return tensor
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


def sent(tensor: Tensor) -> Callable[[], Tensor]:
    """Begins to copy the tensor to the host; what it gives waits for that copy, and for nothing that was asked later."""
    if not tensor.is_cuda:
        return lambda: tensor
    host = torch.empty_like(tensor, device="cpu", pin_memory=True)
    host.copy_(tensor, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()

    def wait() -> Tensor:
        arrived.synchronize()
        return host

    return wait


def synchronize(device: torch.device) -> None:
    """Waits until everything that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
