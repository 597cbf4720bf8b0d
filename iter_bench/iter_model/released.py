"""Loads checkpoints of the released ITER (``fleonce/iter-*``).

They share ``model_type: iter`` with ours and differ in what the configuration says and in the names of the weights. What
their configuration leaves unsaid, the released code decides; those choices are spelled out in ``convert_config``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file
from transformers.utils import cached_file

from iter_bench.errors import SettingsError, UserError
from iter_bench.iter_model.configuration import IterConfig

if TYPE_CHECKING:
    from iter_bench.iter_model.modeling import IterModel

NO_SPAN_CLASS, NO_LINK_CLASS, BATCH_MEAN, NESTED, NER_ONLY, SYMMETRIC_BOTH = 5, 7, 8, 9, 11, 16
UNSUPPORTED = {
    0: "NER from an earlier layer",
    1: "summed representations",
    4: "log-sum-exp link loss",
    6: "T5 decoder layers",
    NO_LINK_CLASS: "a 'no link' class",
    12: "T5 decoder layers",
    15: "cross-entropy over relations",
    18: "inverse relations as negatives",
    21: "no is_link head",
}
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
WEIGHTS = {"model.": "encoder.", "is_l.": "is_left.", "lr_score.": "is_span.", "rr_score.": "is_link."}


def _read_config(name: str | Path) -> dict[str, Any] | None:
    folder = Path(name).is_dir()
    if not folder and not HUB_NAME.fullmatch(str(name)):  # the hub is only asked for owner/name
        raise UserError(f"{name}: there is no such folder, so no checkpoint can be read there; name a folder that holds one")
    if folder and not (Path(name) / "config.json").exists():
        return None
    try:
        path = Path(name) / "config.json" if folder else Path(cached_file(str(name), "config.json"))
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        where = "there" if folder else "from the hub, and there is no such folder here"
        raise UserError(f"{name}: no checkpoint can be read {where} ({error}); name a folder that holds one") from None


def is_released(name: str | Path) -> bool:
    """Whether ``name`` (a folder or a hub name) holds a checkpoint of the released code rather than one of ours.

    Raises:
        UserError: it holds neither.
    """
    config = _read_config(name)
    if not isinstance(config, dict) or config.get("model_type") != "iter":
        raise UserError(f"{name}: no ITER checkpoint is there (config.json with model_type iter); name a folder that holds one")
    return "transformer_config" in config


def convert_config(released: dict[str, Any]) -> IterConfig:
    """Our configuration of what a released ``config.json`` describes.

    Raises:
        SettingsError: it asks for one of the experimental features that no published checkpoint uses, or is damaged.
    """
    try:
        return _converted(released)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise SettingsError(f"this released checkpoint's config.json is damaged ({type(error).__name__}: {error})") from None


def _converted(released: dict[str, Any]) -> IterConfig:
    features = int(released.get("features", 0))
    if asked := [what for bit, what in UNSUPPORTED.items() if features >> bit & 1]:
        raise SettingsError(f"this released checkpoint uses {', '.join(asked)}, which the reference ITER doesn't have")
    nested = bool(features >> NESTED & 1)
    if nested != bool(features >> NO_SPAN_CLASS & 1):
        raise SettingsError("this released checkpoint has only one of the features 5 (no-span class) and 9 (nested)")
    encoder = released["transformer_config"]
    return IterConfig(
        encoder=encoder,
        tokenizer=encoder.get("_name_or_path", ""),
        entity_types=released["entity_types"],
        relation_types=[] if features >> NER_ONLY & 1 else released["link_types"],
        omega=released["max_nest_depth"] if nested else 1,
        d_ff=released["d_ff"],
        two_vector_scale=2 if released.get("use_scale") else 1,
        activation=released["activation_fn"],
        gate=released.get("use_gate", True),
        dropout=released["dropout"],
        link_threshold=released.get("threshold", 0.5),
        bracket_positions="subtokens",
        span_decision="argmax",
        no_span="class",
        link_span="sum" if nested else "right",
        link_loss="all",
        symmetric_targets="both" if features >> SYMMETRIC_BOTH & 1 else "once",
        loss_reduction="mean" if features >> BATCH_MEAN & 1 else "sum",
        self_links=True,
    )


def load(model_class: type[IterModel], name: str | Path) -> IterModel:
    """The model that a released checkpoint holds, in evaluation mode.

    Raises:
        UserError: the weights are missing or don't fit the configuration.
    """
    config = convert_config(_read_config(name) or {})
    path = cached_file(str(name), "model.safetensors", _raise_exceptions_for_missing_entries=False)
    if path is None:
        raise UserError(f"{name} has a released ITER's config.json but no model.safetensors")
    model = model_class(config)
    weights = {}
    for key, value in load_file(path).items():
        prefix = next((old for old in WEIGHTS if key.startswith(old)), None)
        if prefix is not None and not key.startswith("model.pooler."):  # the pooler is never used
            weights[WEIGHTS[prefix] + key.removeprefix(prefix)] = value
    result = model.load_state_dict(weights, strict=False)
    model.tie_weights()
    tied = {name for name, _ in model.named_parameters()}
    missing = [key for key in result.missing_keys if key in tied]
    if missing or result.unexpected_keys:
        raise UserError(f"{name}: weights missing {missing}, not expected {result.unexpected_keys}")
    return model.eval()
