"""Floating-point operations of ITER for given documents, from shapes: the encoder, and section 3.5's heads as they're computed.

Each vector is projected once for each role that it has (left or right bracket, tail or head), and pairs cost the last layer
only. Counted is what the structure needs: left brackets at which no entity starts are not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from iter_bench.encoders.flops import encoder_flops
from iter_bench.iter_model.heads import GatedFeedForward
from iter_bench.iter_model.imposed import Imposed
from iter_bench.iter_model.modeling import IterModel


def iter_flops(model: IterModel, lengths: Sequence[int], structure: Sequence[Imposed]) -> int:
    """Operations for windows of ``lengths`` sub-tokens with that structure; see `iter_bench.encoders.flops`."""
    return sum(
        encoder_flops(model.encoder, length) + _heads(model, window) for length, window in zip(lengths, structure, strict=True)
    )


def _heads(model: IterModel, window: Imposed) -> int:
    omega = model.config.omega
    slots, lefts, entities = len(window.is_left), int(window.is_left.sum()), window.entities
    before = np.cumsum(window.is_left)  # left brackets up to each slot
    candidates = int(np.minimum(before, omega).sum())
    rights = candidates if omega == 1 else slots
    work = slots * (_project(model.is_left) + _combine(model.is_left))
    work += (lefts + rights) * _project(model.is_span) + candidates * _combine(model.is_span)
    if model.config.relation_types:
        ends = model.is_link.wi.in_features // model.is_link.width_in
        work += entities * ends * _project(model.is_link) + entities**2 * _combine(model.is_link)
    return work


def _project(head: GatedFeedForward) -> int:
    """One vector's share of the first layer."""
    return 2 * head.width_in * head.wi.out_features * (1 if head.gate is None else 2)


def _combine(head: GatedFeedForward) -> int:
    """Last layer, from the inner vector to the logits."""
    return 2 * head.wo.in_features * head.wo.out_features
