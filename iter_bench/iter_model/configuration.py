"""Configuration of the reference ITER, with every point where paper and released code differ as a named setting.

``docs/iter.md`` has the table of these settings: what the paper says, what the released code does, and what was measured.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator
from transformers import AutoConfig, PretrainedConfig

from iter_bench.document import Schema
from iter_bench.errors import SettingsError
from iter_bench.iter_model.released_config import settings_of
from iter_bench.settings import Settings, validated


class IterSettings(Settings):
    """ITER's own settings of a run; ``IterConfig`` describes them."""

    omega: int | None = Field(None, ge=1, description="ω; none: what the training documents need")
    d_ff: int | None = Field(None, ge=1, description="η; none: the encoder's feed-forward width")
    two_vector_scale: Literal[1, 2] = 2
    activation: Literal["gelu", "relu", "tanh"] = "gelu"
    gate: bool = True
    dropout: float = Field(0.3, ge=0, lt=1)
    link_threshold: float = Field(0.5, ge=0, le=1)
    context_markers: bool = Field(False, description="read the markers of ASP's ACE05 files around each document's words")
    bracket_positions: Literal["words", "subtokens"] = "words"
    span_decision: Literal["argmax", "threshold"] = "argmax"
    no_span: Literal["zero", "class"] = "class"
    link_span: Literal["right", "sum", "concat"] | None = None
    link_loss: Literal["all", "brackets"] = "brackets"
    symmetric_targets: Literal["both", "once"] = "both"
    loss_reduction: Literal["sum", "mean"] = "sum"
    self_links: bool = False

    @model_validator(mode="after")
    def _fit_together(self) -> IterSettings:
        nested = self.omega is not None and self.omega > 1
        if nested and self.link_span == "right":
            raise ValueError("link_span 'right' can't tell nested spans apart that end together; use sum or concat")
        if nested and self.span_decision == "threshold" and self.no_span == "class":
            raise ValueError("span_decision 'threshold' compares each type with 0, so it needs no_span 'zero'")
        return self


class IterConfig(PretrainedConfig):
    """What an ``IterModel`` is made of: its encoder, its types and the ``IterSettings``, which can be given by name.

    Raises:
        SettingsError: a setting, or a combination of settings, that there can't be.

    Attributes:
        encoder: the encoder's own configuration, as a dictionary with ``model_type``.
        tokenizer: name or folder of the tokenizer; empty where it lies beside the model.
        entity_types: T_E, in the order of the classes of ``is_span``.
        relation_types: T_R, in the order of the classes of ``is_link``; empty for NER only.
        symmetric: the members of ``relation_types`` that have no direction.
        omega: ω of section 3.5, how many of the closest left brackets ``is_span`` looks at; 1 for flat data.
        d_ff: inner width η of the heads (eq. 3); none takes the encoder's own feed-forward width.
        two_vector_scale: factor on ``d_ff`` for the heads over more than one vector.
        activation: f of eq. 3.
        gate: whether the heads are gated (eq. 3) or plain two-layer networks.
        dropout: on the inner vector of the heads, in training.
        link_threshold: λ of eq. 6, compared with the probability of a relation.
        context_markers: whether ``CONTEXT_MARKERS`` are read around the words of every document, with context or without
            (released code for ACE05).
        bracket_positions: ``words``: a span starts at the first sub-token of a word and ends at the last one of a word;
            ``subtokens``: brackets may stand at every sub-token, special ones and context included, as in the released code;
            what isn't all in the document's words is not extracted.
        span_decision: ``argmax``: at most one type a pair of brackets (released code); ``threshold``: each type whose logit
            is above 0 (eq. 5, Algorithm 1).
        no_span: what "no span" competes with for ω > 1: a logit fixed at 0 (eq. 12) or a class of its own (released code).
        link_span: how a span enters ``is_link``: vector of its right end (eq. 6, flat data only), sum of both ends (released
            code for nested data), or both ends concatenated (eq. 7).
        link_loss: pairs in eq. 13: every position with every right bracket (released code) or pairs of right brackets
            (camera-ready).
        symmetric_targets: whether a symmetric relation is a target in both directions or as annotated.
        loss_reduction: sum over the batch, or that sum divided by the number of samples.
        self_links: whether a relation of an entity with itself may be predicted.
    """

    model_type = "iter"

    def __init__(
        self,
        encoder: dict[str, Any] | None = None,
        tokenizer: str = "",
        entity_types: list[str] | tuple[str, ...] = (),
        relation_types: list[str] | tuple[str, ...] = (),
        symmetric: list[str] | tuple[str, ...] = (),
        **kwargs: Any,
    ):
        self.encoder = dict(encoder or {})
        self.tokenizer = tokenizer
        self.entity_types = list(entity_types)
        self.relation_types = list(relation_types)
        self.symmetric = sorted(symmetric)
        own = {name: kwargs.pop(name) for name in IterSettings.model_fields if name in kwargs}
        for name, value in validated(IterSettings, own, "settings of iter"):
            setattr(self, name, value)
        self.omega = self.omega or 1
        self.link_span = self.link_span or ("right" if self.omega == 1 else "sum")
        super().__init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> IterConfig:
        """As in transformers; the configuration of a released checkpoint is translated.

        Raises:
            SettingsError: a released one is damaged, or has an experimental feature that no published checkpoint uses.
        """
        if "transformer_config" not in config_dict:
            return super().from_dict(config_dict, **kwargs)
        try:
            return super().from_dict(settings_of(config_dict), **kwargs)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise SettingsError(f"this released checkpoint's config.json is damaged ({reason})") from None

    @property
    def has_no_span_class(self) -> bool:
        """Whether ``is_span`` has one class more than there are entity types, as its last."""
        return self.omega > 1 and self.no_span == "class"

    @property
    def schema(self) -> Schema:
        """The types as the rest of the suite knows them."""
        return Schema(tuple(self.entity_types), tuple(self.relation_types), frozenset(self.symmetric))


def register() -> None:
    """Makes ``AutoConfig`` and ``AutoModel`` know ITER; importing ``iter_bench.iter_model.modeling`` does it."""
    AutoConfig.register("iter", IterConfig, exist_ok=True)
