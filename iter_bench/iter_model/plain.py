"""ITER's states the plain way, one window at a time: what batches, shared rows and compiled code must agree with."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from iter_bench.encoders import states
from iter_bench.iter_model.batch import content
from iter_bench.iter_model.modeling import IterModel
from iter_bench.iter_model.targets import slots_of
from iter_bench.windows import Window


@torch.inference_mode()
def plain_states(model: IterModel, windows: Sequence[Window]) -> dict[Hashable, Tensor]:
    """Of each window what the heads read, as a prediction shows it: states at its slots' left and right brackets, [S, 2δ]."""
    found: dict[Hashable, Tensor] = {}
    for window in windows:
        slots = slots_of(window, model.config)
        ids = torch.from_numpy(window.input_ids)[None].to(model.device)
        hidden = states(model.encoder, ids, torch.ones_like(ids), None, padded=False)[0]
        read = [hidden[torch.from_numpy(places).to(model.device)] for places in (slots.left, slots.right)]
        found[content(window.input_ids, slots.left, slots.right)] = torch.cat(read, 1)
    return found
