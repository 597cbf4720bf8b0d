"""What is decided from logits: all that shapes an output is here, so that a given structure can be put in its place."""

from __future__ import annotations

import torch
from torch import Tensor

from baselines.asp.actions import CLOSE, OPEN


class Greedy:
    """The best action at each step, the best type of each entity, the best class of each pair (beam 1, as released)."""

    def actions(self, opening: Tensor, closing: Tensor, rows: Tensor, pointer: Tensor) -> Tensor:
        """The actions [A, q]; a tie is a copy, whose logit is 0.

        Args:
            opening, closing: [A, q] logits of ``<m>`` and ``</m>``, -inf where they aren't valid.
            rows: [A] which sources of the batch these are.
            pointer: [A, q] sub-tokens copied so far.
        """
        best = torch.where(closing > opening, CLOSE, OPEN)
        return torch.where(torch.maximum(opening, closing) > 0, best, 0)

    def types(self, logits: Tensor) -> Tensor:
        """The type [E] of each entity from its logits [E, types]."""
        return logits.argmax(1)

    def links(self, logits: Tensor) -> Tensor:
        """The class [P] of each pair from its logits [P, 1 + 2·|T_R|]; 0 is none."""
        return logits.argmax(1)
