"""Sentences of an exact number of words, from frames, clauses and names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, product
from random import Random

from iter_bench.data.synthetic import clauses, frames_people, frames_world
from iter_bench.data.synthetic.frames import Frame
from iter_bench.data.synthetic.names import chance, pick
from iter_bench.data.synthetic.nominals import SLOT, Namer, Nominal

FRAMES: tuple[Frame, ...] = frames_people.FRAMES + frames_world.FRAMES

_SUSPENDED = 0.5  # denied clauses: half by a suspending opening around a stated clause, half by a clause of their own


@dataclass
class Text:
    """Words being written; entities as (start, end, type), relations as (head, tail, type), indices into the entities."""

    words: list[str] = field(default_factory=list)
    entities: list[tuple[int, int, str]] = field(default_factory=list)
    relations: list[tuple[int, int, str]] = field(default_factory=list)

    def put(self, *words: str) -> None:
        """Write words; a comma before another mark is dropped."""
        for word in words:
            if word in {",", ";", "."} and self.words and self.words[-1] == ",":
                self.words.pop()
            self.words.append(word)

    def insert(self, nominal: Nominal) -> int:
        """Write a name and its annotation; returns the index of its outermost entity."""
        offset, first = len(self.words), len(self.entities)
        self.words += nominal.words
        self.entities += [(offset + start, offset + end, kind) for start, end, kind in nominal.entities]
        self.relations += [(first + head, first + tail, kind) for head, tail, kind in nominal.relations]
        return first

    def extend(self, other: Text) -> None:
        """Write a whole text behind this one."""
        self.insert(Nominal(other.words, other.entities, False, other.relations))


@dataclass(frozen=True)
class Writer:
    """Writes the sentences of one split.

    Attributes:
        namer: makes the names.
        split: whose held-out paraphrases are used; train has none.
        unseen: probability that a stated relation is worded by one of them.
        related: share of clauses with entities that state a relation; the others deny one or have none.
    """

    namer: Namer
    split: str
    unseen: float
    related: float

    def sentence(self, rng: Random, n_words: int, n_entities: float, before: Text | None = None) -> Text:
        """A sentence of exactly ``n_words`` words (at least 6), with about ``n_entities`` entities.

        Args:
            rng: source of all choices.
            n_words: length, the full stop included.
            n_entities: entities aimed at, nested ones included.
            before: the sentence before, whose only entity of some type may be the head or tail of a relation: the result's
                relations then have the index -1 - i for that sentence's entity i.
        """
        while True:
            text = Text()
            across = before is not None and n_entities >= 1 and chance(rng, 0.4) and self._across(rng, text, before)
            governed = not across and self._clause(rng, text, n_entities, n_words - 1)
            while n_words - 1 - len(text.words) > 8:
                text.put(*pick(rng, clauses.BREAKS if governed else clauses.CONNECTORS).split())
                governed = self._clause(rng, text, n_entities - len(text.entities), n_words - 1 - len(text.words))
            text.put(".")
            missing = n_words - len(text.words)
            if missing > 0:
                openers = [words for words in _OPENERS if len(words) == missing]
                if not openers or chance(rng, 0.85):
                    continue
                opened = Text(_fill(rng, pick(rng, openers)))
                opened.extend(text)
                text = opened
            if len(text.words) == n_words:
                text.words[0] = text.words[0][0].upper() + text.words[0][1:]
                return text

    def _clause(self, rng: Random, text: Text, wanted: float, room: int) -> bool:
        """Write a clause, with more entities and appositions the more are wanted; True if it hangs on an opening "that"."""
        governed = False
        if not chance(rng, wanted):
            words = clauses.FILLER if chance(rng, 0.8) else clauses.WORD_ONLY
            self._write(rng, text, pick(rng, words), {}, 0)
        elif wanted < 1.5 and chance(rng, 0.6):
            self._write(rng, text, pick(rng, clauses.SINGLE[pick(rng, sorted(clauses.SINGLE))]), {}, 0)
        elif wanted > 0.28 * room and chance(rng, 0.7):
            self._write(rng, text, pick(rng, clauses.LISTS), {}, 0)
        else:
            extra = min(0.8, max(0.2, 3 * wanted / room))
            draw = rng.random()
            if draw < self.related:
                if governed := chance(rng, 0.15):
                    text.put(*_fill(rng, pick(rng, clauses.AFFIRMING).split()))
                self._frame(rng, text, pick(rng, FRAMES), True, extra)
            elif draw < self.related + (1 - self.related) * 0.7:
                governed = self._frame(rng, text, pick(rng, FRAMES), False, extra)
            else:
                self._write(rng, text, pick(rng, clauses.TOGETHER), {}, extra)
        return governed

    def _frame(self, rng: Random, text: Text, frame: Frame, stated: bool, extra: float) -> bool:
        """Write a clause that states the relation, or one that doesn't; True if it hangs on a suspending opening."""
        options, weighted = frame.stated, True
        governed = not stated and chance(rng, _SUSPENDED)
        if not stated and not governed:
            options, weighted = frame.denied, False
        elif governed:
            text.put(*_fill(rng, pick(rng, clauses.SUSPENDING).split()))
        held_out = {"dev": frame.dev, "test": frame.test}.get(self.split)
        if weighted and held_out and chance(rng, self.unseen):
            options, weighted = held_out, False
        clause = _ranked(rng, options) if weighted else pick(rng, options)
        self._write(rng, text, clause, {"h": frame.head, "t": frame.tail}, extra, frame if stated else None)
        return governed

    def _across(self, rng: Random, text: Text, before: Text) -> bool:
        """Write a clause about the sentence before, if that has an only entity of a fitting type."""
        kinds = [kind for _, _, kind in before.entities]
        options = []
        for frame in FRAMES:
            for clause in frame.across:
                kind = frame.head if "{t" in clause else frame.tail
                if kinds.count(kind) == 1:
                    options.append((frame, clause, -1 - kinds.index(kind)))
        if not options:
            return False
        frame, clause, antecedent = pick(rng, options)
        written = self._write(rng, text, clause, {"h": frame.head, "t": frame.tail}, 0)
        if "{t" in clause:
            text.relations.append((antecedent, written["t"][0], frame.relation))
        else:
            text.relations.append((written["h"][0], antecedent, frame.relation))
        return True

    def _write(
        self, rng: Random, text: Text, clause: str, kinds: dict[str, str], extra: float, frame: Frame | None = None
    ) -> dict[str, list[int]]:
        """Write a clause; returns the entities of each slot, and relates head and tail if a frame is given.

        Args:
            rng: source of all choices.
            text: where to write.
            clause: in the notation of ``frames``.
            kinds: entity types of the slots ``h`` and ``t``.
            extra: probability of an apposition or a second entity, where the clause allows one.
            frame: relation that the clause states.
        """
        written: dict[str, list[int]] = {}
        for token in _fill(rng, clause.split()):
            slot = SLOT.fullmatch(token)
            if not slot:
                text.put(token)
                continue
            name, mark = slot[1], slot[2]
            if name == "name":
                text.put(*self.namer.name(rng, "location", bare=True))
                continue
            here = written.setdefault(name, [])
            here.append(self._mention(rng, text, kinds.get(name, name), article=mark != "^"))
            if mark == "'s":
                text.put("'s")
            elif mark == "+" and chance(rng, extra / 2):
                text.put("and")
                here.append(self._mention(rng, text, kinds[name]))
            elif name in kinds and mark in (None, "+") and chance(rng, extra):
                self._appose(rng, text, kinds[name], here[0])
        if frame is not None:
            text.relations += [(head, tail, frame.relation) for head in written["h"] for tail in written["t"]]
        return written

    def _mention(self, rng: Random, text: Text, kind: str, article: bool = True) -> int:
        """Write a name, with the article that it takes."""
        nominal = self.namer.mention(rng, kind)
        if article and nominal.article:
            text.put("the")
        return text.insert(nominal)

    def _appose(self, rng: Random, text: Text, kind: str, entity: int) -> None:
        """Write an apposition to the entity before, and its relation."""
        options = []
        for frame in FRAMES:
            options += [(frame, "t", clause) for clause in frame.apposed if "{h" not in clause and frame.head == kind]
            options += [(frame, "h", clause) for clause in frame.apposed if "{h" in clause and frame.tail == kind]
        if not options:
            return
        frame, slot, clause = pick(rng, options)
        other = self._write(rng, text, clause, {"h": frame.head, "t": frame.tail}, 0)[slot][0]
        text.relations.append((entity, other, frame.relation) if slot == "t" else (other, entity, frame.relation))


def _ranked(rng: Random, options: Sequence[str]) -> str:
    """A draw by rank: the first is taken about five times as often as the tenth."""
    weights = [2520 // (rank + 2) for rank in range(len(options))]  # integers: float sums differ between Python versions
    draw = int(rng.random() * sum(weights))
    return next(option for option, last in zip(options, accumulate(weights), strict=True) if draw < last)


def _fill(rng: Random, tokens: Sequence[str]) -> list[str]:
    """Decide the choices ``a|b`` and write out years, months, days and numbers."""
    words: list[str] = []
    for token in tokens:
        for word in (pick(rng, token.split("|")).replace("_", " ") if "|" in token else token).split():
            if word == "{year}":
                word = str(1900 + int(rng.random() * 126))
            elif word in _WORDS:
                word = pick(rng, _WORDS[word])
            words.append(word)
    return words


def _expanded(opener: str) -> list[list[str]]:
    """Every wording of an opener."""
    return [list(words) for words in product(*(token.split("|") for token in opener.split()))]


_WORDS = {"{month}": clauses.MONTHS, "{day}": clauses.DAYS, "{count}": clauses.COUNTS}
_OPENERS = [words for opener in clauses.OPENERS for words in _expanded(opener)]
