"""One Transformer decoder for every family: T5's, BART's, and the one that is warm-started from BERT or RoBERTa.

The families differ in the few points that ``Shape`` names; ``warm_start`` fills in their weights. The same code serves
training, where all outputs are given at once, and decoding, where a ``Cache`` holds the keys and values of earlier outputs.
Projections of one input are one matrix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, scaled_dot_product_attention
from transformers.activations import ACT2FN


@dataclass(frozen=True, slots=True)
class Shape:
    """What a decoder looks like.

    Attributes:
        layers, width, heads, head_width, inner: sizes.
        activation: of the feed-forward layers, as transformers names it; gated: whether they have a gate.
        eps: of the norms.
        t5: RMS norms before each part and one at the end, no biases, unscaled attention, relative positions; otherwise layer
            norms after each part and one after the embedding, biases, scaled attention, learned positions.
        positions: how many learned positions there are; of T5, how many buckets of relative ones.
        max_distance: of T5's relative positions.
        layerwise: whether each layer reads what the encoder's layer of its number reads; otherwise, the encoder's output.
        embedding_scale: factor on the embeddings of sub-tokens.
        dropout, attention_dropout: in training.
    """

    layers: int
    width: int
    heads: int
    head_width: int
    inner: int
    activation: str
    gated: bool
    eps: float
    t5: bool
    positions: int
    max_distance: int = 0
    layerwise: bool = False
    embedding_scale: float = 1.0
    dropout: float = 0.1
    attention_dropout: float = 0.1


class Memory:
    """What the decoder reads of the encoder.

    Attributes:
        layers: keys and values of each layer, [B, heads, N, head width].
        mask: [B, 1, 1, N] which sub-tokens are real.
    """

    def __init__(self, layers: list[tuple[Tensor, Tensor]], mask: Tensor):
        self.layers = layers
        self.mask = mask

    @classmethod
    def joined(cls, parts: Sequence[Memory]) -> Memory:
        """The rows of all parts, one below the other, those of shorter parts padded."""
        if len(parts) == 1:
            return parts[0]
        longest = max(part.mask.shape[3] for part in parts)

        def padded(states: Tensor) -> Tensor:
            return nn.functional.pad(states, (0, 0, 0, longest - states.shape[2]))

        layers = [
            tuple(torch.cat([padded(states) for states in same]) for same in zip(*of_layer, strict=True))
            for of_layer in zip(*(part.layers for part in parts), strict=True)
        ]
        masks = [nn.functional.pad(part.mask, (0, longest - part.mask.shape[3])) for part in parts]
        return cls(layers, torch.cat(masks))

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but the given ones."""
        self.layers = [(k.index_select(0, rows), v.index_select(0, rows)) for k, v in self.layers]
        self.mask = self.mask.index_select(0, rows)


