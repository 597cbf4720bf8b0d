"""From logits to brackets, spans and pairs, on the device, without a loop and without waiting for it (sections 3.1, 3.2).

Every step works on flat lists over the whole batch. How long such a list gets is only known on the device; ``size`` fixes
it beforehand where waiting is dear (a GPU), and none takes the exact number (the CPU, where asking costs nothing).
"""

from __future__ import annotations

import torch
from torch import Tensor


def nonzero(mask: Tensor, size: int | None) -> tuple[Tensor, Tensor]:
    """Indices at which the one-dimensional ``mask`` is true, ascending, and which of them are real: [K], [K].

    With ``size`` the list has exactly that length; missing indices are 0 and not real, further ones are left out.
    """
    if size is None:
        index = mask.nonzero().squeeze(1)
        return index, torch.ones_like(index, dtype=torch.bool)
    index = torch.nonzero_static(mask, size=size, fill_value=-1).squeeze(1)
    return index.clamp_min(0), index >= 0


def closest_lefts(is_left: Tensor, window: Tensor, omega: int) -> tuple[Tensor, Tensor]:
    """For every slot m its ω closest left brackets n ≤ m of the same window, closest first (eq. 12).

    Args:
        is_left: [S] where left brackets stand.
        window: [S] ascending.

    Returns:
        [S, ω] ordinal numbers among all left brackets of the batch, clamped to 0 where there is none; [S, ω] which exist.
    """
    count = is_left.long().cumsum(0)
    before_window = torch.searchsorted(window, window)  # first slot of the slot's window
    base = (count - is_left.long())[before_window]
    ordinal = count[:, None] - 1 - torch.arange(omega, device=count.device)
    exists = ordinal >= base[:, None]
    return ordinal.clamp_min(0), exists


def decide_spans(logits: Tensor, exists: Tensor, decision: str, no_span_class: bool) -> tuple[Tensor, Tensor]:
    """Which candidate pairs are spans, of which types (eq. 5).

    Args:
        logits: [C, η]; exists: [C] whether the candidate is real.
        decision: ``argmax`` or ``threshold``, as in the configuration.

    Returns:
        [C, T] whether the candidate is a span of that type; [C, T] probabilities.
    """
    if decision == "threshold":
        return (logits > 0) & exists[:, None], logits.sigmoid()
    if not no_span_class:  # "no action" is a logit of 0, and stands last like the class of its own
        logits_and_none = torch.cat((logits, logits.new_zeros(len(logits), 1)), dim=1)
        found = logits.logsumexp(dim=1) > 0
        best = logits.argmax(dim=1)
    else:
        logits_and_none, logits = logits, logits[:, :-1]
        best = logits.argmax(dim=1)
        found = logits.amax(dim=1) > logits_and_none[:, -1]
    chosen = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, best[:, None], (found & exists)[:, None])
    return chosen, logits_and_none.softmax(dim=1)[:, :-1]


def pairs_within(window: Tensor, real: Tensor, windows: int, size: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """All ordered pairs of entities of the same window, an entity with itself included.

    Args:
        window: [E] row of the batch of each entity, ascending among the real ones, which stand first.
        real: [E].
        windows: B.

    Returns:
        heads and tails, [P] each, and how many pairs there are in truth: a tensor of one number.
    """
    count = torch.zeros(windows, dtype=torch.long, device=window.device).index_add_(0, window, real.long())
    first = count.cumsum(0) - count
    partners = count[window] * real
    end = partners.cumsum(0)
    total = end[-1:] if len(end) else torch.zeros(1, dtype=torch.long, device=window.device)
    size = int(total) if size is None else size
    pair = torch.arange(size, device=window.device)
    if not len(window):
        return pair, pair, total
    head = torch.searchsorted(end, pair, right=True).clamp_max(len(window) - 1)
    tail = first[window[head]] + pair - (end[head] - partners[head])
    return head, tail.clamp_max(len(window) - 1), total
