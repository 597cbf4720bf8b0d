"""What differs between the families of encoders: the class that holds the encoder alone, its widths and its length limit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import transformers
from torch import Tensor, nn
from transformers import BartConfig, BartPreTrainedModel, PreTrainedConfig, PreTrainedModel, T5EncoderModel
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.bart.modeling_bart import BartEncoder

from iter_bench.encoders.deberta import DebertaEncoder
from iter_bench.errors import SettingsError


class BartEncoderModel(BartPreTrainedModel):
    """BART's encoder half, loadable from the whole model's checkpoint, as ``T5EncoderModel`` is for T5.

    The embedding has both names that checkpoints give it, ``shared`` and ``encoder.embed_tokens``.
    """

    _tied_weights_keys: ClassVar = {"encoder.embed_tokens.weight": "shared.weight"}
    _keys_to_ignore_on_load_unexpected: ClassVar = ["decoder", "encoder.version", "final_logits_bias", "lm_head"]

    def __init__(self, config: BartConfig):
        super().__init__(config)
        self.encoder = BartEncoder(config)
        self.shared = self.encoder.embed_tokens
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of sub-tokens."""
        return self.shared

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replaces the embedding of sub-tokens."""
        self.shared = self.encoder.embed_tokens = value

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **kwargs: Any) -> BaseModelOutput:
        """The encoder's states."""
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask, **kwargs)


class T5Encoder(T5EncoderModel):
    """T5's encoder half; the position bias and the mask become one tensor once a pass, not once a layer.

    Relative positions within a sequence are the same wherever it stands in a row.
    """

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **kwargs: Any) -> BaseModelOutput:
        """The encoder's states, with nothing besides.

        Args:
            input_ids: [B, N].
            attention_mask: [B, N], true or 1 where there is no padding, or [B, 1, N, N], true where a query sees a key.
        """
        stack = self.encoder
        hidden = stack.dropout(stack.embed_tokens(input_ids))
        length = hidden.shape[1]
        bias = stack.block[0].layer[0].SelfAttention.compute_bias(length, length, device=hidden.device)
        if torch.is_autocast_enabled(hidden.device.type):
            bias = bias.to(torch.get_autocast_dtype(hidden.device.type))
        if attention_mask is not None:
            mask = attention_mask.bool()
            mask = mask[:, None, None] if mask.dim() == 2 else mask
            bias = torch.where(mask, bias, torch.finfo(bias.dtype).min)
        bias = bias.contiguous()
        for block in stack.block:
            hidden = block(hidden, None, bias)[0]
        return BaseModelOutput(last_hidden_state=stack.dropout(stack.final_layer_norm(hidden)))


@dataclass(frozen=True, slots=True)
class _Family:
    model_class: type[PreTrainedModel]
    length: Callable[[PreTrainedConfig], int | None]
    ffn: str = "intermediate_size"
    pooler: bool = False  # whether the class would make a pooler unless told not to
    packs: bool = False  # whether sequences may share a row: the class takes masks of queries with keys as they are
    first_position: Callable[[PreTrainedConfig], int | None] = lambda config: 0

    @property
    def options(self) -> dict[str, bool]:
        return {"add_pooling_layer": False} if self.pooler else {}


def _positions(config: PreTrainedConfig) -> int:
    return config.max_position_embeddings


def _after_padding(config: PreTrainedConfig) -> int:
    return config.pad_token_id + 1


def _positions_after_padding(config: PreTrainedConfig) -> int:
    return config.max_position_embeddings - _after_padding(config)


FAMILIES = {
    "bert": _Family(transformers.BertModel, _positions, pooler=True, packs=True),
    "roberta": _Family(
        transformers.RobertaModel,
        _positions_after_padding,
        pooler=True,
        packs=True,
        first_position=_after_padding,
    ),
    "albert": _Family(transformers.AlbertModel, _positions, pooler=True, packs=True),
    "deberta-v2": _Family(DebertaEncoder, _positions),
    "t5": _Family(T5Encoder, lambda config: None, ffn="d_ff", packs=True, first_position=lambda config: None),
    "bart": _Family(BartEncoderModel, _positions, ffn="encoder_ffn_dim"),
    "modernbert": _Family(transformers.ModernBertModel, _positions),
}
"""``model_type`` of a configuration → its family."""


def family(config: PreTrainedConfig) -> _Family:
    """The family that ``config`` is of.

    Raises:
        SettingsError: it is of none that iter-bench supports.
    """
    try:
        return FAMILIES[config.model_type]
    except KeyError:
        raise SettingsError(
            f"encoder {config._name_or_path or '(unnamed)'}: model type {config.model_type!r} is not supported; "
            f"supported are {', '.join(FAMILIES)} (deberta-v2 includes DeBERTa-v3, t5 includes FLAN-T5)"
        ) from None


def encoder_from_config(config: PreTrainedConfig) -> PreTrainedModel:
    """The bare encoder that ``config`` describes, with new random weights, in training mode.

    Args:
        config: the whole model's configuration; it is copied.

    Returns:
        The encoder: ``encoder(input_ids, attention_mask).last_hidden_state`` has the shape [batch, sub-tokens, hidden].
        It has no pooler, and of encoder-decoder models only the encoder half.

    Raises:
        SettingsError: an unsupported family.
    """
    of = family(config)
    return of.model_class(copy.deepcopy(config), **of.options)


def encoder_dims(config: PreTrainedConfig) -> tuple[int, int]:
    """Hidden size δ and width of the encoder's own feed-forward layers."""
    return config.hidden_size, getattr(config, family(config).ffn)


def max_length(config: PreTrainedConfig) -> int | None:
    """The most sub-tokens of one sequence, special tokens included; ``None``: no limit.

    It is what the position embeddings allow (RoBERTa spends two of its 514 on padding), and for DeBERTa and ModernBERT, whose
    positions are relative, the length they were trained for. T5's relative positions set no limit.
    """
    return family(config).length(config)


def first_position(config: PreTrainedConfig) -> int | None:
    """Position id of a sequence's first sub-token, 0 but for RoBERTa, which counts on from padding; ``None``: no such ids."""
    return family(config).first_position(config)
