"""ASP's states the plain way, one window at a time with all outputs given at once: what decoding in batches must agree with."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
import torch
from torch import Tensor

from baselines.asp.batch import outputs_of
from baselines.asp.imposed import Imposed
from baselines.asp.modeling import AspModel
from baselines.asp.source import Source
from iter_bench.encoders import states, states_of_layers


@torch.inference_mode()
def plain_states(model: AspModel, windows: Iterable[tuple[Source, Imposed]]) -> dict[Hashable, Tensor]:
    """Of each window, as a prediction shows them, the encoder's last states [N, width] and those that wrote it [L, width]."""
    found: dict[Hashable, Tensor] = {}
    decoder, device = model.decoder, next(model.parameters()).device

    def upload(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array)[None].to(device)

    for source, written in windows:
        ids, text = upload(source.input_ids), tuple(source.input_ids.tolist())
        real = torch.ones_like(ids)
        read = (states_of_layers if decoder.shape.layerwise else states)(model.encoder, ids, real, None, padded=False)
        layers = read if decoder.shape.layerwise else (read,) * decoder.shape.layers
        outputs = outputs_of(written.actions, written.pointer, source, model.config)
        given = upload(np.append(model.config.start, outputs[:-1]))
        positions = upload(source.positions(written.pointer))
        found[text] = layers[-1][0]
        wrote = decoder(model.embed(given), positions, decoder.memory(layers, real))
        found[text, tuple(written.actions.tolist())] = wrote[0]
    return found
