"""Which decoder goes with an encoder, and its first weights.

T5 and BART have a decoder of their own, pre-trained. BERT and RoBERTa have none: theirs is made of the encoder's layers. Its
cross-attention starts as a copy of the same layer's self-attention and reads what that layer of the encoder reads; so the
encoder's last layer isn't needed. Its own self-attention starts mute. So the state that copied a sub-token starts as about what
the encoder says of it, and training adds what was written before.
"""

from __future__ import annotations

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from baselines.asp.decoder import Decoder, Shape
from iter_bench.encoders import first_position, max_length, quiet, source_of
from iter_bench.errors import SettingsError

WHOLE_MODELS = {"t5": transformers.T5Model, "bart": transformers.BartModel}
"""Families with a decoder of their own."""

Weights = dict[str, Tensor]


def shape_of(config: PreTrainedConfig) -> Shape:
    """The decoder's shape from the encoder's (or whole model's) configuration.

    Raises:
        SettingsError: the family has no decoder and none can be made of its layers.
    """
    if config.model_type == "t5":
        return Shape(
            layers=config.num_decoder_layers,
            width=config.d_model,
            heads=config.num_heads,
            head_width=config.d_kv,
            inner=config.d_ff,
            activation=config.dense_act_fn,
            gated=config.is_gated_act,
            eps=config.layer_norm_epsilon,
            t5=True,
            positions=config.relative_attention_num_buckets,
            max_distance=config.relative_attention_max_distance,
            dropout=config.dropout_rate,
            attention_dropout=config.dropout_rate,
        )
    if config.model_type == "bart":
        return Shape(
            layers=config.decoder_layers,
            width=config.d_model,
            heads=config.decoder_attention_heads,
            head_width=config.d_model // config.decoder_attention_heads,
            inner=config.decoder_ffn_dim,
            activation=config.activation_function,
            gated=False,
            eps=1e-5,
            t5=False,
            positions=config.max_position_embeddings,
            embedding_scale=config.d_model**0.5 if config.scale_embedding else 1.0,
            dropout=config.dropout,
            attention_dropout=config.attention_dropout,
        )
    if config.model_type in ("bert", "roberta"):
        return Shape(
            layers=config.num_hidden_layers,
            width=config.hidden_size,
            heads=config.num_attention_heads,
            head_width=config.hidden_size // config.num_attention_heads,
            inner=config.intermediate_size,
            activation=config.hidden_act,
            gated=False,
            eps=config.layer_norm_eps,
            t5=False,
            positions=max_length(config),
            layerwise=True,
            dropout=config.hidden_dropout_prob,
            attention_dropout=config.attention_probs_dropout_prob,
        )
    raise SettingsError(
        f"asp can't be built on an encoder of type {config.model_type!r}; supported are t5 (FLAN-T5 too) and bart, with their "
        "own decoders, and bert and roberta, whose layers make one. A decoder of ALBERT's shared layers and factorised "
        "embeddings isn't implemented; from DeBERTa's relative and ModernBERT's rotary attention no cross-attention can start."
    )


def decoder_for(encoder: PreTrainedModel, pretrained: bool) -> Decoder:
    """The decoder for ``encoder``, with its first weights.

    Args:
        encoder: as ``load_encoder`` gives it.
        pretrained: whether the encoder has pre-trained weights, so that its family's own decoder must have them too.

    Raises:
        SettingsError: the family isn't supported, or the decoder's weights are missing where the encoder came from.
    """
    config = encoder.config
    decoder = Decoder(shape_of(config))
    if config.model_type in WHOLE_MODELS:
        whole = _whole_model(config, pretrained)
        weights = _t5(whole.decoder) if config.model_type == "t5" else _bart(whole.decoder)
    else:
        weights = _from_encoder(encoder)
    decoder.load_state_dict(weights)
    return decoder


def _whole_model(config: PreTrainedConfig, pretrained: bool) -> PreTrainedModel:
    model_class = WHOLE_MODELS[config.model_type]
    if not pretrained:
        return model_class(config)
    location = config._name_or_path
    folder = source_of(location).folder(weights=True)
    with quiet():
        model, info = model_class.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    if missing := sorted(name for name in info["missing_keys"] if name.startswith("decoder.")):
        raise SettingsError(
            f"encoder {location!r}: it holds no decoder ({missing[0]!r} and {len(missing) - 1} other weights are missing); "
            f"asp on {config.model_type} needs the whole encoder-decoder"
        )
    return model


def _put(weights: Weights, name: str, *linears: torch.nn.Module) -> None:
    """Stores linear layers as one with their outputs side by side."""
    weights[f"{name}.weight"] = torch.cat([linear.weight for linear in linears])
    if getattr(linears[0], "bias", None) is not None:
        weights[f"{name}.bias"] = torch.cat([linear.bias for linear in linears])


