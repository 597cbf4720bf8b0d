"""Texts with marker pairs → one batch of tensors, without padding, and how it is laid out in packs."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from iter_bench.devices import moved


@dataclass(frozen=True, slots=True)
class Example:
    """A text of N sub-tokens and P marker pairs over it; positions are sub-tokens of the text.

    Attributes:
        input_ids: [N].
        first, last: [P] sub-tokens whose position ids the start and the end marker of a pair share.
        read: [R] sub-tokens whose final states the classifier reads.
        left, right: [P] two of ``read`` for each pair: ends of the span in stage 1, solid markers in stage 2.
        classes, types: [P] what the classifiers should say; empty at prediction, ``types`` in stage 1 too.
    """

    input_ids: np.ndarray
    first: np.ndarray
    last: np.ndarray
    read: np.ndarray
    left: np.ndarray
    right: np.ndarray
    classes: np.ndarray
    types: np.ndarray

    @property
    def rows(self) -> int:
        """States that an encoder computes for it, if it encodes the text once."""
        return len(self.input_ids) + 2 * len(self.first)


@dataclass(frozen=True, slots=True)
class Packs:
    """The same batch as ``count`` packs of at most ``size`` pairs: its text, all start markers, all end markers each.

    Attributes:
        example: [count] example whose text stands in the pack.
        opening: [B] the first pack of each example.
        pair: [Q] pack that each pair is in.
        slot: [Q] its place there.
    """

    size: int
    example: Tensor
    opening: Tensor
    pair: Tensor
    slot: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """B examples as flat rows: T of text, then Q start markers, then their Q end markers in the same order.

    A *cell* is a place in a padded table: of [B, ``longest``] for text, [B, ``widest``] for what the classifiers read,
    [B, 2, ``most``] for markers.

    Attributes:
        longest, widest, most: the most sub-tokens, read states and pairs of an example.
        examples: B.
        input_ids, positions: [T + 2Q].
        text_cell: [T]; marker_cell: [2Q].
        read: [R] rows; read_cell: [R].
        left, right: [Q] counted in ``read``.
        classes: [Q] or [0]; types: [Q] or [0].
        packs: only with execution ``packed``.
    """

    longest: int
    widest: int
    most: int
    examples: int
    input_ids: Tensor
    positions: Tensor
    text_cell: Tensor
    marker_cell: Tensor
    read: Tensor
    read_cell: Tensor
    left: Tensor
    right: Tensor
    classes: Tensor
    types: Tensor
    packs: Packs | None = None

    @property
    def text_rows(self) -> int:
        """T."""
        return len(self.text_cell)

    @property
    def text_mask(self) -> Tensor:
        """[B, longest] where there is text."""
        mask = torch.zeros(self.examples * self.longest, dtype=torch.bool, device=self.text_cell.device)
        return mask.index_fill_(0, self.text_cell, True).view(self.examples, self.longest)

    @property
    def example_of_pair(self) -> Tensor:
        """[Q]."""
        return self.marker_cell[: len(self.marker_cell) // 2] // (2 * self.most)

    def contents(self) -> Iterator[Hashable]:
        """Of each example its sub-tokens and the positions of its markers."""
        ids, example = self.input_ids[: self.text_rows].cpu(), self.text_cell.cpu() // self.longest
        positions, of_pair = self.positions[self.text_rows :].cpu().view(2, -1), self.example_of_pair.cpu()
        for number in range(self.examples):
            markers = positions[:, of_pair == number].flatten()
            yield tuple(ids[example == number].tolist()), tuple(markers.tolist())


def collate(
    examples: Sequence[Example], markers: tuple[int, int], offset: int, device: torch.device, pack: int | None
) -> Batch:
    """A batch on ``device``, which gets it in one piece.

    Args:
        examples: each with at least one pair.
        markers: ids of the start and the end marker.
        offset: position id of the first sub-token.
        device: where to.
        pack: the most pairs of a pack; none: no packs.
    """
    lengths = np.array([len(e.input_ids) for e in examples])
    reads = np.array([len(e.read) for e in examples])
    pairs = np.array([len(e.first) for e in examples])
    longest, widest, most = int(lengths.max()), int(reads.max()), int(pairs.max())
    of_text, text_rank = _rank(lengths)
    of_read, read_rank = _rank(reads)
    of_pair, pair_rank = _rank(pairs)
    first_row, first_read = np.cumsum(lengths) - lengths, np.cumsum(reads) - reads

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(e, name) for e in examples])

    start_cell = of_pair * (2 * most) + pair_rank
    fields = {
        "input_ids": np.concatenate((joined("input_ids"), np.repeat(markers, len(of_pair)))),
        "positions": np.concatenate((text_rank, joined("first"), joined("last"))) + offset,
        "text_cell": of_text * longest + text_rank,
        "marker_cell": np.concatenate((start_cell, start_cell + most)),
        "read": joined("read") + first_row[of_read],
        "read_cell": of_read * widest + read_rank,
        "left": joined("left") + first_read[of_pair],
        "right": joined("right") + first_read[of_pair],
        "classes": joined("classes"),
        "types": joined("types"),
    }
    if pack is None:
        return Batch(longest, widest, most, len(examples), **_moved(fields, device))
    count = -(-pairs // pack)
    opening = np.cumsum(count) - count
    layout = {
        "example": np.repeat(np.arange(len(examples)), count),
        "opening": opening,
        "pair": opening[of_pair] + pair_rank // pack,
        "slot": pair_rank % pack,
    }
    on_device = _moved({**fields, **layout}, device)
    packs = Packs(min(pack, most), **{name: on_device.pop(name) for name in layout})
    return replace(Batch(longest, widest, most, len(examples), **on_device), packs=packs)


def _rank(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of the items that ``counts`` counts: which group it is of, and its rank there."""
    group = np.repeat(np.arange(len(counts)), counts)
    return group, np.arange(len(group)) - np.repeat(np.cumsum(counts) - counts, counts)


def _moved(arrays: dict[str, np.ndarray], device: torch.device) -> dict[str, Tensor]:
    """Integer arrays on ``device``, with one copy."""
    whole = moved(torch.from_numpy(np.concatenate(list(arrays.values()))), device)
    parts = whole.split([len(array) for array in arrays.values()])
    return dict(zip(arrays, parts, strict=True))
