"""The embedded corpus: documents of a chosen nesting, density and length, the same on every machine.

How it is built and why is told in ``docs/synthetic-corpus.md``. Every choice comes from ``random.Random.random``, seeded for
each document by version, seed, split and index, so that a document doesn't depend on how many are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from random import Random
from types import MappingProxyType
from typing import Annotated

from pydantic import Field, model_validator

from iter_bench.data.synthetic.nominals import PATTERNS, Namer
from iter_bench.data.synthetic.sentences import FRAMES, Text, Writer
from iter_bench.document import Dataset, Document, Entity, Relation, Schema
from iter_bench.errors import SettingsError
from iter_bench.settings import Settings

VERSION = "1.0"
"""Changes whenever the same settings make other documents."""

SPLITS = ("train", "dev", "test")
SHORTEST = 6
LONGEST = 36
_USUAL = (12, 30)

SCHEMA = Schema(
    entity_types=tuple(PATTERNS),
    relation_types=tuple(dict.fromkeys(frame.relation for frame in FRAMES)),
    symmetric=frozenset(frame.relation for frame in FRAMES if frame.symmetric),
)
"""The types of every preset."""

ARGUMENTS: Mapping[str, frozenset[tuple[str, str]]] = MappingProxyType(
    {
        relation: frozenset((frame.head, frame.tail) for frame in FRAMES if frame.relation == relation)
        for relation in SCHEMA.relation_types
    }
)
"""Relation type → the (head type, tail type) pairs that it joins."""

Share = Annotated[float, Field(ge=0, le=1)]


class CorpusSettings(Settings):
    """Everything that decides the documents. The defaults are those of the preset ``synthetic``."""

    name: str = Field("synthetic", pattern=r"^[a-z0-9-]+$", description="first part of the documents' ids")
    version: str = Field(VERSION, description="of the generator; only the present one can be made")
    seed: int = Field(13, ge=0)
    train: int = Field(460, ge=0, description="documents")
    dev: int = Field(100, ge=0, description="documents")
    test: int = Field(200, ge=0, description="documents")
    omega: int = Field(2, ge=1, le=4, description="largest nesting as of section 3.5; 1: no nesting at all")
    words: tuple[int, int] = Field(
        (15, 35), description="shortest and longest document; above 36 words it has several sentences"
    )
    density: float = Field(15, ge=0, le=20, description="entities per 100 words, aimed at on average")
    nesting: Share = Field(0.35, description="share of names that are built of names, where omega allows it")
    related: Share = Field(0.7, description="share of clauses about a pair that state a relation")
    ambiguity: Share = Field(0.75, description="share of names in a form that fits every type")
    unseen_names: Share = Field(0.5, description="share of names in dev and test of words that train doesn't have")
    unseen_clauses: Share = Field(
        0.25, description="share of stated relations in dev and test in wordings that train doesn't have"
    )

    @model_validator(mode="after")
    def _checked(self) -> CorpusSettings:
        if self.version != VERSION:
            raise ValueError(f"version: this iter-bench makes version {VERSION} of the corpus, not {self.version}")
        shortest, longest = self.words
        if not SHORTEST <= shortest <= longest:
            raise ValueError(f"words: {shortest} to {longest} is no range of lengths from {SHORTEST} words on")
        return self

    def size(self, split: str) -> int:
        """Documents in a split.

        Raises:
            SettingsError: no such split.
        """
        if split not in SPLITS:
            raise SettingsError(f"the embedded corpus has no split {split!r}; it has {', '.join(SPLITS)}")
        return {"train": self.train, "dev": self.dev, "test": self.test}[split]


PRESETS: Mapping[str, CorpusSettings] = MappingProxyType(
    {"synthetic": CorpusSettings()}
    | {f"synthetic-w{omega}": CorpusSettings(name=f"synthetic-w{omega}", omega=omega, train=600) for omega in (1, 2, 3, 4)}
    | {"synthetic-lengths": CorpusSettings(name="synthetic-lengths", words=(10, 150), train=190, dev=40, test=150)}
)
"""Catalogue name → settings; those with ``-w`` differ in omega only, ``-lengths`` holds as many words as they in fewer
documents; ``synthetic`` is as small as the time of ``make reproduce`` allows."""


def load(name: str, split: str) -> Dataset:
    """One split of a preset.

    Args:
        name: key of ``PRESETS``.
        split: train, dev or test.

    Raises:
        SettingsError: no such preset or split.
    """
    if name not in PRESETS:
        raise SettingsError(f"no embedded corpus is called {name!r}; there are {', '.join(PRESETS)}")
    return Dataset(name, split, generate(PRESETS[name], split), SCHEMA)


@lru_cache(maxsize=32)  # runs of a matrix, and tests, take the same few again and again, at a third of a second each
def generate(settings: CorpusSettings, split: str) -> tuple[Document, ...]:
    """The documents of one split; ids are unique over all splits.

    Args:
        settings: of the corpus.
        split: train, dev or test.

    Raises:
        SettingsError: no such split.
    """
    return tuple(_document(settings, split, index) for index in range(settings.size(split)))


def documents_of_length(n_words: int, count: int, density: float, seed: int, omega: int = 2) -> tuple[Document, ...]:
    """Documents of exactly ``n_words`` words, for measuring speed.

    Args:
        n_words: words a document, at least 6; MiniLM's vocabulary makes about 1.2 sub-tokens of a word.
        count: documents.
        density: entities per 100 words, 0 to 20, aimed at on average.
        seed: another seed, other documents.
        omega: largest nesting, 1 to 4.

    Raises:
        SettingsError: a value out of range.
    """
    if n_words < SHORTEST or count < 0 or not 0 <= density <= 20 or seed < 0 or not 1 <= omega <= 4:
        raise SettingsError(
            f"no documents of {n_words=}, {count=}, {density=}, {seed=}, {omega=}: a document has at least {SHORTEST} words, "
            "0 to 20 entities per 100 words, an omega of 1 to 4; count and seed are not negative"
        )
    name = f"synthetic-length{n_words}"
    return generate(
        CorpusSettings(name=name, seed=seed, train=count, omega=omega, words=(n_words, n_words), density=density), "train"
    )


def _document(settings: CorpusSettings, split: str, index: int) -> Document:
    rng = Random(f"{VERSION} {settings.seed} {split} {index}")
    unseen = split != "train"
    namer = Namer(
        pool=split if unseen else "shared",
        unseen=settings.unseen_names if unseen else 0,
        ambiguity=settings.ambiguity,
        nesting=settings.nesting,
        omega=settings.omega,
    )
    writer = Writer(namer, split, settings.unseen_clauses, settings.related)
    shortest, longest = settings.words
    n_words = shortest + int(rng.random() * (longest - shortest + 1))
    text, sentences, before = Text(), [], None
    for length in _sentence_lengths(rng, n_words):
        start, known = len(text.words), len(text.entities)
        # What earlier sentences lack or have too much is made up for; the factor keeps sentences uneven.
        due = settings.density / 100 * start - known
        sentence = writer.sentence(rng, length, due + settings.density / 100 * length * (0.5 + rng.random()), before)
        previous = known - len(before.entities) if before is not None else 0
        across = [r for r in sentence.relations if min(r[:2]) < 0]
        sentence.relations = [r for r in sentence.relations if min(r[:2]) >= 0]
        text.extend(sentence)
        for head, tail, kind in across:
            head, tail = (known + i if i >= 0 else previous - 1 - i for i in (head, tail))
            text.relations.append((head, tail, kind))
        sentences.append((start, len(text.words)))
        before = sentence
    return _annotated(f"{settings.name}-{VERSION}-{split}-{index:06d}", text, tuple(sentences))


def _sentence_lengths(rng: Random, n_words: int) -> list[int]:
    """Divide a document into sentences; the last takes what is left."""
    lengths = []
    while n_words > LONGEST:
        usual = _USUAL[0] + int(rng.random() * (_USUAL[1] - _USUAL[0] + 1))
        lengths.append(min(usual, n_words - SHORTEST))
        n_words -= lengths[-1]
    return [*lengths, n_words]


def _annotated(name: str, text: Text, sentences: tuple[tuple[int, int], ...]) -> Document:
    entities = [Entity(*entity) for entity in text.entities]
    relations = [SCHEMA.ordered(Relation(entities[head], entities[tail], kind)) for head, tail, kind in text.relations]
    return Document(name, tuple(text.words), tuple(sorted(entities)), tuple(sorted(relations)), sentences)
