"""The feed-forward networks of eq. 3, for one, two or four vectors.

The first layer is linear, so for ψ vectors W [a; b; …] = W_a a + W_b b + …: every vector is projected once and pairs are
formed by adding projections. E² pairs then cost E projections, and the result is the same as that of the plain form.
"""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN


class Projected(NamedTuple):
    """A vector's share of the first layer: ``gate`` and ``inner``, each [*, η]; ``gate`` is none in ungated networks."""

    gate: Tensor | None
    inner: Tensor

    def take(self, index: Tensor) -> Projected:
        """Rows ``index`` of both shares."""
        return Projected(None if self.gate is None else self.gate.index_select(0, index), self.inner.index_select(0, index))

    def plus(self, other: Projected) -> Projected:
        """Sum of two vectors' shares, row by row or broadcast."""
        return Projected(None if self.gate is None else self.gate + other.gate, self.inner + other.inner)


class GatedFeedForward(nn.Module):
    """FFN of eq. 3: ``wo(dropout(act(gate(x)) * wi(x)))`` without biases, x the concatenation of ψ vectors.

    Args:
        vectors: ψ, how many vectors are concatenated.
        width_in: δ, width of each.
        width_inner: η.
        width_out: κ, how many logits.
        activation: name of the activation f.
        gate: whether there is a gate; without, it is ``wo(dropout(act(wi(x))))``.
        dropout: probability, in training.
    """

    def __init__(
        self, vectors: int, width_in: int, width_inner: int, width_out: int, *, activation: str, gate: bool, dropout: float
    ):
        super().__init__()
        self.width_in = width_in
        self.gate = nn.Linear(vectors * width_in, width_inner, bias=False) if gate else None
        self.wi = nn.Linear(vectors * width_in, width_inner, bias=False)
        self.wo = nn.Linear(width_inner, width_out, bias=False)
        self.act = ACT2FN[activation]
        self.dropout = nn.Dropout(dropout)

    def project(self, *vectors: Tensor) -> list[Projected]:
        """Shares of the ψ vectors, each [*, δ] with any leading size, in the order of their concatenation."""
        # one split of the weights for all shares: its gradient is one concatenation
        inner = self.wi.weight.split(self.width_in, dim=1)
        gate = [None] * len(inner) if self.gate is None else self.gate.weight.split(self.width_in, dim=1)
        return [
            Projected(None if g is None else nn.functional.linear(x, g), nn.functional.linear(x, w))
            for x, g, w in zip(vectors, gate, inner, strict=True)
        ]

    def combine(self, *shares: Projected) -> Tensor:
        """Logits [*, κ], in float32 at least, of the sum of the shares, which broadcast against each other."""
        gate, inner = reduce(Projected.plus, shares)
        logits = self.wo(self.dropout(self.act(inner) if gate is None else self.act(gate) * inner))
        return logits if logits.dtype == torch.float64 else logits.float()

    def forward(self, *vectors: Tensor) -> Tensor:
        """The plain form: logits [*, κ] of ψ vectors [*, δ], concatenated first."""
        x = torch.cat(vectors, dim=-1)
        inner = self.wi(x)
        inner = self.act(inner) if self.gate is None else self.act(self.gate(x)) * inner
        return self.wo(self.dropout(inner))
