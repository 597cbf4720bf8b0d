"""An encoder's states for rows of sub-tokens, in which several sequences may stand side by side without seeing each other."""

from __future__ import annotations

import sys

from torch import Tensor
from transformers import PreTrainedModel

from iter_bench.encoders.families import family, first_position, max_length

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

    Args:
        encoder: as ``load_encoder`` gives it.
        input_ids: [R, N] padded on the right.
        segment: [R, N] number of the sequence from 1, 0 for padding.
        position: [R, N] offset in the sequence where several may share a row, if ``shares_rows`` allows it; none: one a row.
        padded: whether there is padding.
    """
    return encoder(input_ids=input_ids, **_options(encoder, segment, position, padded)).last_hidden_state


def states_of_layers(
    encoder: PreTrainedModel, input_ids: Tensor, segment: Tensor, position: Tensor | None, *, padded: bool
) -> tuple[Tensor, ...]:
    """What each layer reads, and the latent representations last, [R, N, δ] each; the arguments are those of ``states``."""
    out = encoder(input_ids=input_ids, output_hidden_states=True, **_options(encoder, segment, position, padded))
    return (*out.hidden_states[:-1], out.last_hidden_state)  # transformers records none where no layer is left


def _options(encoder: PreTrainedModel, segment: Tensor, position: Tensor | None, padded: bool) -> dict[str, Tensor]:
    """Mask and positions.

    The mask is made here, since transformers looks into a mask of two dimensions whether it hides anything, and would wait
    for the device.
    """
    if not padded and position is None:
        return {}
    if not shares_rows(encoder):
        return {"attention_mask": (segment > 0).long()}
    if position is None:
        return {"attention_mask": (segment > 0)[:, None, None].expand(-1, -1, segment.shape[1], -1)}
    mask = (segment[:, None, :] == segment[:, :, None])[:, None]  # padding sees padding: no query is left without a key
    first = first_position(encoder.config)
    places = {} if first is None else {"position_ids": position + first}
    return {"attention_mask": mask, **places}
