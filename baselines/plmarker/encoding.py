"""Text and levitated markers through an encoder: as packs, or with the text encoded once for all its markers.

Text attends to text; a marker attends to the text, itself and its partner. Both functions give the same states.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import dropout, scaled_dot_product_attention
from transformers import PreTrainedModel

from baselines.plmarker.layers import embed, layers_of
from baselines.plmarker.packing import Batch
from iter_bench.encoders import first_position


def packed(encoder: PreTrainedModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """As released: each pack is a sequence of its own, text included, with a mask of [sequence, sequence].

    Returns:
        States of the text that the classifiers read [R, hidden], and of the markers [2Q, hidden].
    """
    packs, length = batch.packs, batch.longest
    text, markers = batch.input_ids.split([batch.text_rows, len(batch.marker_cell)])
    start, end = length + packs.slot, length + packs.size + packs.slot
    rows = torch.cat((packs.pair, packs.pair)), torch.cat((start, end))
    ids = text.new_full((batch.examples * length,), encoder.config.pad_token_id).index_copy(0, batch.text_cell, text)
    ids = torch.cat((ids.view(-1, length)[packs.example], ids.new_zeros(len(packs.example), 2 * packs.size)), 1)
    positions = torch.arange(ids.shape[1], device=ids.device) + first_position(encoder.config)
    positions = positions.masked_fill(positions >= positions[0] + length, 0).expand(len(ids), -1).clone()
    ids[rows] = markers
    positions[rows] = batch.positions[batch.text_rows :]
    hidden = encoder(
        input_ids=ids,
        position_ids=positions,
        attention_mask=_bias(packed_mask(batch), encoder.dtype),
    ).last_hidden_state
    text_rows = packs.opening[batch.text_cell // length] * hidden.shape[1] + batch.text_cell % length
    return hidden.flatten(0, 1)[text_rows[batch.read]], hidden[rows]


def packed_mask(batch: Batch) -> Tensor:
    """Who may attend to whom in each pack: [packs, longest + 2 · size, the same], queries first."""
    packs, length = batch.packs, batch.longest
    sequence = length + 2 * packs.size
    mask = torch.zeros(len(packs.example), sequence, sequence, dtype=torch.bool, device=batch.text_cell.device)
    mask[:, :, :length] = batch.text_mask[packs.example, None]
    mask[:, length:, length:] = torch.eye(packs.size, dtype=torch.bool, device=mask.device).repeat(2, 2)
    return mask


def _bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to the scores, [..., 1, queries, keys]."""
    return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)[:, None]


def shared_text(encoder: PreTrainedModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Encodes each text once. Rows of text and markers share every linear layer, without padding.

    The last layer computes only what the classifiers read. Returns what ``packed`` returns.
    """
    heads = encoder.config.num_attention_heads
    rate = encoder.config.attention_probs_dropout_prob if encoder.training else 0.0
    layers = layers_of(encoder)
    hidden = embed(encoder, batch.input_ids, batch.positions)
    count = batch.text_rows
    table = (batch.text_cell, batch.examples, batch.longest, heads)
    marker_table = (batch.marker_cell, batch.examples, 2 * batch.most, heads)
    mask = None if count == batch.examples * batch.longest else batch.text_mask[:, None, None]
    for layer in layers:
        key, value = layer.key(hidden), layer.value(hidden)
        text_key, text_value = _padded(key[:count], *table), _padded(value[:count], *table)
        asking, query_table = hidden, table
        if layer is layers[-1]:
            asking = torch.cat((hidden[batch.read], hidden[count:]))
            query_table = (batch.read_cell, batch.examples, batch.widest, heads)
        # split, not sliced: with sizes left open, torch 2.13's inductor computes other numbers from the second slice
        text_query, query = layer.query(asking).split([len(query_table[0]), len(batch.marker_cell)])
        attended = scaled_dot_product_attention(
            _padded(text_query, *query_table), text_key, text_value, attn_mask=mask, dropout_p=rate
        )
        of_text = _flat(attended, query_table[0])
        of_markers = _attend_markers(query, key[count:], value[count:], text_key, text_value, mask, marker_table, rate)
        hidden = layer.finish(torch.cat((of_text, of_markers)), asking)
    return hidden.split([len(batch.read), len(batch.marker_cell)])


def _attend_markers(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    text_key: Tensor,
    text_value: Tensor,
    mask: Tensor | None,
    table: tuple[Tensor, int, int, int],
    rate: float,
) -> Tensor:
    """Attention of markers [2Q, hidden] to their text [B, heads, N, width], themselves and their partners.

    One softmax over N + 2 scores a marker: the cost is markers × text, whatever the number of markers.
    """
    cells, heads = table[0], table[-1]
    length, pairs = text_key.shape[2], len(query) // 2
    padded = _padded(query * text_key.shape[-1] ** -0.5, *table)
    by_head = (len(query), heads, -1)
    query, key, value = query.view(by_head), key.view(by_head), value.view(by_head)
    # rows i and Q + i are partners
    partner = key.roll(pairs, 0)
    own = torch.stack(((query * key).sum(-1), (query * partner).sum(-1)), -1) * text_key.shape[-1] ** -0.5
    scores = padded @ text_key.transpose(2, 3)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    scores = torch.cat((scores, _padded(own.flatten(1), *table)), -1)
    # bfloat16 is too coarse for weights, and autocast doesn't widen them on a CPU
    weights = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32))
    weights = dropout(weights, rate, training=rate > 0).to(value.dtype)
    of_text = _flat(weights[..., :length] @ text_value, cells).view(by_head)
    own = _flat(weights[..., length:], cells).view(by_head)
    return (of_text + own[..., :1] * value + own[..., 1:] * value.roll(pairs, 0)).flatten(1)


def _padded(rows: Tensor, cells: Tensor, examples: int, columns: int, heads: int) -> Tensor:
    """[rows, heads · width] → [examples, heads, columns, width], 0 where there's no row."""
    table = rows.new_zeros(examples * columns, rows.shape[1]).index_copy(0, cells, rows)
    return table.view(examples, columns, heads, -1).transpose(1, 2)


def _flat(table: Tensor, cells: Tensor) -> Tensor:
    """The inverse of ``_padded``."""
    return table.transpose(1, 2).flatten(2).flatten(0, 1).index_select(0, cells)


PATHS = {"packed": packed, "shared_text": shared_text}
