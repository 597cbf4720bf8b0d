"""Gold annotation ↔ sequences of actions.

The actions are copy (0), ``<m>`` (1) and ``</m>`` (2); a sequence ends with the copy after the last sub-token, which stands for
the end of the text. Brackets don't nest: ``</m>`` closes the one open ``<m>``, and where both stand at one place, ``</m>``
comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from baselines.asp.configuration import AspConfig
from baselines.asp.source import Source
from iter_bench.document import Document, Entity, Extraction, Relation

COPY, OPEN, CLOSE = 0, 1, 2
SECOND = "second relation of the same two entities"


@dataclass(frozen=True, slots=True)
class Script:
    """A window's annotation as actions; L actions, E entities in the order of their ``</m>``.

    Attributes:
        actions: [L].
        pointer: [L] sub-tokens copied before each action.
        types: [E] index of the entity's type.
        links: [K, 3] (earlier entity, later entity, class): 1 + 2r says that the earlier one is the head of relation r, 2 + 2r
            that the later one is. A symmetric relation has the first of the two classes only.
    """

    actions: np.ndarray
    pointer: np.ndarray
    types: np.ndarray
    links: np.ndarray


def script_of(
    document: Document | Extraction, source: Source, config: AspConfig
) -> tuple[Script, list[Entity], dict[Entity, str]]:
    """The actions that write ``document``'s annotation in the window that ``source`` is of.

    Of entities that overlap, a largest possible set without overlap is kept, earliest end first.

    Returns:
        The script, the entities that it writes, and those in the window that it can't, with the reason.
    """
    spans = {entity: span for entity in document.entities if (span := source.span(entity)) is not None}
    kept: list[Entity] = []
    lost: dict[Entity, str] = {}
    for entity in sorted(spans, key=lambda entity: (spans[entity][1], spans[entity][0])):
        if kept and spans[entity] == spans[kept[-1]]:
            lost[entity] = "second type of the same span"
        elif kept and spans[entity][0] < spans[kept[-1]][1]:
            lost[entity] = "overlap of one that is kept, since brackets don't nest"
        else:
            kept.append(entity)
    opening, closing = np.array([spans[entity] for entity in kept], dtype=np.int64).reshape(-1, 2).T
    # three places for each pointer, in the order in which actions come there
    places = np.sort(np.concatenate((closing * 3, opening * 3 + 1, np.arange(len(source.word) + 1) * 3 + 2)))
    type_index = {name: i for i, name in enumerate(config.entity_types)}
    script = Script(
        actions=np.array([CLOSE, OPEN, COPY])[places % 3],
        pointer=places // 3,
        types=np.array([type_index[entity.type] for entity in kept], dtype=np.int64),
        links=_links(document, kept, config),
    )
    return script, kept, lost


def _links(document: Document | Extraction, entities: Sequence[Entity], config: AspConfig) -> np.ndarray:
    order = {entity: i for i, entity in enumerate(entities)}
    relation_index = {name: i for i, name in enumerate(config.relation_types)}
    links = set()
    for relation in document.relations:
        if relation.head in order and relation.tail in order:
            head, tail = order[relation.head], order[relation.tail]
            inverse = tail < head and relation.type not in config.symmetric
            links.add((min(head, tail), max(head, tail), 1 + 2 * relation_index[relation.type] + inverse))
    return np.array(sorted(links), dtype=np.int64).reshape(-1, 3)


def brackets(actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps of the ``<m>`` and ``</m>`` of each entity of a valid sequence; a last ``<m>`` without ``</m>`` is left out."""
    closing = np.flatnonzero(actions == CLOSE)
    return np.flatnonzero(actions == OPEN)[: len(closing)], closing


def valid(actions: np.ndarray, pointer: np.ndarray, source: Source) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What decoding may choose at each of L steps besides a copy.

    Returns:
        [L] whether it may be ``<m>``; [L] whether it may be ``</m>``; [L] the step of the last ``<m>`` before, or -1.
    """
    opens, closes = actions == OPEN, actions == CLOSE
    before = np.cumsum(opens) - opens
    is_open = before > np.cumsum(closes) - closes
    last = np.append(-1, np.flatnonzero(opens))[before]
    may_close = source.can_close[pointer] & is_open & (pointer > pointer[last])
    return source.can_open[pointer] & ~is_open, may_close, last


def replay(
    document_id: str,
    actions: np.ndarray,
    types: Sequence[tuple[int, float | None]],
    links: Sequence[tuple[int, int, int, float | None]],
    source: Source,
    config: AspConfig,
) -> Extraction:
    """What a sequence of actions says, in words of the document.

    Args:
        document_id: id of the extraction.
        actions: [L], valid.
        types: type and probability of each entity.
        links: (earlier entity, later entity, class other than 0, probability).
        source: where it was read from.
        config: names the classes.
    """
    pointer = np.cumsum(actions == COPY) - (actions == COPY)
    opening, closing = brackets(actions)
    entities = [
        Entity(int(source.word[start]), int(source.word[end - 1]) + 1, config.entity_types[kind], score)
        for start, end, (kind, score) in zip(pointer[opening], pointer[closing], types, strict=True)
    ]
    relations: dict[Relation, None] = {}
    for earlier, later, label, score in links:
        inverse, name = (label - 1) % 2 == 1, config.relation_types[(label - 1) // 2]
        head, tail = (later, earlier) if inverse and name not in config.symmetric else (earlier, later)
        if entities[head] != entities[tail]:  # with brackets inside words two spans can touch the same words
            relations.setdefault(Relation(entities[head], entities[tail], name, score))
    return Extraction(document_id, tuple(dict.fromkeys(entities)), tuple(relations))


def reachable(
    document: Document | Extraction, source: Source, config: AspConfig
) -> tuple[Extraction, dict[Entity, str], set[Relation]]:
    """The gold annotation in a window as far as a decoder without error writes it.

    Returns:
        The extraction, the lost entities with their reason, and the relations that a pair has beside its first.
    """
    script, kept, lost = script_of(document, source, config)
    if (limit := config.settings.max_steps) is not None:
        _, closing = brackets(script.actions)
        late = {entity for entity, step in zip(kept, closing.tolist(), strict=True) if step >= limit}
        lost.update(dict.fromkeys(late, f"their </m> comes after max_steps={limit} actions"))
        kept = [entity for entity in kept if entity not in late]
    chosen: dict[frozenset[Entity], Relation] = {}
    for relation in document.relations:
        if relation.head in kept and relation.tail in kept:
            chosen.setdefault(frozenset((relation.head, relation.tail)), relation)
    first = set(chosen.values())
    second = {r for r in document.relations if frozenset((r.head, r.tail)) in chosen and r not in first}
    return Extraction(document.id, tuple(kept), tuple(chosen.values())), lost, second
