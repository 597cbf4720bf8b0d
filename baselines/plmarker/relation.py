"""Stage 2: the subject stands between solid markers in the text, and all entities get levitated pairs as its objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from baselines.plmarker.configuration import NIL, PlMarkerConfig, RelationClasses
from baselines.plmarker.decoding import ScoredPairs, decode_pairs
from baselines.plmarker.modeling import PairModel, empty_encoder, marker_words, with_markers
from baselines.plmarker.packing import Example
from baselines.plmarker.stage import Stage, text_length
from iter_bench.document import Document, Entity, Extraction, Relation
from iter_bench.observation.parts import part
from iter_bench.windows import Window

MARKER_WORDS = ("mask", "subject", "mask", "object")
SOLID = 2  # markers that stand in the text


@dataclass(frozen=True, slots=True)
class Held:
    """Where the entities stand that a window holds: first and last sub-tokens, counted in the window, [E] each."""

    first: np.ndarray
    last: np.ndarray


class RelationStage(Stage):
    """Documents with entities → relations.

    Args:
        config: the system's, with relation types.
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
        own = config.settings
        if encoder is None:
            encoder = empty_encoder(config.encoder, len(MARKER_WORDS))
        else:
            words = marker_words(tokenizer, MARKER_WORDS)
            encoder = with_markers(encoder, words if own.re_markers == "words" else [[]] * len(words))
        self.classes = config.relations
        module = PairModel(encoder, len(MARKER_WORDS), len(self.classes), len(config.entity_types) + 1, own.dropout)
        super().__init__(module, config, tokenizer, text_length(module, own.re_length, SOLID), own.re_pairs, device)

    @property
    def solid(self) -> tuple[int, int]:
        """Ids of the solid start and end marker."""
        return self.levitated[0] - SOLID, self.levitated[1] - SOLID

    def examples(self, documents: Sequence[Document]) -> list[Example]:
        """Each gold entity as subject, with every one of its window as object; made once a run.

        As in the released code, the subject is an object too, and each window that isn't full stands once more with an empty
        subject behind the text: both train the prediction of types.
        """
        type_of = {name: i + 1 for i, name in enumerate(self.config.entity_types)}
        windows = self.windows.windows(documents)
        full = text_length(self.module, self.config.settings.re_length, SOLID)
        prepared = []
        for window, gold in zip(windows, self.windows.within(documents, windows), strict=True):
            entities = one_per_span(gold.entities)
            if not entities:
                continue
            held = _held(window, entities)
            types = np.array([type_of[entity.type] for entity in entities])
            classes = pair_classes(entities, gold.relations, self.classes)
            everything = np.arange(len(entities))
            prepared += [
                _example(window, held, subject, everything, self.solid, classes[subject], types) for subject in everything
            ]
            if len(window.input_ids) < full:
                prepared.append(_example(window, held, None, everything, self.solid, np.full(len(types), NIL), types))
        return prepared

    def pairs(
        self, documents: Sequence[Document], entities: Sequence[Sequence[Entity]], windows: Sequence[Window] | None = None
    ) -> tuple[list[Example], list[np.ndarray]]:
        """An example for each subject of each window, and its pairs [P, 3]: document, subject and object by their indices.

        Args:
            documents: any.
            entities: of each document; spans differ.
            windows: of the documents, where they were made before.
        """
        examples: list[Example] = []
        pairs: list[np.ndarray] = []
        index_of = [{entity: i for i, entity in enumerate(of)} for of in entities]
        found = [Extraction(d.id, tuple(of)) for d, of in zip(documents, entities, strict=True)]
        windows = self.windows.windows(documents) if windows is None else windows
        for window, within in zip(windows, self.windows.within(found, windows), strict=True):
            held = _held(window, within.entities)
            index = np.array([index_of[window.document][entity] for entity in within.entities])
            everything = np.arange(len(index))
            for subject in everything if len(everything) > 1 else ():
                others = np.delete(everything, subject)
                examples.append(_example(window, held, subject, others, self.solid))
                pairs.append(np.stack(np.broadcast_arrays(window.document, index[subject], index[others]), axis=1))
        return examples, pairs

    def find(
        self,
        documents: Sequence[Document],
        entities: Sequence[Sequence[Entity]],
        windows: Sequence[Window],
        batch_size: int,
        given: Iterator[np.ndarray] | None = None,
    ) -> Callable[[], list[Extraction]]:
        """The relations between the given entities of each document, and these; computed at once, waited for when asked for.

        Args:
            documents: any.
            entities: of each document.
            windows: of the documents.
            batch_size: the most documents whose subjects share a pass.
            given: read in place of the scores, one array an example.
        """
        with part("tokenise"):
            spans = [one_per_span(of) for of in entities]
            examples, pairs = self.pairs(documents, spans, windows)
        names = [documents[columns[0, 0]].id for columns in pairs]
        decided = self.decide(examples, len(examples), _scores, names, groups_of(examples, pairs, batch_size))
        read = None if given is None else list(islice(given, len(examples)))

        def extractions() -> list[Extraction]:
            with part("decode"):
                scores, scored = decided(), None
                if examples:
                    rows, columns = np.concatenate(scores if read is None else read), np.concatenate(pairs)
                    scored = ScoredPairs(*columns.T, rows[:, :-1], rows[:, -1].astype(np.int64))
                return decode_pairs([d.id for d in documents], spans, scored, self.config, self.classes)

        return extractions


