"""The model of either stage: an encoder, and linear classifiers of marker pairs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerFast

from baselines.plmarker.configuration import Execution
from baselines.plmarker.encoding import PATHS
from baselines.plmarker.packing import Batch
from iter_bench.devices import ForgetsLowered
from iter_bench.encoders import encoder_from_config
from iter_bench.observation.shown import show

HEADS = ("classifier.", "type_classifier.")


class PairModel(ForgetsLowered, nn.Module):
    """Scores marker pairs by four states: of the two markers, and of two sub-tokens of the text.

    In stage 1 these sub-tokens are the ends of the span, in stage 2 the solid markers of the subject. The sum of a linear map
    of the subject and one of the object, as published, is the one linear map over both used here.

    Args:
        encoder: with embeddings of the markers as its last ``markers`` ones.
        markers: how many kinds of markers there are; the last two are the levitated ones.
        classes: of a pair, NIL included.
        types: of the span that a pair marks, NIL included; 0: this model doesn't predict it.
        rate: of dropout; none: the encoder's.
    """

    def __init__(self, encoder: PreTrainedModel, markers: int, classes: int, types: int, rate: float | None):
        super().__init__()
        self.encoder = encoder
        self.paths: dict[Execution, Callable[..., tuple[Tensor, Tensor]]] = dict(PATHS)
        self.first_marker = encoder.config.vocab_size - markers
        hidden, deviation = encoder.config.hidden_size, encoder.config.initializer_range
        self.dropout = nn.Dropout(encoder.config.hidden_dropout_prob if rate is None else rate)
        self.classifier = nn.Linear(4 * hidden, classes)
        self.type_classifier = nn.Linear(2 * hidden, types) if types else None
        for head in (self.classifier, self.type_classifier):
            if head is not None:
                nn.init.normal_(head.weight, std=deviation)
                nn.init.zeros_(head.bias)

    def forward(self, batch: Batch, execution: Execution) -> tuple[Tensor, Tensor | None]:
        """Logits of the pairs' classes [Q, classes] and types [Q, types]."""
        text, markers = (self.dropout(states) for states in self.paths[execution](self.encoder, batch))
        show(batch.contents(), lambda number: scored(text, markers, batch, batch.example_of_pair == number))
        pairs = torch.cat(markers.chunk(2), 1)
        of_pair, of_left, of_right = self.classifier.weight.split([pairs.shape[1], text.shape[1], text.shape[1]], dim=1)
        # each state of the text is projected once, however many pairs read it
        logits = linear(pairs, of_pair, self.classifier.bias)
        for weight, rows in ((of_left, batch.left), (of_right, batch.right)):
            logits = logits + linear(text, weight).index_select(0, rows)
        return logits, None if self.type_classifier is None else self.type_classifier(pairs)

    def losses(self, batch: Batch, execution: Execution) -> dict[str, Tensor]:
        """Cross-entropies, each the mean over the pairs of the batch."""
        classes, types = self(batch, execution)
        losses = {"classes": cross_entropy(classes, batch.classes)}
        if types is not None:
            losses["types"] = cross_entropy(types, batch.types)
        return losses


def scored(text: Tensor, markers: Tensor, batch: Batch, pairs: Tensor | slice = slice(None)) -> Tensor:
    """The four states that each pair, or those that ``pairs`` selects, is scored by, side by side: [Q, 4 · hidden]."""
    start, end = markers.chunk(2)
    return torch.cat((start[pairs], end[pairs], text[batch.left[pairs]], text[batch.right[pairs]]), 1)


def with_markers(encoder: PreTrainedModel, like: Sequence[Sequence[int]]) -> PreTrainedModel:
    """Gives ``encoder`` new embeddings, each the mean of those of the given sub-tokens, or random for none of them."""
    size = encoder.config.vocab_size
    encoder.resize_token_embeddings(size + len(like), mean_resizing=False)
    weight = encoder.get_input_embeddings().weight
    with torch.no_grad():
        for i, ids in enumerate(like):
            if ids:
                weight[size + i] = weight[list(ids)].mean(0)
    return encoder


def marker_words(tokenizer: PreTrainedTokenizerFast, words: Sequence[str]) -> list[list[int]]:
    """Sub-tokens whose embeddings markers start as; the word ``mask`` stands for the tokenizer's mask token."""
    return [
        [tokenizer.mask_token_id]
        if word == "mask" and tokenizer.mask_token_id is not None
        else tokenizer([word], is_split_into_words=True, add_special_tokens=False)["input_ids"]
        for word in words
    ]


def empty_encoder(config: dict[str, Any], markers: int) -> PreTrainedModel:
    """An encoder with room for ``markers``, whose weights are to be loaded."""
    config = copy.deepcopy(config)
    config["vocab_size"] += markers
    return encoder_from_config(AutoConfig.for_model(**config))
