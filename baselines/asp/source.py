"""What ASP reads and copies: a window as the encoder's input, and the part of it that the decoder writes again.

The encoder reads task prefix, context and text; where there is context, two markers stand around the text. The decoder copies
the text with these markers, and nothing else (as the released code does). The pointer p says how many sub-tokens are copied.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from baselines.asp.configuration import AspConfig
from iter_bench.document import Entity
from iter_bench.windows import Window


@dataclass(frozen=True, slots=True)
class Source:
    """One window; N sub-tokens for the encoder, T of them to copy.

    Attributes:
        input_ids: [N].
        offset: where the first copied sub-token stands in ``input_ids``.
        word: [T] offset of each copied sub-token's word in the document; -1 for context markers.
        can_open, can_close: [T + 1] whether ``<m>`` and ``</m>`` may stand where p sub-tokens are copied.
    """

    input_ids: np.ndarray
    offset: int
    word: np.ndarray
    can_open: np.ndarray
    can_close: np.ndarray

    @property
    def copied(self) -> np.ndarray:
        """[T] the sub-tokens to copy."""
        return self.input_ids[self.offset : self.offset + len(self.word)]

    def positions(self, pointer: np.ndarray) -> np.ndarray:
        """Where in the encoder's input each output stands, [L], by how many sub-tokens were copied before each step, [L].

        It's where the last copied one stands; before there is one, the start stands before the text and a bracket at its first
        sub-token: beside the embedding of BERT's first position it couldn't be told from the start.
        """
        first = np.arange(len(pointer)) > 0
        return np.maximum(self.offset + np.maximum(pointer, first) - 1, 0)

    def span(self, entity: Entity) -> tuple[int, int] | None:
        """Pointers of the entity's ``<m>`` and ``</m>``; none if its first or last word isn't there."""
        first = np.flatnonzero(self.word == entity.start)
        last = np.flatnonzero(self.word == entity.end - 1)
        return (int(first[0]), int(last[-1]) + 1) if len(first) and len(last) else None


def source_of(window: Window, config: AspConfig) -> Source:
    """The window as ASP reads it."""
    text = np.flatnonzero(window.word_ids >= 0)
    begin, end = int(text[0]), int(text[-1]) + 1
    low = int(np.flatnonzero(window.is_context)[0]) if window.is_context[:begin].any() else begin
    has_context = bool(window.is_context.any())
    parts = [
        window.input_ids[:low],
        config.prefix,
        window.input_ids[low:begin],
        [config.context_opening] * has_context,
        window.input_ids[begin:end],
        [config.context_closing] * has_context,
        window.input_ids[end:],
    ]
    word = np.pad(window.word_ids[begin:end], int(has_context), constant_values=-1)
    is_text = word >= 0
    can_open, can_close = np.append(is_text, False), np.append(False, is_text)
    if config.settings.bracket_positions == "words":
        border = np.concatenate(([True], word[1:] != word[:-1], [True]))
        can_open, can_close = can_open & border, can_close & border
    ids = np.concatenate([np.asarray(part, dtype=np.int64) for part in parts])
    return Source(ids, begin + len(config.prefix), word, can_open, can_close)
