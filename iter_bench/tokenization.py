"""Words → windows of sub-tokens that an encoder can read, and what was found in windows → extractions of documents.

A document that fits is one window: special sub-tokens around the words, with context words on both sides as far as they
fit. A longer one becomes overlapping windows. Each word is owned by one of them, the one in which it stands further from a
border; an entity counts if the window that owns its first word has found it, so no entity counts twice. Windows begin and
end at word borders. Nothing is left out silently: `notes` counts what was cut, `reachable_gold` what that costs.
"""

from __future__ import annotations

import copy
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from transformers import PreTrainedTokenizerFast

from iter_bench.document import Document, Entity, Extraction, Relation
from iter_bench.errors import SettingsError
from iter_bench.windows import Window, by_document, extent, reaching, why_unreachable

_CACHED_WORDS = 500_000

_TOKENIZERS: weakref.WeakSet[WindowTokenizer] = weakref.WeakSet()


def forget_words() -> None:
    """Makes every ``WindowTokenizer`` tokenise words anew that it has seen, for measuring what unseen documents cost."""
    for tokenizer in _TOKENIZERS:
        tokenizer.forget_words()


@dataclass(frozen=True, slots=True)
class _Flat:
    """The sub-tokens of all words of a call, context included, one after the other.

    Attributes:
        ids: [T] sub-tokens.
        word: [T] index of the sub-token's word.
        border: [words + 1] where each word's sub-tokens begin; the last entry is T.
        empty: [words] words without sub-token.
        cut: [words] words with more sub-tokens than a window has room for.
    """

    ids: np.ndarray
    word: np.ndarray
    border: np.ndarray
    empty: np.ndarray
    cut: np.ndarray