def _scores(classes: Tensor, types: Tensor) -> Tensor:
    """[Q, classes + 1]: log-probability of each class, and the most probable type."""
    return torch.cat((log_softmax(classes, -1), types.argmax(-1, keepdim=True).to(classes.dtype)), -1)


def groups_of(examples: Sequence[Example], pairs: Sequence[np.ndarray], batch_size: int) -> list[list[int]]:
    """The indices of the examples of ``batch_size`` documents at a time, of those with the longest texts first."""
    of_document: dict[int, list[int]] = {}
    for i, columns in enumerate(pairs):
        of_document.setdefault(int(columns[0, 0]), []).append(i)
    ranked = sorted(of_document.values(), key=lambda own: -max(examples[i].rows for i in own))
    return [list(chain(*ranked[first : first + batch_size])) for first in range(0, len(ranked), batch_size)]


def one_per_span(entities: Sequence[Entity]) -> list[Entity]:
    """The entities, but only the first where several have the same words: the markers of all would be the same."""
    return list({(entity.start, entity.end): entity for entity in reversed(entities)}.values())[::-1]


def pair_classes(entities: Sequence[Entity], relations: Sequence[Relation], classes: RelationClasses) -> np.ndarray:
    """The class of each (subject, object), [E, E]; a pair's first relation counts, and one of its own before an inverse."""
    index = {(entity.start, entity.end): i for i, entity in enumerate(entities)}
    of_relation = [
        (index[r.head.start, r.head.end], index[r.tail.start, r.tail.end], classes.forward[r.type], classes.inverse[r.type])
        for r in relations
    ]
    table = np.full((len(entities), len(entities)), NIL)
    forward = ((head, tail, kind) for head, tail, kind, _ in of_relation)
    for subject, object_, kind in chain(forward, ((tail, head, kind) for head, tail, _, kind in of_relation)):
        if table[subject, object_] == NIL and subject != object_:
            table[subject, object_] = kind
    return table


def _held(window: Window, entities: Sequence[Entity]) -> Held:
    first = window.first_subtoken[[entity.start - window.start_word for entity in entities]]
    last = window.last_subtoken[[entity.end - 1 - window.start_word for entity in entities]]
    return Held(first, last)


def _example(
    window: Window,
    held: Held,
    subject: int | None,
    objects: np.ndarray,
    solid: tuple[int, int],
    classes: np.ndarray | None = None,
    types: np.ndarray | None = None,
) -> Example:
    """The window with solid markers around one of the held entities, or behind the text where there's no subject."""
    ids, length = window.input_ids, len(window.input_ids)
    before, after = (length, length) if subject is None else (held.first[subject], held.last[subject] + 1)
    text = np.concatenate((ids[:before], solid[:1], ids[before:after], solid[1:], ids[after:]))

    def moved(positions: np.ndarray) -> np.ndarray:
        return positions + (positions >= before) + (positions >= after)

    ends = np.array([before, after + 1])
    of_pairs = np.zeros(len(objects), dtype=np.int64)
    none = of_pairs[:0]
    return Example(
        text,
        moved(held.first[objects]),
        moved(held.last[objects]),
        ends,
        of_pairs,
        of_pairs + 1,
        none if classes is None else classes,
        none if types is None else types,
    )