def _unchanged(before: torch.nn.Module) -> Weights:
    """Weight and bias of a layer norm that leaves about as they are what the norm ``before`` gives.

    That gives γ·n + β, where the n of a token have mean 0 and variance 1; over its units that has about the mean of β and a
    variance of mean(γ²) + var(β), whatever the token.
    """
    spread = (before.weight.square().mean() + before.bias.var(correction=0)).sqrt()
    return {"weight": spread.expand_as(before.weight), "bias": before.bias.mean().expand_as(before.bias)}


@torch.no_grad()
def _from_encoder(encoder: PreTrainedModel) -> Weights:
    weights: Weights = {}
    embeddings = encoder.embeddings
    first = first_position(encoder.config)
    # every output is of token type 0, so that its embedding is part of the position's
    positions = embeddings.position_embeddings.weight[first:] + embeddings.token_type_embeddings.weight[0]
    weights["position_embeddings.weight"] = positions
    _put(weights, "norm", embeddings.LayerNorm)
    before = embeddings.LayerNorm
    for i, layer in enumerate(encoder.encoder.layer):
        own, out = layer.attention.self, layer.attention.output
        _put(weights, f"layers.{i}.self_qkv", own.query, own.key, own.value)
        _put(weights, f"layers.{i}.cross_q", own.query)
        _put(weights, f"layers.{i}.cross_kv", own.key, own.value)
        _put(weights, f"layers.{i}.cross_out", out.dense)
        _put(weights, f"layers.{i}.cross_norm", out.LayerNorm)
        weights |= {f"layers.{i}.self_out.{name}": torch.zeros_like(weight) for name, weight in out.dense.named_parameters()}
        weights |= {f"layers.{i}.self_norm.{name}": weight for name, weight in _unchanged(before).items()}
        before = layer.output.LayerNorm
        _put(weights, f"layers.{i}.ffn_in", layer.intermediate.dense)
        _put(weights, f"layers.{i}.ffn_out", layer.output.dense)
        _put(weights, f"layers.{i}.ffn_norm", layer.output.LayerNorm)
    return weights


def drop_last_layer(encoder: PreTrainedModel) -> None:
    """Leaves the encoder of a layerwise decoder without its last layer, whose output no layer of the decoder reads.

    The decoder's last layer reads what that one read and starts with its weights: it takes its place.
    """
    encoder.encoder.layer = encoder.encoder.layer[:-1]
    encoder.config.num_hidden_layers -= 1


@torch.no_grad()
def _t5(stack: torch.nn.Module) -> Weights:
    weights: Weights = {}
    for i, block in enumerate(stack.block):
        own, cross, ffn = block.layer
        attention, reading, dense = own.SelfAttention, cross.EncDecAttention, ffn.DenseReluDense
        _put(weights, f"layers.{i}.self_qkv", attention.q, attention.k, attention.v)
        _put(weights, f"layers.{i}.self_out", attention.o)
        _put(weights, f"layers.{i}.cross_q", reading.q)
        _put(weights, f"layers.{i}.cross_kv", reading.k, reading.v)
        _put(weights, f"layers.{i}.cross_out", reading.o)
        _put(weights, f"layers.{i}.ffn_in", *([dense.wi_0, dense.wi_1] if hasattr(dense, "wi_0") else [dense.wi]))
        _put(weights, f"layers.{i}.ffn_out", dense.wo)
        for name, part in (("self_norm", own), ("cross_norm", cross), ("ffn_norm", ffn)):
            _put(weights, f"layers.{i}.{name}", part.layer_norm)
    _put(weights, "norm", stack.final_layer_norm)
    weights["relative_bias.weight"] = stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight
    return weights


@torch.no_grad()
def _bart(stack: torch.nn.Module) -> Weights:
    weights: Weights = {"position_embeddings.weight": stack.embed_positions.weight[stack.embed_positions.offset :]}
    _put(weights, "norm", stack.layernorm_embedding)
    for i, layer in enumerate(stack.layers):
        own, cross = layer.self_attn, layer.encoder_attn
        _put(weights, f"layers.{i}.self_qkv", own.q_proj, own.k_proj, own.v_proj)
        _put(weights, f"layers.{i}.self_out", own.out_proj)
        _put(weights, f"layers.{i}.self_norm", layer.self_attn_layer_norm)
        _put(weights, f"layers.{i}.cross_q", cross.q_proj)
        _put(weights, f"layers.{i}.cross_kv", cross.k_proj, cross.v_proj)
        _put(weights, f"layers.{i}.cross_out", cross.out_proj)
        _put(weights, f"layers.{i}.cross_norm", layer.encoder_attn_layer_norm)
        _put(weights, f"layers.{i}.ffn_in", layer.fc1)
        _put(weights, f"layers.{i}.ffn_out", layer.fc2)
        _put(weights, f"layers.{i}.ffn_norm", layer.final_layer_norm)
    return weights
