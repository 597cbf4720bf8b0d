"""A function of tensors by compiled code, with a count that shows that it took effect, and a check that it gives the same."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._dynamo import config, maybe_mark_dynamic
from torch._dynamo.backends.registry import lookup_backend

from iter_bench.batching import lack_of_memory

log = logging.getLogger("iter_bench")

BACKEND = "inductor"
"""The compiler, as torch names it."""

GRAPHS = 64
"""Most of one function: of the first width and of all others, of a single row and of several, with a mask and without."""

APART = {"float32": 1e-4, "bfloat16": 2e-2}
"""Most that compiled states may differ from the plain ones, relative to their length."""


class Compiled:
    """Stands in for a function; where compiling fails, a note in the log says why, and everything runs as before.

    Args:
        plain: what to compile, as one graph.
        name: what it computes, for the note.
        dynamic: whether the first graph should do for all sizes; otherwise it does for all sizes of the arguments' first
            dimension, and from the second size of another one on a second graph does for all.

    Attributes:
        graphs: how many graphs were compiled.
        problem: why nothing is compiled any more; none: nothing failed.
    """

    def __init__(self, plain: Callable[..., Any], name: str, *, dynamic: bool = False):
        self.graphs = 0
        self.problem: str | None = None
        self._plain, self._name, self._dynamic = plain, name, dynamic
        self._compile = lookup_backend(BACKEND)
        self._compiled = torch.compile(plain, backend=self._counted, fullgraph=True, dynamic=dynamic or None)

    def __str__(self) -> str:
        """The record's ``execution.compile``."""
        return f"{BACKEND}, graphs: {self.graphs}" if self.problem is None else f"none: {self.problem}"

    def __call__(self, *args: Any, **named: Any) -> Any:
        """As the function."""
        if self.problem is None:
            if not self._dynamic:
                for of in args:
                    if isinstance(of, Tensor):
                        maybe_mark_dynamic(of, 0)
            try:
                with config.patch(recompile_limit=GRAPHS):
                    return self._compiled(*args, **named)
            except Exception as error:  # compilers raise of every kind
                if lack_of_memory(error) is not None:  # smaller batches help, and plain code wouldn't
                    raise
                self.give_up(" ".join(str(error).split("\n")[:2]) or type(error).__name__)
        return self._plain(*args, **named)

    def give_up(self, problem: str) -> None:
        """Computes as before from now on; ``problem`` is why."""
        self.problem = problem
        log.warning("%s runs without compiling: %s", self._name, problem)

    def _counted(self, graph: torch.fx.GraphModule, inputs: Sequence[Any]) -> Callable:
        compiled = self._compile(graph, inputs)
        self.graphs += 1
        return compiled


def checked(
    plain: Callable[..., Any], run: Callable[[Callable[..., Any]], Tensor], name: str, dtype: str, *, dynamic: bool = False
) -> Compiled:
    """Compiled code for ``plain``, which has given up if what it computes isn't the same.

    Args:
        plain, name, dynamic: as of ``Compiled``.
        run: states that a function in place of ``plain`` leads to.
        dtype: of the matrix products.
    """
    compiled = Compiled(plain, name, dynamic=dynamic)
    with torch.inference_mode():
        expected, found = run(plain), run(compiled)
    apart = float((found - expected).norm() / expected.norm())
    if compiled.problem is None and not apart <= APART[dtype]:
        compiled.give_up(f"compiled, its states are {apart:.1e} apart")
    return compiled
