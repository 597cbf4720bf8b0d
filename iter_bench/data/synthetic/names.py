"""Invented names: one surface form may stand for a person, a firm, a town, a machine, a race or a book.

Three pools with no word in common: ``shared`` occurs in every split; ``dev`` and ``test`` each occur in that split only, so
that a name's share of the score that comes from having seen it can be told from the rest. A bare name takes any entity type;
a marked one ("Halden Ltd") gives its type away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

T = TypeVar("T")

_FIRST_SYLLABLES = (
    "Al Ar Bar Bel Bren Cal Cor Dar Del Dor Ed El Fal Fen Gar Gil Hal Har Hol Jar Kel Kes Lan Lor Mal Mar Mel Mor Nar Nor Or "
    "Pel Per Quil Ran Rol Sal Sel Sor Tal Tam Tor Ul Val Ver Wen Wil Yar Zel Zan"
).split()
_LAST_SYLLABLES = (
    "ba bek bern bury by dale dan den der dine do fast fell ford gan gard gate ham hart ick ine ista keth la land lay "
    "leck low man mere mond nan net nick no ola or ova ra rick ric "
    "sen ser shaw sie stead ta tan ten ton vane ver vik wald wick win"
).split()
_GIVEN = (
    "Ada Alma Anton Basil Bruno Clara Cyril Dora Edgar Edith Elias Emil Esther Felix Flora Greta Hugo Ida Iris Jonas Judith "
    "Karl Laura Leon Linus Magda Mabel Marek Nina Olga Oscar Otto Paula Petra Rosa Ruben Simon Tilda Viktor Wanda"
).split()
_QUALITY = (
    "Amber Ashen Autumn Bitter Black Bright Broken Copper Coral Crimson Distant Early Empty Frozen Golden Green Grey Hollow "
    "Iron Ivory Lonely Long Lost Pale Quiet Red Salt Scarlet Second Silver Slate Summer Velvet White Wild Winter"
).split()
_THING = (
    "Anchor Arrow Beacon Bell Bridge Brook Canyon Cedar Circle Compass Crown Falcon Feather Ferry Field Garden Gate Harbour "
    "Heron Lantern Meadow Mill Mirror Orchard Otter Pier Raven Ridge Spring Stone Summit Thistle Tower Valley Willow Wind"
).split()


def pick(rng: Random, items: Sequence[T]) -> T:
    """A uniform draw that uses ``random()`` only, whose sequence Python promises to keep."""
    return items[int(rng.random() * len(items))]


def chance(rng: Random, probability: float) -> bool:
    """True with the given probability."""
    return rng.random() < probability


@dataclass(frozen=True)
class Pool:
    """The words that names are made of."""

    stems: tuple[str, ...]
    given: tuple[str, ...]
    qualities: tuple[str, ...]
    things: tuple[str, ...]

    @property
    def words(self) -> frozenset[str]:
        """Every word of the pool."""
        return frozenset(self.stems + self.given + self.qualities + self.things)

    def bare(self, rng: Random, kind: str) -> list[str]:
        """A name whose form fits every type (but for "Winter Harbour", which is nobody's name)."""
        draw = rng.random()
        if draw < 0.68:
            return [pick(rng, self.stems)]
        if draw < 0.80:
            return [pick(rng, self.stems), pick(rng, self.things)]
        if draw < 0.90 and kind != "person":
            return [pick(rng, self.qualities), pick(rng, self.things)]
        return [pick(rng, self.given), pick(rng, self.stems)]

    def marked(self, rng: Random, kind: str) -> list[str]:
        """A name whose form tells its type."""
        return pick(rng, _MARKED[kind]).format(stem=pick(rng, self.stems), given=pick(rng, self.given)).split()


_MARKED = {
    "person": ("Dr. {stem}", "Mrs. {stem}", "Mr. {stem}", "{given} {stem}", "{given} {stem}", "Sir {given} {stem}"),
    "organization": ("{stem} Ltd", "{stem} & Sons", "{stem} Group", "{stem} Holdings", "{stem} Airways", "{stem} Brothers"),
    "location": ("Port {stem}", "Lake {stem}", "Upper {stem}", "Mount {stem}", "{stem} County", "Saint {stem}"),
    "product": ("{stem} 400", "{stem} Mark II", "{stem} 7", "{stem} Turbo", "{stem} Mini", "{stem} XL"),
    "event": ("{stem} Cup", "{stem} Week", "{stem} Marathon", "{stem} Rally", "{stem} Games", "{stem} Biennial"),
    "work": ("The {stem} Letters", "The {stem} Affair", "{stem} Nocturnes", "The {stem} Trilogy", "The Road to {stem}"),
}


def shuffled(rng: Random, items: Sequence[T]) -> list[T]:
    """A uniform permutation, by ``random()`` only (Fisher and Yates)."""
    out = list(items)
    for i in range(len(out) - 1, 0, -1):
        j = int(rng.random() * (i + 1))
        out[i], out[j] = out[j], out[i]
    return out


def _split(items: Sequence[str], dev: float, test: float, rng: Random) -> dict[str, tuple[str, ...]]:
    """Divide ``items`` into the three pools."""
    order = shuffled(rng, items)
    n_dev, n_test = int(dev * len(order)), int(test * len(order))
    return {
        "dev": tuple(order[:n_dev]),
        "test": tuple(order[n_dev : n_dev + n_test]),
        "shared": tuple(order[n_dev + n_test :]),
    }


def _pools() -> dict[str, Pool]:
    rng = Random("iter-bench names")
    stems = shuffled(rng, [a + b for a in _FIRST_SYLLABLES for b in _LAST_SYLLABLES if a[-1] != b[0]])[:520]
    parts = [_split(items, 0.2, 0.3, rng) for items in (stems, _GIVEN, _QUALITY, _THING)]
    return {name: Pool(*(part[name] for part in parts)) for name in ("shared", "dev", "test")}


POOLS = _pools()
