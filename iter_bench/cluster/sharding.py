"""Training of models that are too large for one device: weights, gradients and optimiser state divided among the processes.

A unit of torch's ``fully_shard`` (FSDP2) is a linear layer of a stack of layers, for systems take layers apart but call these
whole; each is put together while it computes. All else (embeddings, heads, norms) is one unit, whole during a step.
"""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from iter_bench.cluster import processes
from iter_bench.devices import forget_lowered
from iter_bench.errors import UserError


def local(value: Tensor) -> Tensor:
    """The part of a divided tensor that this process holds; any other tensor is itself."""
    return value.to_local() if hasattr(value, "to_local") else value


def whole(value: Tensor) -> Tensor:
    """A divided tensor put together, which takes all processes; any other tensor is itself."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def divided(value: Tensor, like: Tensor) -> Tensor:
    """``value``, which all processes have, divided as ``like`` is: this one keeps its part alone."""
    if not hasattr(like, "placements"):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None).clone()


class ShardedModule:
    """Puts a divided copy in the place of ``task.module`` while that is trained; the module itself gives its weights away.

    Raises:
        UserError: the module can't be divided.
    """

    def __init__(self, task: Any):
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        gc.collect()  # the parts of a stage that was trained before lie in cycles
        self._task, self._plain = task, task.module
        if type(self._plain).forward is nn.Module.forward:
            raise UserError(f"sharded: {type(self._plain).__name__} isn't called as a whole; train it without --use_fsdp")
        module = copy.deepcopy(self._plain.cpu())
        mesh = init_device_mesh(task.device.type, (processes.place()[1],))
        stacks = [stack for stack in module.modules() if isinstance(stack, nn.ModuleList)]
        layers = dict.fromkeys(layer for stack in stacks for layer in stack.modules() if isinstance(layer, nn.Linear))
        for unit in (*layers, module):
            fully_shard(unit, mesh=mesh)
            unit.set_gradient_divide_factor(1.0)  # sums, not means
            unit.set_force_sum_reduction_for_comms(True)
        task.module = module
        self._empty()

    @contextmanager
    def assembled(self) -> Iterator[None]:
        """Within, ``task.module`` is the plain module; the first process, and it alone, has its weights."""
        divided_module = self._task.module
        self._fill(processes.is_first())
        self._task.module = self._plain
        try:
            yield
        finally:
            self._empty()
            self._task.module = divided_module

    def finish(self) -> None:
        """Puts the plain module back with the trained weights, in all processes."""
        self._fill(True)
        self._task.module = self._plain

    @torch.no_grad()
    def _fill(self, here: bool) -> None:
        trained = dict(self._task.module.named_parameters())
        for name, weight in self._plain.named_parameters():
            value = whole(trained[name])
            if here:
                weight.data = value.detach()
        for buffer in self._plain.buffers():
            buffer.data = buffer.data.to(self._task.device)

    def _empty(self) -> None:
        forget_lowered(self._plain)
        for weight in self._plain.parameters():
            weight.data = weight.data.new_empty(0)
