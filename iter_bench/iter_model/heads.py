"""The feed-forward networks of eq. 3, for one, two or four vectors.

The first layer is linear, so for ψ vectors W [a; b; …] = W_a a + W_b b + …: every vector is projected once and pairs are
formed by adding projections. E² pairs then cost E projections, and the result is the same as that of the plain form.
"""

from __future__ import annotations

from functools import reduce
from operator import add
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
        return Projected(None if self.gate is None else self.gate[index], self.inner[index])


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

    def project(self, vectors: Tensor, place: int) -> Projected:
        """Share of ``vectors`` [*, δ] standing at ``place`` (0 to ψ - 1) of the concatenation."""
        columns = slice(place * self.width_in, (place + 1) * self.width_in)
        gate = None if self.gate is None else nn.functional.linear(vectors, self.gate.weight[:, columns])
        return Projected(gate, nn.functional.linear(vectors, self.wi.weight[:, columns]))

    def combine(self, *shares: Projected) -> Tensor:
        """Logits [*, κ] of the sum of the shares, which broadcast against each other."""
        inner = reduce(add, (share.inner for share in shares))
        if self.gate is None:
            return self.wo(self.dropout(self.act(inner)))
        gate = reduce(add, (share.gate for share in shares))
        return self.wo(self.dropout(self.act(gate) * inner))

    def forward(self, *vectors: Tensor) -> Tensor:
        """The plain form: logits [*, κ] of ψ vectors [*, δ], concatenated first."""
        x = torch.cat(vectors, dim=-1)
        inner = self.wi(x)
        inner = self.act(inner) if self.gate is None else self.act(self.gate(x)) * inner
        return self.wo(self.dropout(inner))
