"""Stage 1: every candidate span gets a levitated marker pair and a class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from baselines.plmarker.candidates import Candidates, candidates_of, span_classes
from baselines.plmarker.configuration import NIL, PlMarkerConfig
from baselines.plmarker.decoding import without_overlaps
from baselines.plmarker.modeling import PairModel, empty_encoder, marker_words, with_markers
from baselines.plmarker.packing import Example
from baselines.plmarker.stage import Stage, text_length
from iter_bench.document import Document, Entity
from iter_bench.observation.parts import part
from iter_bench.windows import Window

MARKER_WORDS = ("mask", "entity")
BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}"}  # of the Penn Treebank
NONE = np.zeros(0, dtype=np.int64)


class NerStage(Stage):
    """Documents → entities.

    Args:
        config: the system's.
        tokenizer: the encoder's.
        device: where it runs.
        encoder: pre-trained; none: the weights are to be loaded.
    """

    def __init__(
        self,
        config: PlMarkerConfig,
        tokenizer: PreTrainedTokenizerFast,
        device: torch.device,
        encoder: PreTrainedModel | None = None,
    ):
        if encoder is None:
            encoder = empty_encoder(config.encoder, len(MARKER_WORDS))
        else:
            encoder = with_markers(encoder, marker_words(tokenizer, MARKER_WORDS))
        own = config.settings
        module = PairModel(encoder, len(MARKER_WORDS), len(config.entity_types) + 1, 0, own.dropout)
        read_as = BRACKETS if own.brackets else None
        super().__init__(module, config, tokenizer, text_length(module, own.ner_length), own.ner_pairs, device, read_as)

    @property
    def class_of(self) -> dict[str, int]:
        """Class of each type of entity."""
        return {name: i + 1 for i, name in enumerate(self.config.entity_types)}

    def candidates(self, documents: Sequence[Document]) -> list[tuple[Window, Candidates]]:
        """The candidates of each window that has any."""
        longest = self.config.settings.max_span_words
        found = (
            (window, candidates_of(window, documents[window.document], longest)) for window in self.windows.windows(documents)
        )
        return [(window, candidates) for window, candidates in found if len(candidates)]

    def examples(self, documents: Sequence[Document]) -> list[Example]:
        """Windows with the classes of their candidates; made once a run."""
        prepared = self.candidates(documents)
        within = self.windows.within(documents, [window for window, _ in prepared])
        return [
            _example(window, candidates, span_classes(candidates, gold.entities, self.class_of))
            for (window, candidates), gold in zip(prepared, within, strict=True)
        ]

    def unlabelled(self, prepared: Sequence[tuple[Window, Candidates]]) -> list[Example]:
        """An example for each window with its candidates, for prediction."""
        return [_example(window, candidates, NONE) for window, candidates in prepared]

    def find(
        self,
        documents: Sequence[Document],
        prepared: Sequence[tuple[Window, Candidates]],
        examples: Sequence[Example],
        batch_size: int,
        given: Iterator[np.ndarray] | None = None,
    ) -> Callable[[], list[tuple[Entity, ...]]]:
        """The entities of each document, in order of position; computed at once, and waited for where they're asked for.

        Args:
            documents: any.
            prepared, examples: their ``candidates``, and what ``unlabelled`` makes of these.
            batch_size: the most windows of a pass.
            given: read in place of what is decided, one array an example.
        """
        names = [documents[window.document].id for window, _ in prepared]
        decided = self.decide(examples, batch_size, _best_class, names)
        read = None if given is None else list(islice(given, len(examples)))

        def entities() -> list[tuple[Entity, ...]]:
            with part("decode"):
                rows = decided()
                return self._entities(len(documents), prepared, rows if read is None else read)

        return entities

    def _entities(
        self, count: int, prepared: Sequence[tuple[Window, Candidates]], decided: Sequence[np.ndarray]
    ) -> list[tuple[Entity, ...]]:
        found: list[list[Entity]] = [[] for _ in range(count)]
        types = self.config.entity_types
        for (window, candidates), rows in zip(prepared, decided, strict=True):
            hits = np.flatnonzero(rows[:, 0] != NIL)
            spans = zip(candidates.start[hits].tolist(), candidates.end[hits].tolist(), rows[hits].tolist(), strict=True)
            found[window.document] += [Entity(start, end, types[int(kind) - 1], score) for start, end, (kind, score) in spans]
        overlap = self.config.settings.ner_overlap
        return [tuple(sorted(without_overlaps(entities, overlap))) for entities in found]


def _best_class(logits: Tensor, _: Tensor | None) -> Tensor:
    """[Q, 2]: the most probable class and its probability."""
    score, kind = logits.softmax(-1).max(-1)
    return torch.stack((kind.to(score.dtype), score), -1)


def _example(window: Window, candidates: Candidates, classes: np.ndarray) -> Example:
    read, ends = np.unique(np.concatenate((candidates.first, candidates.last)), return_inverse=True)
    left, right = np.split(ends, 2)
    return Example(window.input_ids, candidates.first, candidates.last, read, left, right, classes, NONE)
