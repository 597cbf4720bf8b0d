"""One training in several processes, as ``accelerate launch`` or ``torchrun`` starts them; without these, one process.

Each process computes the losses of its share of every batch; gradients are added up, since losses of shares add up to those
of the batch, so that a step is that of one process on the whole batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import cache
from typing import Any

import torch
from torch import nn

from iter_bench.cluster import launched
from iter_bench.errors import UserError

LONGEST_WAIT = timedelta(days=1)
"""How long processes wait for each other: while the first scores, or writes, the others have nothing to do."""


@cache
def _group() -> torch.device | None:
    """Joins the other processes and gives the device of this one; none where it's the only one."""
    if launched.count() == 1:
        return None
    try:
        from accelerate import PartialState
    except ImportError:
        raise UserError("training in several processes needs accelerate: pip install 'iter-bench[accelerate]'") from None
    return PartialState(cpu=not torch.cuda.is_available(), timeout=LONGEST_WAIT).device


def place() -> tuple[int, int]:
    """(number of this process, how many there are); joins the others when first called.

    Raises:
        UserError: there are several, and accelerate isn't installed.
    """
    _group()
    return launched.number(), launched.count()


def is_first() -> bool:
    """Whether this process is the one that writes and scores."""
    return place()[0] == 0


def add_gradients(weights: Iterable[nn.Parameter]) -> None:
    """Replaces each gradient by its sum over the processes; one that no process has stays absent.

    Those of divided weights (``cluster/sharding.py``) were added up as they were computed.
    """
    if place()[1] == 1 or launched.sharded():
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
    """The sums over the processes, by name; all have the same names."""
    device = _group()
    if device is None:
        return dict(values)
    names = sorted(values)
    sums = torch.tensor([values[name] for name in names], dtype=torch.float64, device=device)
    torch.distributed.all_reduce(sums)
    return dict(zip(names, sums.tolist(), strict=True))


def of_first(compute: Callable[[], Any]) -> Any:
    """What the first process computes, in all of them; the others wait. Something that JSON can say."""
    device = _group()
    if device is None:
        return compute()
    content = json.dumps(compute()).encode() if is_first() else b""
    size = torch.tensor([len(content)], device=device)
    torch.distributed.broadcast(size, 0)
    sent = torch.frombuffer(bytearray(content or bytes(int(size))), dtype=torch.uint8).to(device)
    torch.distributed.broadcast(sent, 0)
    return json.loads(sent.cpu().numpy().tobytes())
