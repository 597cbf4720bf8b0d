"""Floating-point operations of an encoder, counted from the shapes of its matrices: what the architecture needs.

A multiplication with an addition counts two, as in torch's own counter. Counted are matrix products: they are all but a
per cent of the work, and what a hardware's ceiling is stated for. Nothing is counted for padding. Attention counts dense,
also where a mask leaves part of it out (ModernBERT's local layers), since the suite computes it so.
"""

from __future__ import annotations

from torch import nn
from transformers import PreTrainedModel

from iter_bench.encoders.deberta import reached_positions
from iter_bench.encoders.families import encoder_dims


def encoder_flops(encoder: PreTrainedModel, length: int) -> int:
    """Operations of one sequence of ``length`` sub-tokens.

    DeBERTa's projections of its relative positions depend on weights alone and are left out: they need no work a sample.
    """
    config = encoder.config
    layers = config.num_hidden_layers
    width = _attention_width(encoder)
    scores = 4 * length**2 * width * layers
    if config.model_type == "deberta-v2" and config.relative_attention:
        # every query with every relative position that the length reaches, every key likewise
        low, high = reached_positions(config, length)
        scores += sum(kind in config.pos_att_type for kind in ("c2p", "p2c")) * 2 * length * (high - low + 1) * width * layers
    return 2 * length * _weights_applied(encoder) + scores


def linear_weights(module: nn.Module) -> int:
    """Weights of all linear layers within, biases left out; layers that share theirs count once."""
    return sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, nn.Linear))


def _attention_width(encoder: PreTrainedModel) -> int:
    """Width of all heads of a layer together; only T5 sets it apart from the hidden size."""
    config = encoder.config
    return config.num_heads * config.d_kv if config.model_type == "t5" else encoder_dims(config)[0]


def _weights_applied(encoder: PreTrainedModel) -> int:
    """Weights of linear layers that each sub-token meets; ALBERT's layers share theirs and are met once a layer."""
    config = encoder.config
    times = config.num_hidden_layers // config.num_hidden_groups if config.model_type == "albert" else 1
    return sum(
        module.weight.numel() * (times if "layer_groups" in name else 1)
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Linear)
    )
