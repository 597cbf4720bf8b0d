"""Windows → one batch of tensors, with every index counted over the whole batch.

Hidden states are used as a flat [R·N, δ] matrix, so that nothing in the heads is padded, and how windows share the encoder's
R rows is nothing to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from iter_bench.batching import in_rows
from iter_bench.devices import Movable
from iter_bench.iter_model.targets import Slots, Targets

Content = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Rows(Movable):
    """What the encoder reads; see ``iter_bench.encoders.states``.

    Attributes:
        input_ids: [R, N] padded on the right.
        segment: [R, N] number of the window from 1, 0 for padding.
        position: [R, N] offset in the window; none where each is known to have its own row.
        padded: whether there is padding.
    """

    input_ids: Tensor
    segment: Tensor
    position: Tensor | None
    padded: bool


@dataclass(frozen=True, slots=True)
class Inputs(Movable):
    """What the model reads: B windows in R rows of N sub-tokens.

    Attributes:
        tokens: the rows.
        left, right: [S] rows of the flattened hidden states at which each slot's brackets stand.
        window: [S] number of the window that the slot belongs to; ascending.
        windows: B.
    """

    tokens: Rows
    left: Tensor
    right: Tensor
    window: Tensor
    windows: int

    def contents(self) -> Iterator[Content]:
        """Of each window its sub-tokens, and at which of them the brackets of its slots stand."""
        rows = (self.tokens.input_ids, self.tokens.segment, self.left, self.right, self.window)
        ids, segment, left, right, window = (of.cpu().numpy().ravel() for of in rows)
        for number in range(self.windows):
            here, slots = np.flatnonzero(segment == number + 1), window == number
            yield content(ids[here], left[slots] - here[0], right[slots] - here[0])

    def read(self, hidden: Tensor, number: int) -> Tensor:
        """What the heads read of a window: the rows of ``hidden`` at its slots' left and right brackets, side by side."""
        slots = self.window == number
        return torch.cat((hidden[self.left[slots]], hidden[self.right[slots]]), 1)


def content(*arrays: np.ndarray) -> Content:
    """The arrays as a key."""
    return tuple(tuple(array.tolist()) for array in arrays)


@dataclass(frozen=True, slots=True)
class Labels(Movable):
    """What the heads should say; see ``targets.Targets`` for the meaning.

    Attributes:
        is_left: [S].
        lefts: [L] rows of the hidden states at gold left brackets; ``span_left`` [C] counts in it.
        rights: [U] rows of the hidden states that have a candidate; ``span_right`` [C] counts in it.
        span_classes: [C, η]; span_at_right: [C].
        head_left, head_right: [H], tail_left, tail_right: [Q], rows of the hidden states.
        pair_head, pair_tail: [P] the pairs of eq. 13, counted in [H] and [Q]; links: [P, φ].
    """

    is_left: Tensor
    lefts: Tensor
    rights: Tensor
    span_left: Tensor
    span_right: Tensor
    span_classes: Tensor
    span_at_right: Tensor
    head_left: Tensor
    head_right: Tensor
    tail_left: Tensor
    tail_right: Tensor
    pair_head: Tensor
    pair_tail: Tensor
    links: Tensor


def collate_inputs(input_ids: Sequence[np.ndarray], slots: Sequence[Slots], pad: int, width: int | None = None) -> Inputs:
    """Pads ``input_ids`` ([N_b] each) with ``pad`` and counts the slots over the batch.

    Windows share rows of ``width``; without it each has a row, as long as the longest of them.
    """
    lengths = [len(ids) for ids in input_ids]
    alone = width is None
    if alone:
        width, row, column = max(lengths), np.arange(len(lengths)), np.zeros(len(lengths), dtype=np.int64)
    else:
        row, column = in_rows(lengths, width)
        alone = len(lengths) * width == sum(lengths)
    start = row * width + column
    ids = np.full((int(row.max()) + 1) * width, pad, dtype=np.int64)
    segment, position = np.zeros_like(ids), np.zeros_like(ids)
    for number, (first, sequence) in enumerate(zip(start.tolist(), input_ids, strict=True), 1):
        here = slice(first, first + len(sequence))
        ids[here], segment[here], position[here] = sequence, number, np.arange(len(sequence))
    return Inputs(
        Rows(
            *(torch.from_numpy(of.reshape(-1, width)) for of in (ids, segment)),
            None if alone else torch.from_numpy(position.reshape(-1, width)),
            padded=len(ids) > sum(lengths),
        ),
        _joined([s.left + base for s, base in zip(slots, start, strict=True)]),
        _joined([s.right + base for s, base in zip(slots, start, strict=True)]),
        torch.from_numpy(np.repeat(np.arange(len(slots)), [len(s) for s in slots])),
        len(slots),
    )


def collate_labels(inputs: Inputs, slots: Sequence[Slots], targets: Sequence[Targets], relation_types: int) -> Labels:
    """The labels that go with ``inputs``, whose windows have a row each; ``relation_types`` is φ."""
    longest = inputs.tokens.input_ids.shape[1]
    rows_left = [s.left + i * longest for i, s in enumerate(slots)]
    rows_right = [s.right + i * longest for i, s in enumerate(slots)]
    lefts, span_left = np.unique(
        _concatenated([r[t.span_left] for r, t in zip(rows_left, targets, strict=True)]), return_inverse=True
    )
    rights, span_right = np.unique(
        _concatenated([r[t.span_right] for r, t in zip(rows_right, targets, strict=True)]), return_inverse=True
    )
    pair_head, pair_tail, links = _pairs(targets, relation_types)
    return Labels(
        _joined([t.is_left for t in targets]),
        torch.from_numpy(lefts),
        torch.from_numpy(rights),
        torch.from_numpy(span_left),
        torch.from_numpy(span_right),
        _joined([t.span_classes for t in targets]),
        _joined([t.span_at_right for t in targets]),
        _joined([r[t.head_left] for r, t in zip(rows_left, targets, strict=True)]),
        _joined([r[t.head_right] for r, t in zip(rows_right, targets, strict=True)]),
        _joined([r[t.tail_left] for r, t in zip(rows_left, targets, strict=True)]),
        _joined([r[t.tail_right] for r, t in zip(rows_right, targets, strict=True)]),
        torch.from_numpy(pair_head),
        torch.from_numpy(pair_tail),
        torch.from_numpy(links),
    )


def _pairs(targets: Sequence[Targets], relation_types: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All (head, tail) pairs within each window, and which relations hold: [P], [P], [P, φ]."""
    heads, tails, true_pairs, true_types = [], [], [], []
    first_head = first_tail = first_pair = 0
    for t in targets:
        h, q = len(t.head_right), len(t.tail_right)
        heads.append(np.repeat(np.arange(h), q) + first_head)
        tails.append(np.tile(np.arange(q), h) + first_tail)
        true_pairs.append(t.links[:, 0] * q + t.links[:, 1] + first_pair)
        true_types.append(t.links[:, 2])
        first_head, first_tail, first_pair = first_head + h, first_tail + q, first_pair + h * q
    links = np.zeros((first_pair, relation_types), dtype=np.float32)
    links[_concatenated(true_pairs), _concatenated(true_types)] = 1
    return _concatenated(heads), _concatenated(tails), links


def _concatenated(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(arrays) if len(arrays) else np.zeros(0, dtype=np.int64)


def _joined(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(_concatenated(arrays))
