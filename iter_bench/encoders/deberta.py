"""DeBERTa-v2/v3 with its disentangled attention as one fused product: its terms of position are a bias to `sdpa`.

transformers computes the terms for all positions that there are buckets for, once for each sequence of the batch, and their
buckets in every pass. Here they're computed for the positions that the length reaches, once a batch; buckets are remembered.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DebertaV2Config, DebertaV2Model
from transformers.models.deberta_v2.modeling_deberta_v2 import (
    DebertaV2Encoder,
    DisentangledSelfAttention,
    build_relative_position,
)


@lru_cache(maxsize=16)
@torch.compiler.assume_constant_result
def _buckets(buckets: int, most: int, device: torch.device) -> Tensor:
    """[most + 1] bucket of each distance; all beyond ``most`` have the last one's embedding. Compiled code holds it."""
    with torch.inference_mode(False):
        places = torch.empty(most + 1, 1)
        return build_relative_position(places, places[:1], bucket_size=buckets, max_position=most)[0, :, 0].to(device)


@lru_cache(maxsize=256)
def _relative_positions(length: int, buckets: int, most: int, device: torch.device) -> Tensor:
    """[1, N, N] bucket of each query's distance to each key."""
    with torch.inference_mode(False):
        place = torch.arange(length, device=device)
        distance = place[:, None] - place
        return (distance.sign() * _buckets(buckets, most, device)[distance.abs().clamp_max(most)])[None]


def reached_positions(config: DebertaV2Config, length: int) -> tuple[int, int]:
    """Least and greatest relative position between so many sub-tokens, in buckets, as far as there are embeddings."""
    buckets, most = getattr(config, "position_buckets", -1), getattr(config, "max_relative_positions", -1)
    most = config.max_position_embeddings if most < 1 else most
    span = buckets if buckets > 0 else most
    # compiled code has a symbol for the length, and no table has a bucket of that: as if each distance had its own
    greatest = length - 1 if torch.compiler.is_compiling() else _greatest(length, buckets, most)
    return max(-greatest, -span), min(greatest, span - 1)


@lru_cache(maxsize=4096)
def _greatest(length: int, buckets: int, most: int) -> int:
    return int(_relative_positions(length, buckets, most, torch.device("cpu")).max())


class _Encoder(DebertaV2Encoder):
    def get_rel_pos(self, hidden_states: Tensor, query_states: Any = None, relative_pos: Tensor | None = None) -> Tensor | None:
        if not self.relative_attention:
            return None
        return _relative_positions(
            hidden_states.shape[-2], self.position_buckets, self.max_relative_positions, hidden_states.device
        )


class _Attention(DisentangledSelfAttention):
    def __init__(self, config: DebertaV2Config):
        super().__init__(config)
        self.config = config

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor,
        output_attentions: bool = False,
        query_states: Tensor | None = None,
        relative_pos: Tensor | None = None,
        rel_embeddings: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        if self.config._attn_implementation == "eager":
            return super().forward(hidden_states, attention_mask, output_attentions, query_states, relative_pos, rel_embeddings)
        source = hidden_states if query_states is None else query_states
        query, key, value = (
            self._heads(project(states))
            for project, states in (
                (self.query_proj, source),
                (self.key_proj, hidden_states),
                (self.value_proj, hidden_states),
            )
        )
        kinds = sum(kind in self.pos_att_type for kind in ("c2p", "p2c"))
        scale = 1 / math.sqrt(query.shape[-1] * (1 + kinds))
        mask = attention_mask.bool()
        if self.relative_attention and kinds:
            bias = self._bias(query, key, relative_pos, self.pos_dropout(rel_embeddings)) * scale
            mask = torch.where(mask, bias, torch.finfo(bias.dtype).min)
        dropout = self.dropout.p if self.training else 0.0
        found = nn.functional.scaled_dot_product_attention(query, key, value, mask, dropout, scale=scale)
        return found.transpose(1, 2).flatten(2), None

    def _heads(self, states: Tensor) -> Tensor:
        """[*, N, heads · d] → [*, heads, N, d]."""
        return states.unflatten(-1, (self.num_attention_heads, -1)).transpose(-3, -2)

    def _bias(self, query: Tensor, key: Tensor, relative: Tensor, embeddings: Tensor) -> Tensor:
        """[B, heads, N, N] terms of position, not scaled."""
        span = self.pos_ebd_size
        low, high = reached_positions(self.config, query.shape[-2])
        places = embeddings[span + low : span + high + 1]
        shape = (*query.shape[:-1], query.shape[-2])
        bias = query.new_zeros(())
        if "c2p" in self.pos_att_type:
            of_key = self._heads((self.key_proj if self.share_att_key else self.pos_key_proj)(places))
            index = relative.clamp(low, high) - low
            bias = bias + torch.einsum("bhnd,hpd->bhnp", query, of_key).gather(-1, index.expand(shape))
        if "p2c" in self.pos_att_type:
            of_query = self._heads((self.query_proj if self.share_att_key else self.pos_query_proj)(places))
            index = (-relative).clamp(low, high) - low
            bias = bias + torch.einsum("bhnd,hpd->bhnp", key, of_query).gather(-1, index.expand(shape)).transpose(-1, -2)
        return bias


class DebertaEncoder(DebertaV2Model):
    """DeBERTa with this attention; ``eager`` is transformers' own."""

    _supports_sdpa = True

    def __init__(self, config: DebertaV2Config):
        super().__init__(config)
        self.encoder = _Encoder(config)
        for layer in self.encoder.layer:
            layer.attention.self = _Attention(config)
        self.post_init()
