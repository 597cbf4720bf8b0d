"""ASP as one module: encoder, decoder, three heads, and the loss.

A decoder state scores what is written next: copy with the constant 0, ``<m>`` with ``open_head``, ``</m>`` with ``type_head``
over the state that wrote the last ``<m>`` and the current one. At ``</m>``, ``link_head`` compares with every earlier ``</m>``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from transformers import AutoConfig, PreTrainedModel

from baselines.asp.batch import Batch
from baselines.asp.configuration import AspConfig
from baselines.asp.decoder import Decoder, write
from baselines.asp.heads import Scorer
from baselines.asp.warm_start import drop_last_layer, shape_of
from iter_bench.devices import ForgetsLowered
from iter_bench.encoders import encoder_from_config, states, states_of_layers
from iter_bench.observation.shown import show

HEADS = ("open_head.", "type_head.", "link_head.")
PAIRS_AT_ONCE = 2**17
"""Pairs of entities that are combined at a time: a batch of long documents has more than memory holds."""


def _without_padding(input_ids: Tensor, attention_mask: Tensor) -> Iterator[tuple[int, ...]]:
    for ids, mask in zip(input_ids.tolist(), attention_mask.tolist(), strict=True):
        yield tuple(token for token, real in zip(ids, mask, strict=True) if real)


class AspModel(ForgetsLowered, nn.Module):
    """ASP with new weights, or with the given encoder and decoder."""

    def __init__(self, config: AspConfig, encoder: PreTrainedModel | None = None, decoder: Decoder | None = None):
        super().__init__()
        self.config = config
        self.encoder = encoder or encoder_from_config(AutoConfig.for_model(**config.encoder))
        self.decoder = decoder or Decoder(shape_of(self.encoder.config))
        if self.decoder.shape.layerwise:
            drop_last_layer(self.encoder)
        self.read: Callable[..., Tensor | tuple[Tensor, ...]] = states_of_layers if self.decoder.shape.layerwise else states
        self.write: Callable[..., Tensor] = write
        width, own = self.decoder.shape.width, config.settings
        options = {"activation": own.activation, "rate": own.dropout, "std": own.init_std}
        self.open_head = Scorer(1, width, own.hidden, 1, **options)
        self.type_head = Scorer(2, width, own.hidden, len(config.entity_types), **options)
        if config.relation_types:
            self.link_head = Scorer(2, width, own.hidden, config.link_classes, **options)

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings of sub-tokens; encoder and decoder share them, as T5's do."""
        return nn.functional.embedding(ids, self.encoder.get_input_embeddings().weight)

    def encode(self, input_ids: Tensor, attention_mask: Tensor, padded: bool) -> tuple[Tensor, ...]:
        """What each layer of the decoder reads of the encoder, [B, N, width]; ``padded``: whether the mask hides anything."""
        read = self.read(self.encoder, input_ids, attention_mask, None, padded=padded)
        layers = read if self.decoder.shape.layerwise else (read,) * self.decoder.shape.layers
        show(_without_padding(input_ids, attention_mask), lambda row: layers[-1][row, attention_mask[row] > 0])
        return layers

    def states(self, batch: Batch) -> Tensor:
        """The decoder's states with all outputs given, [B, L, width]."""
        memory = self.decoder.memory(self.encode(batch.input_ids, batch.attention_mask, batch.padded), batch.attention_mask)
        return self.decoder(self.embed(batch.decoder_ids), batch.positions, memory)

    def action_logits(self, states: Tensor, paired: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits of ``<m>`` [S] and of ``</m>`` with each type [C, types].

        Args:
            states: [B · L, width].
            paired: the same for the pair scorer, which drops some of it out in training.
            batch: says which.
        """
        opening = self.open_head.logits(self.open_head.share(states[batch.steps])).squeeze(1)
        left = self.type_head.share(paired[batch.left_rows]).index_select(0, batch.left)
        shares = left + self.type_head.share(paired[batch.close_rows], 1)
        return opening, self.type_head.logits(shares)

    def link_logits(self, states: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Logits [P, 1 + 2·|T_R|] of pairs of rows of ``states``."""
        left, right = self.link_head.share(states), self.link_head.share(states, 1)
        parts = zip(first.split(PAIRS_AT_ONCE), second.split(PAIRS_AT_ONCE), strict=True)
        return torch.cat([self.link_head.logits(left[one] + right[other]) for one, other in parts])

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss's two parts, each summed over its positions and divided by the number of samples."""
        states = self.states(batch).flatten(0, 1)
        paired = dropout(states, self.config.settings.dropout, self.training)
        opening, closing = self.action_logits(states, paired, batch)
        opening = opening.masked_fill(~batch.may_open, -torch.inf)
        absent = torch.full_like(opening, -torch.inf)
        competing = torch.stack(
            (torch.zeros_like(opening), opening, absent.index_put((batch.close_at,), closing.logsumexp(1))), dim=1
        )
        right = torch.where(batch.opens, opening, 0.0)
        right = right.index_put((batch.close_at[batch.gold_close],), closing[batch.gold_close, batch.gold_types])
        size = len(batch.input_ids)
        losses = {"actions": (competing.logsumexp(1) - right).sum() / size}
        if self.config.relation_types:
            logits = self.link_logits(paired[batch.right_rows], batch.first, batch.second)
            right = logits.masked_fill(~batch.classes, -torch.inf)
            losses["links"] = (logits.logsumexp(1) - right.logsumexp(1)).sum() / size
        return losses
