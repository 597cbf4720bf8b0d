"""One training in several processes, as ``accelerate launch`` or ``torchrun`` starts them; without these, one process.

Each process computes the losses of its share of every batch; gradients are added up, since losses are sums over samples, so
that a step is that of one process on the whole batch. Models that don't fit on one device aren't sharded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TypeVar

import torch
from torch import nn

from iter_bench.errors import UserError

T = TypeVar("T")


@cache
def place() -> tuple[int, int]:
    """(number of this process, how many there are); joins the others when first called.

    Raises:
        UserError: there are several, and accelerate isn't installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0, 1
    try:
        from accelerate import PartialState
    except ImportError:
        raise UserError("training in several processes needs accelerate: pip install 'iter-bench[accelerate]'") from None
    state = PartialState(cpu=not torch.cuda.is_available())
    return state.process_index, state.num_processes


def add_gradients(weights: Iterable[nn.Parameter]) -> None:
    """Replaces each gradient by its sum over the processes; one that no process has stays absent."""
    if place()[1] == 1:
        return
    weights = [weight for weight in weights if weight.requires_grad]
    if not weights:
        return
    used = torch.tensor([weight.grad is not None for weight in weights], dtype=torch.int32, device=weights[0].device)
    torch.distributed.all_reduce(used, torch.distributed.ReduceOp.MAX)
    for weight, present in zip(weights, used.tolist(), strict=True):
        if present:
            weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
            torch.distributed.all_reduce(weight.grad)


def add_up(values: Mapping[str, float]) -> dict[str, float]:
    """The sums over the processes, by name."""
    if place()[1] == 1:
        return dict(values)
    parts: list[dict[str, float]] = [{} for _ in range(place()[1])]
    torch.distributed.all_gather_object(parts, dict(values))
    return {name: sum(part.get(name, 0.0) for part in parts) for name in sorted({name for part in parts for name in part})}


def of_first(compute: Callable[[], T]) -> T:
    """What the first process computes, in all of them; the others wait."""
    if place()[1] == 1:
        return compute()
    value = [compute() if place()[0] == 0 else None]
    torch.distributed.broadcast_object_list(value)
    return value[0]
