"""Loads checkpoints of the released ITER (``fleonce/iter-*``).

They share ``model_type: iter`` with ours and differ in what the configuration says (``released_config``) and in the names of
the weights.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from iter_bench.errors import UserError
from iter_bench.hub import INDEX, ONE_FILE
from iter_bench.iter_model.configuration import IterConfig

if TYPE_CHECKING:
    from iter_bench.iter_model.modeling import IterModel

SHARD = re.compile(r"[\w.-]+\.safetensors")
WEIGHTS = {"model.": "encoder.", "is_l.": "is_left.", "lr_score.": "is_span.", "rr_score.": "is_link."}


def _read_config(folder: Path) -> dict[str, Any] | None:
    if not (folder / "config.json").exists():
        return None
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{folder}: no checkpoint can be read there ({error}); name a folder that holds one") from None


def is_released(folder: Path) -> bool:
    """Whether ``folder`` holds a checkpoint of the released code rather than one of ours.

    Raises:
        UserError: it holds neither.
    """
    config = _read_config(folder)
    if not isinstance(config, dict) or config.get("model_type") != "iter":
        raise UserError(f"{folder}: no ITER checkpoint is there (config.json with model_type iter); name one that holds it")
    return "transformer_config" in config


def load(model_class: type[IterModel], folder: Path) -> IterModel:
    """The model that a released checkpoint holds, in evaluation mode.

    Raises:
        UserError: the configuration can't be used; weights are missing, damaged or don't fit it.
    """
    config = IterConfig.from_dict(_read_config(folder))
    model = model_class(config)
    loaded: set[str] = set()
    unexpected: list[str] = []
    for weights in _weights(folder):
        ours = dict(_renamed(weights, config))
        try:
            unexpected += model.load_state_dict(ours, strict=False).unexpected_keys
        except RuntimeError as error:
            raise UserError(f"{folder}: the weights don't fit its config.json: {error}") from None
        loaded |= ours.keys()
    model.tie_weights()
    missing = [key for key, _ in model.named_parameters() if key not in loaded]  # of tied weights one name is enough
    if missing or unexpected:
        raise UserError(
            f"{folder}: {len(missing)} weights are missing and {len(unexpected)} not expected, the first is "
            f"{(missing + unexpected)[0]!r}; do the weights belong to its config.json?"
        )
    return model.eval()


def _renamed(weights: dict[str, Tensor], config: IterConfig) -> Iterator[tuple[str, Tensor]]:
    """The weights by our names, without those that are never used."""
    unused = ["model.pooler."]
    if not config.relation_types:  # the older released class made this head for NER alone too
        unused.append("rr_score.")
    for key, value in weights.items():
        prefix = next((old for old in WEIGHTS if key.startswith(old)), None)
        if prefix is not None and not key.startswith(tuple(unused)):
            yield WEIGHTS[prefix] + key.removeprefix(prefix), value


def _weights(folder: Path) -> Iterator[dict[str, Tensor]]:
    """The weights, file by file: of the one file, or of those that an index names (from 5 GB on)."""
    if (folder / ONE_FILE).is_file():
        yield _read_weights(folder / ONE_FILE)
        return
    if not (index := folder / INDEX).is_file():
        raise UserError(f"{folder} has a released ITER's config.json but neither {ONE_FILE} nor {INDEX}")
    missing = _file_of_each_weight(index)
    for shard in sorted(set(missing.values())):
        if not (path := folder / shard).is_file():
            raise UserError(f"{folder}: {INDEX} names {shard}, which isn't there; fetch the checkpoint again")
        weights = _read_weights(path)
        missing = {key: file for key, file in missing.items() if key not in weights}
        yield weights
    if missing:
        key, shard = next(iter(missing.items()))
        raise UserError(f"{folder}: {shard} lacks {key!r}, which {INDEX} says is there; fetch the checkpoint again")


def _file_of_each_weight(index: Path) -> dict[str, str]:
    try:
        files = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        if not files or not all(isinstance(file, str) for file in files.values()):
            raise TypeError("weight_map should name a file for each weight")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{index}: is damaged ({type(error).__name__}: {error}); fetch the checkpoint again") from None
    for file in files.values():
        if not SHARD.fullmatch(file):  # a path could lead out of the folder
            raise UserError(f"{index}: names {file!r}; weights are read from safetensors files beside it only")
    return files


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: the weights can't be read ({error}); fetch the checkpoint again") from None
