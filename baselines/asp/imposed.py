"""A given structure in place of what is decided: for measuring speed with weights that decide nothing.

The decoder writes the bracketed text of that structure, output by output, and all logits are computed; only the places where
they become decisions (``decisions.py``) read these arrays instead. They are prepared before anything is timed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from baselines.asp.actions import CLOSE, OPEN, brackets, script_of
from baselines.asp.configuration import AspConfig
from baselines.asp.source import Source
from iter_bench.document import Extraction, Relation

OPENS, CLOSES = 1, 2


@dataclass(frozen=True, slots=True)
class Imposed:
    """The structure of one window; L actions, E entities, T sub-tokens to copy.

    Attributes:
        actions: [L] what is written.
        pointer: [L] sub-tokens copied before each action.
        marks: [T + 1] ``OPENS`` and ``CLOSES`` added up where brackets stand after so many copies.
        types: [E] type of each entity, in the order of their ``</m>``.
        classes: [E (E - 1) / 2] class of each pair, in the order in which they are scored.
        given: relation as it's decoded → as it was given, for symmetric ones that were given the other way round.
    """

    actions: np.ndarray
    pointer: np.ndarray
    marks: np.ndarray
    types: np.ndarray
    classes: np.ndarray
    given: dict[Relation, Relation]

    def as_given(self, found: Extraction) -> Extraction:
        """The extraction with symmetric relations the way round that was given."""
        return replace(found, relations=tuple(self.given.get(relation, relation) for relation in found.relations))


def imposed(extraction: Extraction, source: Source, config: AspConfig) -> Imposed:
    """What of ``extraction`` the window can express, ``max_steps`` included; of several relations of a pair one is kept."""
    script, kept, _ = script_of(extraction, source, config)
    actions = script.actions[: config.settings.max_steps]
    count = len(brackets(actions)[1])
    marks = np.zeros(len(source.word) + 1, dtype=np.int64)
    for action, mark in ((OPEN, OPENS), (CLOSE, CLOSES)):
        marks[script.pointer[script.actions == action]] += mark  # no two brackets of a kind stand at one place
    classes = np.zeros((count, count), dtype=np.int64)
    first, second, label = script.links[(script.links[:, :2] < count).all(1)].T
    classes[first, second] = label
    order = {entity: i for i, entity in enumerate(kept)}
    turned = {
        Relation(relation.tail, relation.head, relation.type): relation
        for relation in extraction.relations
        if relation.type in config.symmetric and order.get(relation.tail, count) < order.get(relation.head, count)
    }
    return Imposed(
        actions=actions,
        pointer=script.pointer[: len(actions)],
        marks=marks,
        types=script.types[:count],
        classes=classes[np.triu_indices(count, k=1)],
        given=turned,
    )
