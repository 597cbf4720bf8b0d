"""Dropout's draws on a CPU.

torch draws them there one after the other, unless the processor is Intel's, and that takes a good part of a training step.
Dropout calls one operator for it wherever it stands (modules, functions, attention), so that a faster one reaches all.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

WORDS = 2**16
"""A draw is one of so many equally likely numbers; probabilities are rounded to multiples of its inverse."""


@contextmanager
def fast_draws(device: torch.device) -> Iterator[None]:
    """Within it, Bernoulli draws on a CPU come from a faster generator, which torch's own seeds; does nothing for a GPU."""
    if device.type != "cpu":
        yield
        return
    bits = np.random.Generator(np.random.SFC64(int(torch.randint(2**63 - 1, ()))))

    def draw(out: Tensor, p: float = 0.5, *, generator: torch.Generator | None = None) -> Tensor:
        below = round(p * WORDS)
        if below == WORDS:  # one more than the largest 16 bits
            return out.fill_(1)
        drawn = bits.integers(2**64, size=-(-out.numel() // 4), dtype=np.uint64).view(np.int16)[: out.numel()]
        return torch.lt(torch.from_numpy(drawn).view(out.shape), below - WORDS // 2, out=out)

    library = torch.library.Library("aten", "IMPL")
    try:
        with warnings.catch_warnings(action="ignore"):  # of the operator that stands in for torch's
            library.impl("bernoulli_.float", draw, "CPU")
        yield
    finally:
        library._destroy()
