"""Floating-point operations of ASP for given documents, and weights that they make it read, from the shapes of its matrices.

Counted is what decoding output by output needs: each output once, each valid action once, each pair once. What speculative
decoding tries and throws away is the implementation's affair. A multiplication with an addition counts two, as in
``iter_bench.encoders.flops``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from baselines.asp.actions import COPY, OPEN, valid
from baselines.asp.heads import Scorer
from baselines.asp.imposed import Imposed
from baselines.asp.modeling import AspModel
from baselines.asp.source import Source
from iter_bench.batching import in_batches
from iter_bench.encoders.flops import encoder_flops, linear_weights


def asp_flops(model: AspModel, sources: Sequence[Source], structure: Sequence[Imposed]) -> int:
    """Operations for the windows with that structure."""
    return sum(
        encoder_flops(model.encoder, len(source.input_ids)) + _decoder(model, source, written) + _heads(model, source, written)
        for source, written in zip(sources, structure, strict=True)
    )


def asp_weights_read(model: AspModel, sources: Sequence[Source], structure: Sequence[Imposed], batch_size: int) -> int:
    """Weights read at least for the windows with that structure: all once a batch, the decoder's layers once a pass.

    What follows a bracket can't be decoded in the pass that decides on it, however far passes look ahead: a batch takes one for
    each bracket before the last output of its longest sequence, and one more.
    """
    batches: list[list[int]] = []
    in_batches([len(source.input_ids) for source in sources], batch_size, batches.append)
    passes = [max(1 + np.count_nonzero(structure[i].actions[:-1] != COPY) for i in rows) for rows in batches]
    in_layers = linear_weights(model.decoder) - sum(layer.cross_kv.weight.numel() for layer in model.decoder.layers)
    return len(batches) * linear_weights(model) + (int(sum(passes)) - len(batches)) * in_layers


def _decoder(model: AspModel, source: Source, written: Imposed) -> int:
    """Keys and values of the encoder's states once; then each output attends to those before it, itself, and all states."""
    shape, layer = model.decoder.shape, model.decoder.layers[0]
    states, outputs = len(source.input_ids), len(written.actions)
    of_output = (layer.self_qkv, layer.self_out, layer.cross_q, layer.cross_out, layer.ffn_in, layer.ffn_out)
    weights = states * layer.cross_kv.weight.numel() + outputs * sum(linear.weight.numel() for linear in of_output)
    keys = outputs * (outputs + 1) // 2 + outputs * states
    return shape.layers * (2 * weights + 4 * keys * shape.heads * shape.head_width)


def _heads(model: AspModel, source: Source, written: Imposed) -> int:
    actions, pointer, entities = written.actions, written.pointer, len(written.types)
    may_open, may_close, _ = (int(of.sum()) for of in valid(actions, pointer, source))
    work = may_open * (_share(model.open_head) + _logits(model.open_head))
    work += (may_close + np.count_nonzero(actions == OPEN)) * _share(model.type_head) + may_close * _logits(model.type_head)
    work += entities * (2 * _share(model.type_head) + _logits(model.type_head))  # once all are written
    if model.config.relation_types:
        work += entities * 2 * _share(model.link_head) + len(written.classes) * _logits(model.link_head)
    return work


def _share(head: Scorer) -> int:
    """One state's share of the first layer."""
    return 2 * head.width * head.inner.out_features


def _logits(head: Scorer) -> int:
    """Last layer."""
    return 2 * head.outer.weight.numel()
