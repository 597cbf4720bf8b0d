"""Gold annotation → the targets of the three heads (section 3.3, appendix B), as flat index lists.

All gold brackets are known before training, so which positions and pairs enter the loss is decided here once a window, in
NumPy; a training step only gathers. Brackets stand on *slots*: with ``bracket_positions: words`` a slot is a word, whose
left bracket is at its first sub-token and whose right bracket at its last; with ``subtokens`` a slot is a sub-token.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iter_bench.document import Document, Entity, Extraction
from iter_bench.iter_model.configuration import IterConfig
from iter_bench.windows import Window

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Slots:
    """Where brackets may stand in one window; all arrays are [S] and count within the window.

    Attributes:
        left: sub-token at which a left bracket of the slot stands.
        right: sub-token at which a right bracket of the slot stands.
        word: word offset in the document, -1 for special sub-tokens, context and its markers.
    """

    left: np.ndarray
    right: np.ndarray
    word: np.ndarray

    def __len__(self) -> int:
        return len(self.left)


def slots_of(window: Window, config: IterConfig) -> Slots:
    """The slots of a window; with ``words`` its context has none."""
    if config.bracket_positions == "subtokens":
        positions = np.arange(len(window.input_ids))
        return Slots(positions, positions, window.word_ids)
    present = np.flatnonzero(window.first_subtoken >= 0)
    return Slots(window.first_subtoken[present], window.last_subtoken[present], present + window.start_word)


@dataclass(frozen=True, slots=True)
class Targets:
    """Targets of one window; indices are slots unless said otherwise, η the number of classes of ``is_span``.

    Attributes:
        is_left: [S] 1 where a gold span starts.
        span_left, span_right: [C] candidates (n, m) of eq. 12: every slot m with each of its ω closest gold left brackets.
        span_classes: [C, η] the correct classes of each candidate; no true entry means "no span".
        span_at_right: [C] whether any gold span ends at m.
        head_left, head_right, tail_left, tail_right: [H], [Q] ends of the spans that enter eq. 13 on either side.
        links: [K, 3] the true ones as (index of head, index of tail, relation type).
    """

    is_left: np.ndarray
    span_left: np.ndarray
    span_right: np.ndarray
    span_classes: np.ndarray
    span_at_right: np.ndarray
    head_left: np.ndarray
    head_right: np.ndarray
    tail_left: np.ndarray
    tail_right: np.ndarray
    links: np.ndarray


def closest_lefts(lefts: np.ndarray, slots: int, omega: int) -> tuple[np.ndarray, np.ndarray]:
    """For each slot m the ω closest n ≤ m among the sorted ``lefts``, closest first: (m, n), each [C]."""
    right = np.arange(slots)
    rank = np.searchsorted(lefts, right, side="right")[:, None] - 1 - np.arange(omega)[None, :]
    m, j = np.nonzero(rank >= 0)
    return m, lefts[rank[m, j]]


def span_in_slots(entity: Entity, slots: Slots) -> Span | None:
    """(n, m) of an entity's brackets; none if its first or last word has no slot in this window."""
    n = np.searchsorted(slots.word, entity.start, side="left")
    m = np.searchsorted(slots.word, entity.end - 1, side="right") - 1
    if n < len(slots) and m >= 0 and slots.word[n] == entity.start and slots.word[m] == entity.end - 1:
        return int(n), int(m)
    return None


def build_targets(
    document: Document | Extraction, slots: Slots, config: IterConfig
) -> tuple[Targets, set[Entity], dict[Entity, str]]:
    """Targets of ``document`` in the window whose slots are given.

    Returns:
        The targets, the gold entities in this window that they express, and those that they can't, with the reason.
    """
    type_index = {name: i for i, name in enumerate(config.entity_types)}
    link_index = {name: i for i, name in enumerate(config.relation_types)}
    unreachable: dict[Entity, str] = {}
    # special sub-tokens and context carry word -1 on both sides of the text; only the text's slots are searched
    text = np.flatnonzero(slots.word >= 0)
    words = Slots(slots.left[text], slots.right[text], slots.word[text])
    spans: dict[Entity, Span] = {}
    for entity in document.entities:
        if (span := span_in_slots(entity, words)) is not None:
            spans[entity] = (int(text[span[0]]), int(text[span[1]]))

    lefts = np.unique(np.array([n for n, _ in spans.values()], dtype=np.int64))
    is_left = np.zeros(len(slots), dtype=np.float32)
    is_left[lefts] = 1
    m, n = closest_lefts(lefts, len(slots), config.omega)
    candidate = {pair: i for i, pair in enumerate(zip(n.tolist(), m.tolist(), strict=True))}
    classes = np.zeros((len(m), len(config.entity_types) + config.has_no_span_class), dtype=bool)
    expressed: set[Entity] = set()
    for entity, span in spans.items():
        row = candidate.get(span)
        if row is None:
            unreachable[entity] = f"more left brackets inside the entity than omega={config.omega}"
        elif config.span_decision == "argmax" and classes[row].any():
            unreachable[entity] = "second type of the same span"
        else:
            classes[row, type_index[entity.type]] = True
            expressed.add(entity)
    if config.has_no_span_class:
        classes[:, -1] = ~classes.any(axis=1)
    gold_rights = np.unique(np.array([right for _, right in spans.values()], dtype=np.int64))
    at_right = np.isin(m, gold_rights)

    heads, tails = _link_sides(config, len(slots), (n, m), at_right, gold_rights, {spans[entity] for entity in expressed})
    head_of, tail_of = ({span: i for i, span in enumerate(side)} for side in (heads, tails))
    links: set[tuple[int, int, int]] = set()
    for relation in document.relations:
        if relation.head in expressed and relation.tail in expressed and config.relation_types:
            head, tail = (_link_key(spans[end], config) for end in (relation.head, relation.tail))
            kind = link_index[relation.type]
            links.add((head_of[head], tail_of[tail], kind))
            if relation.type in config.symmetric and config.symmetric_targets == "both":
                links.add((head_of[tail], tail_of[head], kind))
    return (
        Targets(
            is_left,
            n,
            m,
            classes,
            at_right,
            *(np.array([span[i] for span in side], dtype=np.int64) for side in (heads, tails) for i in (0, 1)),
            np.array(sorted(links), dtype=np.int64).reshape(-1, 3),
        ),
        expressed,
        unreachable,
    )


def _link_key(span: Span, config: IterConfig) -> Span:
    """What ``is_link`` knows of a span: its right end alone with ``link_span: right`` (eq. 6), else both ends (eq. 7)."""
    return (span[1], span[1]) if config.link_span == "right" else span


def _link_sides(
    config: IterConfig,
    slots: int,
    candidates: tuple[np.ndarray, np.ndarray],
    at_right: np.ndarray,
    gold_rights: np.ndarray,
    gold: set[Span],
) -> tuple[list[Span], list[Span]]:
    """Spans that stand as head and as tail in eq. 13, by ``link_loss``."""
    if not config.relation_types:
        return [], []
    if config.link_loss == "brackets":
        side = sorted({_link_key(span, config) for span in gold})
        return side, side
    if config.link_span == "right":
        return [(m, m) for m in range(slots)] if len(gold_rights) else [], [(m, m) for m in gold_rights.tolist()]
    pairs = list(zip(candidates[0].tolist(), candidates[1].tolist(), strict=True))
    return pairs, [pair for pair, is_right in zip(pairs, at_right.tolist(), strict=True) if is_right]
