"""An encoder's states for rows of sub-tokens, in which several sequences may stand side by side without seeing each other."""

from __future__ import annotations

import sys

from torch import Tensor
from transformers import PreTrainedModel

from iter_bench.encoders.families import family, max_length

WIDTHS = 64
"""Shared rows are as wide as a multiple of this; the sequences side by side leave little of them empty."""


def shares_rows(encoder: PreTrainedModel) -> bool:
    """Whether sequences may share a row, which needs a mask of each query with each key, as the family's ``sdpa`` takes it."""
    return family(encoder.config).packs and encoder.config._attn_implementation == "sdpa"


def row_width(encoder: PreTrainedModel, longest: int) -> int:
    """How wide rows that sequences share should be where the longest has so many sub-tokens: few different widths."""
    return min(-(-longest // WIDTHS) * WIDTHS, max_length(encoder.config) or sys.maxsize)


def states(encoder: PreTrainedModel, input_ids: Tensor, segment: Tensor, position: Tensor | None, *, padded: bool) -> Tensor:
    """Latent representations [R, N, δ]; what they are at padding is of no use.

    The mask is made here, since transformers looks into a mask of two dimensions whether it hides anything, and would wait
    for the device.

    Args:
        encoder: as ``load_encoder`` gives it.
        input_ids: [R, N] padded on the right.
        segment: [R, N] number of the sequence from 1, 0 for padding.
        position: [R, N] offset in the sequence where several may share a row, if ``shares_rows`` allows it; none: one a row.
        padded: whether there is padding.
    """
    if not padded and position is None:
        return encoder(input_ids=input_ids).last_hidden_state
    if not shares_rows(encoder):
        return encoder(input_ids=input_ids, attention_mask=(segment > 0).long()).last_hidden_state
    if position is None:
        mask = (segment > 0)[:, None, None].expand(-1, -1, segment.shape[1], -1)
        return encoder(input_ids=input_ids, attention_mask=mask).last_hidden_state
    mask = (segment[:, None, :] == segment[:, :, None])[:, None]  # padding sees padding: no query is left without a key
    first = family(encoder.config).first_position(encoder.config)
    places = {} if first is None else {"position_ids": position + first}
    return encoder(input_ids=input_ids, attention_mask=mask, **places).last_hidden_state