class WindowTokenizer:
    """Cuts documents into windows of at most ``max_length`` sub-tokens.

    Args:
        tokenizer: a fast tokenizer, as ``load_tokenizer`` gives it; it is not changed.
        max_length: of a window, special sub-tokens included; None: documents are never cut.
        overlap: how many sub-tokens neighbouring windows share at most; by default a quarter of the room in a window. An
            entity of up to about half of it is whole in the window that owns its first word.
        beside_context: so many sub-tokens are added later to each window that has context, so they need room there.
        read_as: words → how the encoder reads them; all others as they are.
        markers: a word that is read directly before each window's own words, and one directly after them, with context or not.

    Raises:
        SettingsError: the tokenizer isn't a fast one, or windows would be too small or overlap wholly.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        max_length: int | None,
        overlap: int | None = None,
        *,
        beside_context: int = 0,
        read_as: Mapping[str, str] | None = None,
        markers: tuple[str, str] | None = None,
    ):
        if not tokenizer.is_fast:
            raise SettingsError(f"tokenizer {tokenizer.name_or_path!r} is not a fast one; it needs a tokenizer.json")
        self._backend = copy.deepcopy(tokenizer.backend_tokenizer)
        self._backend.no_truncation()
        self._backend.no_padding()
        self._cache: dict[str, list[int]] = {}
        _TOKENIZERS.add(self)
        # what the tokenizer puts around a text: all that isn't the text's own
        probe = self._backend.encode(["a"], is_pretokenized=True)
        inner = np.flatnonzero(np.array(probe.special_tokens_mask) == 0)
        self._prefix = np.array(probe.ids[: inner[0]], dtype=np.int64)
        self._suffix = np.array(probe.ids[inner[-1] + 1 :], dtype=np.int64)
        alone = [self._backend.encode([word], is_pretokenized=True, add_special_tokens=False).ids for word in markers or ()]
        self._opening, self._closing = (np.array(ids, dtype=np.int64) for ids in alone or [[], []])
        special = sum(map(len, (self._prefix, self._opening, self._closing, self._suffix)))
        if max_length is not None and max_length <= special:
            raise SettingsError(f"windows of {max_length} sub-tokens have no room beside {special} special ones")
        self._room = None if max_length is None else max_length - special
        self._beside_context = beside_context
        self._read_as = read_as or {}
        self._overlap = 0
        if self._room is not None:
            self._overlap = self._room // 4 if overlap is None else overlap
            if not 0 <= self._overlap < self._room:
                raise SettingsError(f"an overlap of {overlap} sub-tokens doesn't fit windows that have room for {self._room}")

    def forget_words(self) -> None:
        """Drops what was remembered of words; nothing else depends on it."""
        self._cache.clear()

    def windows(self, documents: Sequence[Document]) -> list[Window]:
        """The windows of all documents, in order; a document none of whose words has a sub-token gets none."""
        flat = self._flat(list(chain.from_iterable(chain(d.context_before, d.words, d.context_after) for d in documents)))
        found: list[Window] = []
        begin = 0
        for index, document in enumerate(documents):
            start = begin + len(document.context_before)
            end = start + len(document.words)
            stop = end + len(document.context_after)
            size = flat.border[end] - flat.border[start]
            if size == 0:
                pass
            elif self._room is None or size <= self._room:
                low, high = self._with_context(flat.border, begin, start, end, stop)
                cut_context = (low - begin) + (stop - high)
                found.append(self._window(flat, index, start, (start, end), (start, end), (low, high), cut_context))
            else:
                cut_context = (start - begin) + (stop - end)
                for span, owned in self._split(flat.border, start, end):
                    found.append(self._window(flat, index, start, span, owned, span, cut_context if owned[0] == start else 0))
            begin = stop
        return found

    def _flat(self, words: list[str]) -> _Flat:
        # a fast tokenizer reads each word of a list by itself, so each is tokenised once and remembered
        if len(self._cache) > _CACHED_WORDS:
            self._cache.clear()
        if new := list(set(words).difference(self._cache)):
            read = [[self._read_as.get(word, word)] for word in new]
            encoded = self._backend.encode_batch(read, is_pretokenized=True, add_special_tokens=False)
            self._cache.update(zip(new, (encoding.ids for encoding in encoded), strict=True))
        pieces = [self._cache[word] for word in words]
        counts = np.fromiter(map(len, pieces), dtype=np.int64, count=len(pieces))
        cut = counts > (self._room or np.inf)
        if cut.any():
            pieces = [piece[: self._room] for piece in pieces]
            counts = np.minimum(counts, self._room)
        border = np.zeros(len(counts) + 1, dtype=np.int64)
        np.cumsum(counts, out=border[1:])
        ids = np.fromiter(chain.from_iterable(pieces), dtype=np.int64, count=border[-1])
        return _Flat(ids, np.repeat(np.arange(len(counts)), counts), border, counts == 0, cut)

    def _with_context(self, border: np.ndarray, begin: int, start: int, end: int, stop: int) -> tuple[int, int]:
        """The words around ``start`` to ``end`` that fit too: as many sub-tokens on one side as on the other, or all."""
        before, after = border[start] - border[begin], border[stop] - border[end]
        if self._room is None or before + after == 0:
            return begin, stop
        free = max(0, self._room - self._beside_context - (border[end] - border[start]))
        if before + after <= free:
            return begin, stop
        left = min(before, max(free // 2, free - after))
        right = min(after, free - left)
        low = begin + np.searchsorted(border[begin : start + 1], border[start] - left, side="left")
        high = end + np.searchsorted(border[end : stop + 1], border[end] + right, side="right") - 1
        return int(low), int(high)

    def _split(self, border: np.ndarray, start: int, end: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """Windows over the words ``start`` to ``end``, each with the words that it owns."""
        at = border[start : end + 1]
        low = owned_from = 0
        while True:
            high = int(np.searchsorted(at, at[low] + self._room, side="right")) - 1
            if high == end - start:
                yield (start + low, end), (start + owned_from, end)
                return
            # the next window begins where the overlap allows, and late enough to hold the next word
            earliest = max(at[high] - self._overlap, at[high + 1] - self._room)
            following = int(np.searchsorted(at, earliest, side="left"))
            middle = int(np.searchsorted(at, (at[following] + at[high]) // 2, side="left"))
            yield (start + low, start + high), (start + owned_from, start + middle)
            low, owned_from = following, middle

    def _window(
        self,
        flat: _Flat,
        document: int,
        origin: int,
        words: tuple[int, int],
        owned: tuple[int, int],
        shown: tuple[int, int],
        cut_context: int,
    ) -> Window:
        """One window; all word offsets count over the call, ``origin`` is where the document's words begin."""
        (start, end), (low, high), border = words, shown, flat.border
        before, own, after = (flat.ids[border[a] : border[b]] for a, b in ((low, start), (start, end), (end, high)))
        input_ids = np.concatenate((self._prefix, before, self._opening, own, self._closing, after, self._suffix))
        begin = len(self._prefix) + len(before) + len(self._opening)
        shift = begin - border[start]  # from a position in the call to one in the window
        text = slice(begin, begin + len(own))
        word_ids = np.full(len(input_ids), -1)
        word_ids[text] = flat.word[border[start] : border[end]] - origin
        is_context = np.zeros(len(input_ids), dtype=bool)
        is_context[len(self._prefix) : text.start] = True
        is_context[text.stop : len(input_ids) - len(self._suffix)] = True
        first = border[start:end] + shift
        last = border[start + 1 : end + 1] + (shift - 1)
        if (empty := flat.empty[start:end]).any():
            first[empty] = last[empty] = -1
        return Window(
            document=document,
            input_ids=input_ids,
            word_ids=word_ids,
            is_context=is_context,
            start_word=start - origin,
            end_word=end - origin,
            first_subtoken=first,
            last_subtoken=last,
            owned=(owned[0] - origin, owned[1] - origin),
            cut_words=int(np.count_nonzero(flat.cut[owned[0] : owned[1]])),
            cut_context=cut_context,
        )

    @staticmethod
    def merge(extractions: Sequence[Extraction], windows: Sequence[Window], documents: Sequence[Document]) -> list[Extraction]:
        """One extraction a document from one a window.

        An entity is kept if the window that owns its first word has it. A relation is kept if some window has it and both
        its entities are kept; its highest score stands, since one window is enough.
        """
        merged = []
        for document, (found, of) in zip(documents, by_document(documents, windows, extractions), strict=True):
            if len(found) == 1:
                merged.append(found[0])
                continue
            kept = {
                entity: entity
                for extraction, window in zip(found, of, strict=True)
                for entity in extraction.entities
                if window.owned[0] <= entity.start < window.owned[1]
            }
            of_all = sorted((r for extraction in found for r in extraction.relations), key=lambda r: r.score or 0)
            relations = {  # of equal ones the last stays
                relation: Relation(kept[relation.head], kept[relation.tail], relation.type, relation.score)
                for relation in of_all
                if relation.head in kept and relation.tail in kept
            }
            merged.append(Extraction(document.id, tuple(sorted(kept.values())), tuple(sorted(relations.values()))))
        return merged

    @staticmethod
    def within(annotated: Sequence[Document | Extraction], windows: Sequence[Window]) -> list[Extraction]:
        """What of the documents' annotation each window holds, whichever window owns it; one a window."""
        parts: list[tuple[list[Entity], list[Relation]]] = [([], []) for _ in windows]
        for given, (held, of) in zip(annotated, by_document(annotated, windows, parts), strict=True):
            for entity in given.entities:
                for i in reaching(of, entity.start, entity.end):
                    if of[i].holds(entity):
                        held[i][0].append(entity)
            for relation in given.relations:
                for i in reaching(of, *extent(relation)):
                    if of[i].holds(relation.head) and of[i].holds(relation.tail):
                        held[i][1].append(relation)
        return [Extraction(annotated[w.document].id, *map(tuple, part)) for w, part in zip(windows, parts, strict=True)]

    @staticmethod
    def reachable_gold(documents: Sequence[Document], windows: Sequence[Window]) -> tuple[list[Extraction], Counter[str]]:
        """The gold annotation that can come out of ``merge`` at all, and the rest counted by reason."""
        reachable = []
        reasons: Counter[str] = Counter()
        for document, (_, of) in zip(documents, by_document(documents, windows, windows), strict=True):
            lost = {entity: reason for entity in document.entities if (reason := why_unreachable(entity, of))}
            reasons.update(lost.values())
            relations = []
            for relation in document.relations:
                if relation.head in lost or relation.tail in lost:
                    reasons["relations: an entity of theirs is unreachable"] += 1
                elif not reaching(of, *extent(relation)):
                    reasons["relations: their entities are in no common window"] += 1
                else:
                    relations.append(relation)
            entities = tuple(entity for entity in document.entities if entity not in lost)
            reachable.append(Extraction(document.id, entities, tuple(relations)))
        return reachable, reasons

    @staticmethod
    def notes(documents: Sequence[Document], windows: Sequence[Window]) -> Counter[str]:
        """What tokenising changed or left out, counted by what it was; empty when nothing was."""
        counts: Counter[str] = Counter()
        for document, (_, of) in zip(documents, by_document(documents, windows, windows), strict=True):
            seen = 0
            for window in of:
                owned = slice(window.owned[0] - window.start_word, window.owned[1] - window.start_word)
                seen += int(np.count_nonzero(window.first_subtoken[owned] >= 0))
                counts["words cut to the length of a window"] += window.cut_words
                counts["context words beyond what a window holds"] += window.cut_context
            counts["words without sub-token"] += len(document.words) - seen
            counts["documents split into windows"] += len(of) > 1
        return +counts
