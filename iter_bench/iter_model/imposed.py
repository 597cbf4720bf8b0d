"""A given structure in place of what the heads decide: for measuring speed with weights that decide nothing.

The model computes all that it computes otherwise; only the three places where a logit becomes a decision read these arrays
instead. What is imposed is prepared before anything is timed; a prediction only joins the arrays of a batch's windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from iter_bench.devices import Movable
from iter_bench.document import Extraction
from iter_bench.iter_model.configuration import IterConfig
from iter_bench.iter_model.targets import Slots, span_in_slots


@dataclass(frozen=True, slots=True)
class Imposed:
    """The structure of one window, as decisions of the heads.

    Attributes:
        is_left: [S] where left brackets stand.
        spans: [S, ω, T] which slots end an entity of which type with which of their ω closest left brackets.
        links: [E², φ] relations of all pairs of the window's entities, in the order in which the model forms them.
    """

    is_left: np.ndarray
    spans: np.ndarray
    links: np.ndarray

    @property
    def entities(self) -> int:
        """E."""
        return int(self.spans.sum())


@dataclass(frozen=True, slots=True)
class Decisions(Movable):
    """Those of a batch that are made on the device; ``is_left``: [S], ``spans``: [S·ω, T]; ``imposed`` is true."""

    is_left: torch.Tensor
    spans: torch.Tensor
    imposed: torch.Tensor

    def instead_of(self, decided: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        """``given``, chosen on the device, so that no compiler can drop what led to ``decided``."""
        return torch.where(self.imposed, given, decided)


def imposed(extraction: Extraction, slots: Slots, config: IterConfig) -> Imposed:
    """What of ``extraction`` the window with these slots can express; the rest is left out."""
    types = {name: i for i, name in enumerate(config.entity_types)}
    kinds = {name: i for i, name in enumerate(config.relation_types)}
    text = np.flatnonzero(slots.word >= 0)
    words = Slots(slots.left[text], slots.right[text], slots.word[text])
    found = {entity: span for entity in extraction.entities if (span := span_in_slots(entity, words)) is not None}
    ends = {entity: (int(text[n]), int(text[m])) for entity, (n, m) in found.items()}
    lefts = np.unique(np.array([n for n, _ in ends.values()], dtype=np.int64))
    is_left = np.zeros(len(slots), dtype=bool)
    is_left[lefts] = True
    spans = np.zeros((len(slots), config.omega, len(types)), dtype=bool)
    place = {}
    for entity, (n, m) in ends.items():
        closeness = int(np.searchsorted(lefts, m, side="right") - 1 - np.searchsorted(lefts, n))
        if closeness < config.omega and not (config.span_decision == "argmax" and spans[m, closeness].any()):
            place[entity] = (m, closeness, types[entity.type])
            spans[place[entity]] = True
    order = {entity: i for i, entity in enumerate(sorted(place, key=place.__getitem__))}
    links = np.zeros((len(order), len(order), len(kinds)), dtype=bool)
    for relation in extraction.relations:
        if relation.head in order and relation.tail in order:
            links[order[relation.head], order[relation.tail], kinds[relation.type]] = True
    return Imposed(is_left, spans, links.reshape(len(order) ** 2, len(kinds)))


def decisions_of(windows: Sequence[Imposed]) -> Decisions:
    """Joined over the windows of a batch."""
    return Decisions(
        torch.from_numpy(np.concatenate([window.is_left for window in windows])),
        torch.from_numpy(np.concatenate([window.spans for window in windows]).reshape(-1, windows[0].spans.shape[2])),
        torch.ones((), dtype=torch.bool),
    )


def links_of(windows: Sequence[Imposed]) -> np.ndarray:
    """[P, φ], joined over the windows of a batch."""
    return np.concatenate([window.links for window in windows])
