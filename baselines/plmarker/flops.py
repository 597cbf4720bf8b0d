"""Floating-point operations of PL-Marker for given documents, from the shapes of its matrix products.

A multiplication with an addition counts two, as in ``iter_bench.encoders.flops``. What a path computes is counted, nothing
padded: ``packed`` encodes the text anew for each pack, with dense attention also where its mask lets nothing through.
"""

from __future__ import annotations

from collections.abc import Iterable

from baselines.plmarker.packing import Example
from baselines.plmarker.stage import Stage
from iter_bench.encoders.flops import encoder_flops


def stage_flops(stage: Stage, examples: Iterable[Example]) -> int:
    """Operations of a stage for these examples: its encoder and its classifiers."""
    return sum(_encoder(stage, example) + _classifiers(stage, example) for example in examples)


def _encoder(stage: Stage, example: Example) -> int:
    encoder, pairs, size = stage.module.encoder, len(example.first), stage.pack
    if size is None:
        return _shared_text(stage, example)
    full, rest = divmod(pairs, size)
    packs = full * [size] + [rest] * (rest > 0)
    return sum(encoder_flops(encoder, len(example.input_ids) + 2 * count) for count in packs)


def _shared_text(stage: Stage, example: Example) -> int:
    """The last layer asks only for what classifiers read; a marker's product with itself and its partner is no matrix's."""
    config = stage.module.encoder.config
    width, text, markers = config.hidden_size, len(example.input_ids), 2 * len(example.first)
    # query, output and feed-forward are of the asking rows alone; key and value of all
    asked, asking = 2 * width**2, 2 * width**2 + 2 * width * config.intermediate_size
    layers = config.num_hidden_layers
    rows = (layers - 1) * (text + markers) + len(example.read) + markers
    work = 2 * (layers * (text + markers) * asked + rows * asking) + 4 * rows * text * width
    if config.model_type == "albert":
        work += 2 * (text + markers) * config.embedding_size * width
    return work


def _classifiers(stage: Stage, example: Example) -> int:
    """The markers' share a pair, the text's share a sub-token that is read, for either side."""
    classes, types = stage.module.classifier, stage.module.type_classifier
    pairs, width = len(example.first), stage.module.encoder.config.hidden_size
    work = 2 * (2 * pairs + 2 * len(example.read)) * width * classes.out_features
    return work if types is None else work + 2 * pairs * types.in_features * types.out_features
