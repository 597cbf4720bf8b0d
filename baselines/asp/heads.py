"""The feed-forward networks over decoder states: which action, which entity type, which relation.

The first layer is linear, so W [a; b] = W_a a + W_b b: each state is projected once, and pairs are formed by adding shares. The
result is that of the plain form, which concatenates the states of every pair first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN


class Scorer(nn.Module):
    """``outer(dropout(act(inner(x))))``, x the concatenation of one or two states.

    Args:
        states: how many states are concatenated.
        width: of a state.
        hidden: inner width.
        classes: how many logits.
        activation: name of the activation.
        rate: of the dropout.
        std: of the new weights; biases start at 0.
    """

    def __init__(self, states: int, width: int, hidden: int, classes: int, *, activation: str, rate: float, std: float):
        super().__init__()
        self.width = width
        self.inner = nn.Linear(states * width, hidden)
        self.outer = nn.Linear(hidden, classes)
        self.activation = ACT2FN[activation]
        self.dropout = nn.Dropout(rate)
        for layer in (self.inner, self.outer):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def share(self, states: Tensor, part: int = 0) -> Tensor:
        """What ``states`` [*, width] add to the inner layer as the ``part``-th of the concatenated states: [*, hidden]."""
        weight = self.inner.weight[:, part * self.width : (part + 1) * self.width]
        return nn.functional.linear(states, weight, self.inner.bias if part == 0 else None)

    def logits(self, inner: Tensor) -> Tensor:
        """Logits [*, classes], in float32 at least, of a sum of shares [*, hidden]."""
        logits = self.outer(self.dropout(self.activation(inner)))
        return logits if logits.dtype == torch.float64 else logits.float()
