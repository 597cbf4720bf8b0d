"""What is decided from logits: all that shapes an output is here, so that a given structure can be put in its place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from baselines.asp.actions import CLOSE, COPY, OPEN
from baselines.asp.batch import padded
from baselines.asp.imposed import CLOSES, OPENS, Imposed
from iter_bench.devices import moved


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


class Given:
    """The decisions of a given structure instead; the logits that would have decided are computed all the same.

    Args:
        structure: of each source of the batch.
        lookahead: how far beyond the end of a source a pass looks.
        device: where the logits are.
    """

    def __init__(self, structure: Sequence[Imposed], lookahead: int, device: torch.device):
        def upload(array: np.ndarray) -> Tensor:
            return moved(torch.from_numpy(array), device)

        self._marks = upload(padded([of.marks for of in structure], 0, max(len(of.marks) for of in structure) + lookahead))
        self._types = upload(np.concatenate([of.types for of in structure]))
        self._links = upload(np.concatenate([of.classes for of in structure]))

    def actions(self, opening: Tensor, closing: Tensor, rows: Tensor, pointer: Tensor) -> Tensor:
        """As ``Greedy.actions``; which of two brackets at one place is next follows from which of them is valid."""
        marks = self._marks[rows[:, None], pointer]
        closes = (marks & CLOSES > 0) & (closing > -torch.inf)
        opens = (marks & OPENS > 0) & (opening > -torch.inf)
        return torch.where(closes, CLOSE, torch.where(opens, OPEN, COPY))

    def types(self, logits: Tensor) -> Tensor:
        """As ``Greedy.types``."""
        return self._types

    def links(self, logits: Tensor) -> Tensor:
        """As ``Greedy.links``."""
        return self._links
