"""Where models run and in which precision."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import fields
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.weak import WeakTensorKeyDictionary

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


_LOWERED = WeakTensorKeyDictionary()
"""Weights → their storage and how often they had been changed when they were converted, and the result."""


@contextmanager
def lowered(module: nn.Module, device: torch.device, precision: str) -> Iterator[None]:
    """For bf16, linear layers hold their weights in it meanwhile; those that do already are left.

    Autocast alone would convert every weight in every pass: it remembers nothing in inference mode, nor in compiled code. The
    numbers are the same. Converted weights are kept for the next call, 2 bytes a weight of a linear layer, until the module
    is gone or `forget_lowered`; one that was changed since is converted anew.
    """
    lower = compute_dtype(device, precision) == "bfloat16"
    layers = [
        layer for layer in module.modules() if lower and isinstance(layer, nn.Linear) and layer.weight.dtype != torch.bfloat16
    ]
    own = [dict(layer.named_parameters(recurse=False)) for layer in layers]
    try:
        for layer, weights in zip(layers, own, strict=True):
            for name, weight in weights.items():
                setattr(layer, name, _lower(weight))
        yield
    finally:
        for layer, weights in zip(layers, own, strict=True):
            for name, weight in weights.items():
                setattr(layer, name, weight)


def _lower(weight: nn.Parameter) -> nn.Parameter:
    # no weak reference to a storage equals one to a later storage at the same place; of weights made in inference mode torch
    # doesn't count the changes, so that these are converted in every call
    state = None if weight.is_inference() else (StorageWeakRef(weight.untyped_storage()), weight._version)
    known, converted = _LOWERED.get(weight, (None, None))
    if state is None or state != known:
        with torch.inference_mode(False):  # whose tensors couldn't be used outside it
            converted = nn.Parameter(weight.detach().bfloat16(), requires_grad=False)
        if state is not None:
            _LOWERED[weight] = state, converted
    return converted


def forget_lowered(module: nn.Module | None = None) -> None:
    """Gives up what `lowered` keeps of the module's weights, or of all."""
    if module is None:
        _LOWERED.clear()
        return
    for weight in module.parameters():
        _LOWERED.pop(weight, None)


class ForgetsLowered:
    """Base, before ``nn.Module``, of modules that give up their ``lowered`` weights once they are trained.

    Fused optimizers change weights without torch's counting it; and training needs the memory.
    """

    def train(self, mode: bool = True) -> Self:
        """As any module."""
        if mode:
            forget_lowered(self)
        return super().train(mode)


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
