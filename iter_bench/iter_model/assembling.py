"""From what was found in a batch to extractions: brackets and pairs become entities and relations in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from iter_bench.document import Entity, Extraction, Relation
from iter_bench.iter_model.configuration import IterConfig
from iter_bench.iter_model.modeling import Found
from iter_bench.iter_model.targets import Slots


def assemble(
    found: Found, holds: np.ndarray, slots: Sequence[Slots], ids: Sequence[str], config: IterConfig
) -> Iterable[Extraction]:
    """One extraction a window, in words of its document; a span that touches no word (a special sub-token) is dropped.

    Args:
        found: in a batch.
        holds: [P, φ] which relations hold of which pair.
        slots: of each window.
        ids: of each window's document.
        config: of the model that found it.
    """
    types, links = config.entity_types, config.relation_types
    entities: list[Entity | None] = []
    base = np.cumsum([0] + [len(s) for s in slots])
    for window, left, right, kind, score in zip(
        found.window.tolist(),
        found.left.tolist(),
        found.right.tolist(),
        found.type.tolist(),
        found.score.tolist(),
        strict=True,
    ):
        words = slots[window].word
        start, last = int(words[left - base[window]]), int(words[right - base[window]])
        entities.append(Entity(start, last + 1, types[kind], score) if 0 <= start <= last else None)
    of_window: list[dict[Entity, None]] = [{} for _ in slots]
    relations: list[dict[Relation, Relation]] = [{} for _ in slots]
    for entity, window in zip(entities, found.window.tolist(), strict=True):
        if entity is not None:
            of_window[window].setdefault(entity)
    pair, kind = np.nonzero(holds)
    for head, tail, k, score in zip(
        found.head[pair].tolist(), found.tail[pair].tolist(), kind.tolist(), found.link[pair, kind].tolist(), strict=True
    ):
        first, second = entities[head], entities[tail]
        if first is not None and second is not None and (first != second or config.self_links):
            relation = Relation(first, second, links[k], score)
            own = relations[int(found.window[head])]
            # brackets at other sub-tokens of the same words: the likelier stands
            if score > own.setdefault(relation, relation).score:
                own[relation] = relation
    return [Extraction(*parts, tuple(own.values())) for *parts, own in zip(ids, map(tuple, of_window), relations, strict=True)]
