"""The layers of BERT, RoBERTa and ALBERT taken apart: text and markers attend differently with one set of weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from iter_bench.errors import SettingsError

FAMILIES = ("bert", "roberta", "albert")


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an encoder, by reference to its weights.

    Attributes:
        query, key, value: projections of the attention.
        finish: (what was attended to, the layer's input), each [rows, hidden] → the layer's output.
    """

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    finish: Callable[[Tensor, Tensor], Tensor]


def check_family(config: Any) -> None:
    """Raises SettingsError for an encoder whose attention can't take levitated markers."""
    if config.model_type not in FAMILIES:
        raise SettingsError(
            f"plmarker: levitated markers need encoders with absolute positions; supported are {', '.join(FAMILIES)}, "
            f"and {config._name_or_path or 'this encoder'} is of the family {config.model_type}"
        )


def embed(encoder: PreTrainedModel, input_ids: Tensor, positions: Tensor) -> Tensor:
    """What the first layer reads, [rows, hidden]."""
    states = encoder.embeddings(input_ids=input_ids[None], position_ids=positions[None]).squeeze(0)
    return encoder.encoder.embedding_hidden_mapping_in(states) if encoder.config.model_type == "albert" else states


def layers_of(encoder: PreTrainedModel) -> list[Layer]:
    """The layers in the order of the forward pass; ALBERT's share their weights."""
    if encoder.config.model_type != "albert":
        return [
            Layer(own.query, own.key, own.value, partial(_finish_bert, layer))
            for layer in encoder.encoder.layer
            for own in (layer.attention.self,)
        ]
    depth, groups = encoder.config.num_hidden_layers, encoder.encoder.albert_layer_groups
    return [
        Layer(layer.attention.query, layer.attention.key, layer.attention.value, partial(_finish_albert, layer))
        for i in range(depth)
        for layer in groups[i * len(groups) // depth].albert_layers
    ]


def _finish_bert(layer: nn.Module, attended: Tensor, states: Tensor) -> Tensor:
    return layer.feed_forward_chunk(layer.attention.output(attended, states))


def _finish_albert(layer: nn.Module, attended: Tensor, states: Tensor) -> Tensor:
    attention = layer.attention
    states = attention.LayerNorm(states + attention.output_dropout(attention.dense(attended)))
    return layer.full_layer_layer_norm(layer.ff_chunk(states) + states)