class Cache:
    """Keys and values of the outputs so far, two tensors [B, room, heads, head width] a layer; it grows as needed.

    Two, since compiled code writes into a tensor in place, and into a part of one by copying it whole.

    Attributes:
        used: how many outputs the attention looks at; set by the caller before each pass.
    """

    def __init__(self, shape: Shape, rows: int, room: int, like: Tensor):
        size = (rows, room, shape.heads, shape.head_width)
        # what is masked is multiplied by 0, so it has to be a number
        self.layers = [(like.new_zeros(size), like.new_zeros(size)) for _ in range(shape.layers)]
        self.used = 0

    def use(self, outputs: int) -> None:
        """Makes room for so many outputs, all of which the attention may look at."""
        self.used = outputs
        room = self.layers[0][0].shape[1]
        if (more := outputs - room) > 0:
            pad = (0, 0, 0, 0, 0, max(more, room // 2))
            self.layers = [(nn.functional.pad(k, pad), nn.functional.pad(v, pad)) for k, v in self.layers]

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but the given ones."""
        self.layers = [(k.index_select(0, rows), v.index_select(0, rows)) for k, v in self.layers]

    def extend(self, layer: int, row: Tensor, slots: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Stores k and v [B, q, heads, head width] at ``slots`` [B, q] and returns what attention looks at."""
        keys, values = self.layers[layer]
        keys.index_put_((row, slots), k.to(keys.dtype))
        values.index_put_((row, slots), v.to(values.dtype))
        return keys[:, : self.used], values[:, : self.used]


class _Layer(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        inner, bias = shape.heads * shape.head_width, not shape.t5
        self.self_qkv = nn.Linear(shape.width, 3 * inner, bias=bias)
        self.self_out = nn.Linear(inner, shape.width, bias=bias)
        self.self_norm = _norm(shape)
        self.cross_q = nn.Linear(shape.width, inner, bias=bias)
        self.cross_kv = nn.Linear(shape.width, 2 * inner, bias=bias)
        self.cross_out = nn.Linear(inner, shape.width, bias=bias)
        self.cross_norm = _norm(shape)
        self.ffn_in = nn.Linear(shape.width, (1 + shape.gated) * shape.inner, bias=bias)
        self.ffn_out = nn.Linear(shape.inner, shape.width, bias=bias)
        self.ffn_norm = _norm(shape)
        self.activation = ACT2FN[shape.activation]

    def split(self, projected: Tensor, parts: int) -> list[Tensor]:
        """[B, N, parts · inner] → ``parts`` of [B, N, heads, head width]."""
        return list(projected.unflatten(-1, (parts, self.shape.heads, self.shape.head_width)).unbind(2))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        """q [B, q, heads, head width], k and v [B, heads, N, head width] → [B, q, inner]."""
        rate = self.shape.attention_dropout if self.training else 0.0
        scale = 1.0 if self.shape.t5 else None
        out = scaled_dot_product_attention(q.transpose(1, 2), k, v, mask, rate, causal, scale=scale)
        return out.transpose(1, 2).flatten(2)

    def forward(
        self, x: Tensor, memory: tuple[Tensor, Tensor], memory_mask: Tensor, mask: Tensor | None, extend=None
    ) -> Tensor:
        """States after the layer; ``extend`` turns new keys and values into all of them."""
        q, k, v = self.split(self.self_qkv(self.self_norm(x) if self.shape.t5 else x), 3)
        if extend is not None:
            k, v = extend(k, v)
        attended = self.attend(q, k.transpose(1, 2), v.transpose(1, 2), mask, causal=mask is None)
        x = self._add(x, self.self_out(attended), self.self_norm)
        (q,) = self.split(self.cross_q(self.cross_norm(x) if self.shape.t5 else x), 1)
        attended = self.attend(q, *memory, memory_mask, causal=False)
        x = self._add(x, self.cross_out(attended), self.cross_norm)
        inner = self.ffn_in(self.ffn_norm(x) if self.shape.t5 else x)
        if self.shape.gated:
            gate, inner = inner.chunk(2, dim=-1)
            inner = self.activation(gate) * inner
        else:
            inner = self.activation(inner)
        if self.shape.t5:
            inner = dropout(inner, self.shape.dropout, self.training)
        return self._add(x, self.ffn_out(inner), self.ffn_norm)

    def _add(self, x: Tensor, part: Tensor, norm: nn.Module) -> Tensor:
        x = x + dropout(part, self.shape.dropout, self.training)
        return x if self.shape.t5 else norm(x)


def _norm(shape: Shape) -> nn.Module:
    norm = nn.RMSNorm if shape.t5 else nn.LayerNorm
    return norm(shape.width, eps=shape.eps)


class Decoder(nn.Module):
    """The decoder of ``shape``; embeddings of sub-tokens are the encoder's and come from outside."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.layers))
        self.norm = _norm(shape)
        if shape.t5:
            self.relative_bias = nn.Embedding(shape.positions, shape.heads)
        else:
            self.position_embeddings = nn.Embedding(shape.positions, shape.width)

    def memory(self, read: Sequence[Tensor], attention_mask: Tensor) -> Memory:
        """Keys and values of what each layer reads, encoder states [B, N, width]; computed once for all outputs."""
        layers = []
        for layer, states in zip(self.layers, read, strict=True):
            k, v = layer.split(layer.cross_kv(states), 2)
            layers.append((k.transpose(1, 2), v.transpose(1, 2)))
        return Memory(layers, attention_mask.bool()[:, None, None, :])

    def forward(
        self, embedded: Tensor, positions: Tensor, memory: Memory, slots: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        """States [B, q, width] of q outputs a row.

        Args:
            embedded: [B, q, width] embeddings of the outputs' sub-tokens.
            positions: [B, q] where in the encoder's input each output stands (``Source.positions``); T5 doesn't need it.
            memory: of ``memory``.
            slots: [B, q] which output of its row each is, with ``cache``; none: they are all outputs from the first on.
            cache: earlier outputs; the new ones are added.
        """
        x = embedded * self.shape.embedding_scale if self.shape.embedding_scale != 1 else embedded
        if not self.shape.t5:
            x = self.norm(x + self.position_embeddings(positions))
        x = dropout(x, self.shape.dropout, self.training)
        mask = self._mask(x, slots, cache)
        row = None if slots is None else torch.arange(len(slots), device=slots.device)[:, None]
        for i, layer in enumerate(self.layers):
            extend = None if cache is None else lambda k, v, i=i: cache.extend(i, row, slots, k, v)
            x = layer(x, memory.layers[i], memory.mask, mask, extend)
        return dropout(self.norm(x), self.shape.dropout, self.training) if self.shape.t5 else x

    def _mask(self, x: Tensor, slots: Tensor | None, cache: Cache | None) -> Tensor | None:
        """What an output looks at: [B or 1, 1 or heads, q, keys], true or a bias; none where being causal is all."""
        if slots is None:
            if not self.shape.t5:
                return None
            slots = torch.arange(x.shape[1], device=x.device)[None]
        keys = torch.arange(x.shape[1] if cache is None else cache.used, device=x.device)
        distance = slots[:, :, None] - keys
        if not self.shape.t5:
            return (distance >= 0)[:, None]
        bias = self.relative_bias(buckets(distance.clamp_min(0), self.shape.positions, self.shape.max_distance))
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        # in the attention's own type and laid out for it: CUDA's fast kernels take no other
        return bias.masked_fill((distance < 0)[..., None], -torch.inf).permute(0, 3, 1, 2).contiguous().to(dtype)


def write(decoder: Decoder, embedded: Tensor, positions: Tensor, memory: Memory, slots: Tensor, cache: Cache) -> Tensor:
    """The next outputs' states, as a function that compiled code can stand in for."""
    return decoder(embedded, positions, memory, slots, cache)


def buckets(distance: Tensor, count: int, max_distance: int) -> Tensor:
    """T5's bucket of each distance ≥ 0: half of them are exact, the others grow with the logarithm up to ``max_distance``."""
    exact = count // 2
    scale = (count - exact) / math.log(max_distance / exact)
    coarse = exact + (torch.log(distance.clamp_min(1).float() / exact) * scale).long()
    return torch.where(distance < exact, distance, coarse.clamp_max(count - 1))
