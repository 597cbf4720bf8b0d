"""An encoder's states by compiled code, one graph for each width of rows, with a count that shows that it took effect."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._dynamo import config, maybe_mark_dynamic
from torch._dynamo.backends.registry import lookup_backend
from transformers import PreTrainedModel

log = logging.getLogger("iter_bench")

_GRAPHS = 64
"""Most of one encoder: one a width, and with or without a mask."""


class CompiledStates:
    """Stands in for ``states``; where compiling fails, a note in the log says why, and everything runs as before.

    Args:
        states: ``iter_bench.encoders.states``.
        backend: a compiler as torch names it.

    Attributes:
        graphs: how many graphs were compiled.
        problem: why nothing is compiled any more; none: nothing failed.
    """

    def __init__(self, states: Callable[..., Tensor], backend: str = "inductor"):
        self.graphs = 0
        self.problem: str | None = None
        self._backend, self._compile = backend, lookup_backend(backend)
        self._plain = states
        self._compiled = torch.compile(states, backend=self._counted, fullgraph=True)

    def __str__(self) -> str:
        """The record's ``execution.compile``."""
        return f"{self._backend}, graphs: {self.graphs}" if self.problem is None else f"none: {self.problem}"

    def __call__(
        self, encoder: PreTrainedModel, input_ids: Tensor, segment: Tensor, position: Tensor | None, *, padded: bool
    ) -> Tensor:
        """As ``states``."""
        if self.problem is None:
            for of in (input_ids, segment, position):
                if of is not None:
                    maybe_mark_dynamic(of, 0)
            try:
                with config.patch(recompile_limit=_GRAPHS):
                    return self._compiled(encoder, input_ids, segment, position, padded=padded)
            except (torch.OutOfMemoryError, MemoryError):
                raise
            except Exception as error:  # compilers raise of every kind
                self.give_up(" ".join(str(error).split("\n")[:2]) or type(error).__name__)
        return self._plain(encoder, input_ids, segment, position, padded=padded)

    def give_up(self, problem: str) -> None:
        """Computes as before from now on; ``problem`` is why."""
        self.problem = problem
        log.warning("the encoder runs without compiling: %s", problem)

    def _counted(self, graph: torch.fx.GraphModule, inputs: Sequence[Any]) -> Callable:
        compiled = self._compile(graph, inputs)
        self.graphs += 1
        return compiled
