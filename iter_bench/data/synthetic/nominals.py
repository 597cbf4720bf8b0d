"""Names of a chosen nesting: an entity, and the entities that its name is built from.

The nesting of an entity is what section 3.5 of the paper counts: the positions in its span at which an entity begins, its
own first word included. A pattern such as ``{person} Institute of {location}`` opens with an entity, so that its own start
is counted there; ``Bank of {location}`` adds one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from random import Random

from iter_bench.data.synthetic.names import POOLS, chance, pick

SLOT = re.compile(r"\{([a-z]+)('s|[~^+])?\}")


@dataclass(frozen=True)
class Pattern:
    """A name built of names; ``inner`` is a relation that the name itself states: (type, the outer entity is its head)."""

    text: str
    inner: tuple[str, bool] | None = None
    article: bool = True

    @property
    def slots(self) -> list[str]:
        """Entity types of the names it is built of."""
        return [match[1] for match in SLOT.finditer(self.text)]

    @property
    def own(self) -> int:
        """1 if the pattern's first word begins no inner entity, else 0."""
        return int(not self.text.startswith("{"))

    @property
    def least(self) -> int:
        """The smallest nesting it can have."""
        return self.own + len(self.slots)


PATTERNS = {
    "person": (
        Pattern("Duchess of {location}"),
        Pattern("Earl of {location}"),
        Pattern("Bishop of {location}"),
        Pattern("Margrave of {location}"),
    ),
    "organization": (
        Pattern("University of {location}"),
        Pattern("Bank of {location}"),
        Pattern("{person} Foundation"),
        Pattern("{location} Chamber of Commerce"),
        Pattern("{person} Institute of {location}"),
        Pattern("Alumni Association of {organization}"),
        Pattern("Trustees of {organization}"),
        Pattern("Staff Union of {organization}"),
        Pattern("Friends of {work}"),
        Pattern("Observatory at {location}", ("located_in", True)),
        Pattern("Printing House at {location}", ("located_in", True)),
        Pattern("{location} Society for {person}"),
    ),
    "location": (
        Pattern("Port of {location}"),
        Pattern("Old Town of {location}"),
        Pattern("Bay of {location}"),
        Pattern("{person} Square"),
        Pattern("{organization} Stadium"),
        Pattern("Garden Suburb in {location}", ("located_in", True)),
    ),
    "product": (
        Pattern("{organization} Roadster", ("produces", False)),
        Pattern("{organization} Compact", ("produces", False)),
        Pattern("Touring Edition of {product}"),
    ),
    "event": (
        Pattern("Battle of {location}"),
        Pattern("{location} Regatta"),
        Pattern("{organization} Open", ("sponsors", False)),
        Pattern("{person} Memorial Race"),
        Pattern("Congress of {organization}"),
    ),
    "work": (
        Pattern("Letters to {person}", article=False),
        Pattern("A History of {location}", article=False),
        Pattern("Ballad of {person}"),
        Pattern("Notes on {work}", article=False),
        Pattern("Nights at {location}", article=False),
    ),
    "role": (
        Pattern("mayor of {location}"),
        Pattern("governor of {location}"),
        Pattern("director of {organization}"),
        Pattern("treasurer of {organization}"),
        Pattern("editor of {work}"),
        Pattern("patron of {event}"),
    ),
}

_ROLE = (
    "deputy chief senior assistant acting junior".split(),
    "harbour court customs forest mine school hospital field".split(),
)
_TITLE = "master surveyor inspector warden steward registrar provost bailiff".split()


@dataclass
class Nominal:
    """A name's words, its entities (the whole first) as (start, end, type), and relations as indices into them."""

    words: list[str]
    entities: list[tuple[int, int, str]]
    article: bool
    relations: list[tuple[int, int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Namer:
    """Makes names for one split.

    Attributes:
        pool: the split's own pool, ``shared`` for train.
        unseen: probability that a name's words come from it, not from the shared pool.
        ambiguity: probability that a name has a form which fits every type.
        nesting: probability that a name is built of names.
        omega: largest nesting.
    """

    pool: str
    unseen: float
    ambiguity: float
    nesting: float
    omega: int

    def name(self, rng: Random, kind: str, bare: bool = False) -> list[str]:
        """Words of a name that holds no other."""
        pool = POOLS[self.pool if chance(rng, self.unseen) else "shared"]
        return pool.bare(rng, kind) if bare or chance(rng, self.ambiguity) else pool.marked(rng, kind)

    def mention(self, rng: Random, kind: str) -> Nominal:
        """A name of type ``kind``, nested or not as the settings' chances have it."""
        if self.omega > 1 and chance(rng, self.nesting):
            return self.nested(rng, kind, 1 + int(rng.random() * self.omega))
        return self.plain(rng, kind)

    def plain(self, rng: Random, kind: str) -> Nominal:
        """A name of type ``kind`` that holds no other."""
        if kind == "role":
            words = [pick(rng, part) for part in _ROLE] + [pick(rng, _TITLE)]
            words = words[int(rng.random() * 2) :]
        else:
            words = self.name(rng, kind)
        article = kind in ("event", "role") or (kind == "product" and chance(rng, 0.6))
        return Nominal(words, [(0, len(words), kind)], article)

    def nested(self, rng: Random, kind: str, starts: int) -> Nominal:
        """A name of type ``kind`` and of nesting ``starts`` exactly; a plain one where no pattern is as small."""
        patterns = [pattern for pattern in PATTERNS[kind] if pattern.least <= starts]
        if not patterns:
            return self.plain(rng, kind)
        pattern = pick(rng, patterns)
        shares = [1] * len(pattern.slots)
        for _ in range(starts - pattern.least):
            shares[int(rng.random() * len(shares))] += 1
        words: list[str] = []
        entities: list[tuple[int, int, str]] = []
        relations: list[tuple[int, int, str]] = []
        for token in pattern.text.split():
            slot = SLOT.fullmatch(token)
            if not slot:
                words.append(token)
                continue
            share = shares.pop(0)
            part = self.nested(rng, slot[1], share) if share > 1 else self.plain(rng, slot[1])
            if part.article and words:
                words.append("the")
            first = 1 + len(entities)
            if pattern.inner:
                relation, outer_is_head = pattern.inner
                relations.append((0, first, relation) if outer_is_head else (first, 0, relation))
            relations += [(first + head, first + tail, name) for head, tail, name in part.relations]
            entities += [(len(words) + start, len(words) + end, name) for start, end, name in part.entities]
            words += part.words
        return Nominal(words, [(0, len(words), kind), *entities], pattern.article, relations)
