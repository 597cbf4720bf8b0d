"""The losses of appendix B on the logits of all candidates at once; each is a sum over positions or pairs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def is_left_loss(logits: Tensor, is_left: Tensor) -> Tensor:
    """Eq. 10: LSE(γ, 0) minus the correct one of the two, which is binary cross-entropy. Both arguments [S]."""
    return F.binary_cross_entropy_with_logits(logits, is_left.to(logits.dtype), reduction="sum")


def is_span_loss(logits: Tensor, classes: Tensor, at_right: Tensor, no_span_class: bool) -> Tensor:
    """Eq. 11 and 12: LSE over the types and "no action" (a logit of 0), minus LSE over the correct ones.

    With ``no_span_class`` (released code, ω > 1) the last class is "no span", and the logit of 0 is correct too, but only
    where no gold span ends.

    Args:
        logits: [C, η] of each candidate pair (n, m).
        classes: [C, η] the correct classes.
        at_right: [C] whether any gold span ends at m.
    """
    zero = logits.new_zeros(len(logits), 1)
    no_action = ~at_right if no_span_class else ~classes.any(dim=1)
    correct = torch.cat((no_action[:, None], classes), dim=1)
    logits = torch.cat((zero, logits), dim=1)
    return (logits.logsumexp(dim=1) - logits.masked_fill(~correct, float("-inf")).logsumexp(dim=1)).sum()


def is_link_loss(logits: Tensor, links: Tensor) -> Tensor:
    """Eq. 13: binary cross-entropy of every relation type of every pair; both arguments [P, φ]."""
    return F.binary_cross_entropy_with_logits(logits, links.to(logits.dtype), reduction="sum")
