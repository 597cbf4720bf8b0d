"""Scripts → what a training step gathers. All of it is decided once a window, in NumPy; ``collate`` only pads and shifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from baselines.asp.actions import COPY, OPEN, Script, brackets, valid
from baselines.asp.configuration import AspConfig
from baselines.asp.source import Source
from iter_bench.devices import Movable


@dataclass(frozen=True, slots=True)
class Example:
    """A window prepared for training; L actions, E entities, P pairs. Steps count from 0 and are those of the actions.

    Attributes:
        input_ids: [N] for the encoder.
        decoder_ids: [L] what the decoder is given: the start, then all outputs but the last.
        positions: [L] where in the encoder's input each output stands.
        labels: [L] the gold actions.
        may_open: [L] whether ``<m>`` competes.
        left: [L] step of the ``<m>`` with which ``</m>`` competes; -1 where it doesn't.
        types: [L] gold type at ``</m>``, else -1.
        first, second: [P] steps of the ``</m>`` of every pair of entities, the earlier one first.
        classes: [P, 1 + 2·|T_R|] which classes are right.
    """

    input_ids: np.ndarray
    decoder_ids: np.ndarray
    positions: np.ndarray
    labels: np.ndarray
    may_open: np.ndarray
    left: np.ndarray
    types: np.ndarray
    first: np.ndarray
    second: np.ndarray
    classes: np.ndarray


def outputs_of(actions: np.ndarray, pointer: np.ndarray, source: Source, config: AspConfig) -> np.ndarray:
    """Sub-tokens [L] that actions write; what stands for the last one, the end of the text, is never read."""
    copied = np.append(source.copied, 0)[pointer]
    return np.where(actions == COPY, copied, np.where(actions == OPEN, config.opening, config.closing))


def example_of(script: Script, source: Source, config: AspConfig) -> Example:
    """The targets of a window."""
    actions, pointer = script.actions, script.pointer
    written = outputs_of(actions, pointer, source, config)
    _, closing = brackets(actions)
    may_open, may_close, left = valid(actions, pointer, source)
    if config.settings.competing == "valid":
        left = np.where(may_close, left, -1)
    else:
        may_open = np.ones_like(may_open)
    types = np.full(len(actions), -1)
    types[closing] = script.types
    first, second = np.triu_indices(len(closing), k=1)
    pair = np.full((len(closing), len(closing)), -1)
    pair[first, second] = np.arange(len(first))
    classes = np.zeros((len(first), config.link_classes), dtype=bool)
    classes[pair[script.links[:, 0], script.links[:, 1]], script.links[:, 2]] = True
    classes[:, 0] = ~classes.any(axis=1)
    return Example(
        input_ids=source.input_ids,
        decoder_ids=np.append(config.start, written[:-1]),
        positions=source.positions(pointer),
        labels=actions,
        may_open=may_open,
        left=left,
        types=types,
        first=closing[first],
        second=closing[second],
        classes=classes,
    )


@dataclass(frozen=True, slots=True)
class Batch(Movable):
    """Examples as tensors. States are read from the flattened [B · L, width]; S steps enter the loss, ``</m>`` competes at C.

    Attributes:
        input_ids, attention_mask: [B, N]; decoder_ids, positions: [B, L]; padded on the right.
        padded: whether any of the inputs is.
        steps: [S] rows of the states.
        opens: [S] whether the gold action is ``<m>``.
        may_open: [S] whether it competes.
        close_at: [C] index in ``steps``; close_rows: [C] rows of the states at that step.
        left_rows: [U] rows of the states at every ``<m>`` that a ``</m>`` competes for; left: [C] which of them.
        gold_close: [E] index of each gold ``</m>`` in ``close_at``; gold_types: [E].
        right_rows: [R] rows of the states at the ``</m>`` that pairs are made of.
        first, second: [P] pairs, counted in ``right_rows``; classes: [P, 1 + 2·|T_R|].
    """

    input_ids: Tensor
    attention_mask: Tensor
    padded: bool
    decoder_ids: Tensor
    positions: Tensor
    steps: Tensor
    opens: Tensor
    may_open: Tensor
    close_at: Tensor
    close_rows: Tensor
    left_rows: Tensor
    left: Tensor
    gold_close: Tensor
    gold_types: Tensor
    right_rows: Tensor
    first: Tensor
    second: Tensor
    classes: Tensor


def padded(sequences: Sequence[np.ndarray], fill: int, width: int | None = None) -> np.ndarray:
    """[B, width (none: that of the longest)] with ``fill`` on the right."""
    out = np.full((len(sequences), width or max(map(len, sequences))), fill, dtype=sequences[0].dtype)
    for row, sequence in enumerate(sequences):
        out[row, : len(sequence)] = sequence
    return out


def mask_of(sequences: Sequence[np.ndarray]) -> np.ndarray:
    """[B, longest] 1 for what ``padded`` didn't fill."""
    lengths = np.array([len(sequence) for sequence in sequences])
    return (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)


def collate(examples: Sequence[Example], pad: int) -> Batch:
    """One batch on the host; ``pad`` fills up the inputs."""
    decoder_ids = padded([e.decoder_ids for e in examples], pad)
    start = np.arange(len(examples)) * decoder_ids.shape[1]

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(e, name) for e in examples])

    def rows(name: str) -> np.ndarray:
        return np.concatenate([getattr(e, name) + base for e, base in zip(examples, start, strict=True)])

    every = np.concatenate([np.arange(len(e.labels)) + base for e, base in zip(examples, start, strict=True)])
    labels, may_open, types = joined("labels"), joined("may_open"), joined("types")
    closes = joined("left") >= 0
    contested = may_open | closes  # where nothing competes with copy, its loss is 0
    close_at = (np.cumsum(contested) - 1)[closes]
    left_rows, left = np.unique(rows("left")[closes], return_inverse=True)
    right_rows, pairs = np.unique(np.stack((rows("first"), rows("second"))), return_inverse=True)
    mask = mask_of([e.input_ids for e in examples])
    arrays = (
        decoder_ids,
        padded([e.positions for e in examples], 0),
        every[contested],
        labels[contested] == OPEN,
        may_open[contested],
        close_at,
        every[closes],
        left_rows,
        left,
        np.flatnonzero(types[closes] >= 0),
        types[types >= 0],
        right_rows,
        *pairs.reshape(2, -1),
        joined("classes"),
    )
    read = (torch.from_numpy(padded([e.input_ids for e in examples], pad)), torch.from_numpy(mask))
    return Batch(*read, not mask.all(), *map(torch.from_numpy, arrays))
