"""ITER written down a second time, as slowly and plainly as the paper's equations: loops, one pair at a time, no sharing.

The fast model is compared with this in float64. Equation numbers are the paper's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from iter_bench.document import Document, Entity, Extraction, Relation
from iter_bench.iter_model import decoding
from iter_bench.iter_model.configuration import IterConfig
from iter_bench.iter_model.heads import GatedFeedForward
from iter_bench.iter_model.targets import Slots, build_targets, slots_of


def feed_forward(head: GatedFeedForward, *vectors: Tensor) -> list[float]:
    """Eq. 3 on the concatenation of the vectors, by the textbook."""
    x = torch.cat(vectors)
    inner = head.wi.weight @ x
    inner = head.act(inner) if head.gate is None else head.act(head.gate.weight @ x) * inner
    return (head.wo.weight @ inner).tolist()


def lse(values: list[float]) -> float:
    return math.log(sum(math.exp(v) for v in values)) if values else -math.inf


class PlainIter:
    """The heads of a model over the hidden states of one window."""

    def __init__(self, model, hidden: Tensor, slots: Slots):
        self.model, self.config = model, model.config
        self.left = [hidden[p] for p in slots.left.tolist()]
        self.right = [hidden[p] for p in slots.right.tolist()]

    def closest(self, lefts: list[int], m: int) -> list[int]:
        """Eq. 12: the ω closest left brackets at or before m."""
        return sorted((n for n in lefts if n <= m), reverse=True)[: self.config.omega]

    def span_logits(self, n: int, m: int) -> list[float]:
        return feed_forward(self.model.is_span, self.left[n], self.right[m])

    def link_logits(self, head: tuple[int, int], tail: tuple[int, int]) -> list[float]:
        def vectors(span: tuple[int, int]) -> list[Tensor]:
            n, m = span
            if self.config.link_span == "right":
                return [self.right[m]]
            if self.config.link_span == "sum":
                return [self.left[n] + self.right[m]]
            return [self.left[n], self.right[m]]

        return feed_forward(self.model.is_link, *vectors(tail), *vectors(head))

    def types_of(self, logits: list[float]) -> list[int]:
        if self.config.span_decision == "threshold":
            return [t for t, value in enumerate(logits) if value > 0]
        if self.config.has_no_span_class:
            best = max(range(len(logits)), key=lambda t: logits[t])
            return [] if best == len(logits) - 1 else [best]
        return [max(range(len(logits)), key=lambda t: logits[t])] if lse(logits) > 0 else []

    def extract(self) -> tuple[set[tuple[int, int, int]], dict[tuple, float]]:
        """Sections 3.1 and 3.2: spans (n, m, type), and the probability of every (head, tail, relation type)."""
        lefts = [n for n in range(len(self.left)) if feed_forward(self.model.is_left, self.left[n])[0] > 0]
        spans = {
            (n, m, t)
            for m in range(len(self.right))
            for n in self.closest(lefts, m)
            for t in self.types_of(self.span_logits(n, m))
        }
        links = {}
        for head in spans if self.config.relation_types else ():
            for tail in spans:
                for k, logit in enumerate(self.link_logits(head[:2], tail[:2])):
                    links[head, tail, k] = 1 / (1 + math.exp(-logit))
        return spans, links

    def losses(self, document: Document) -> dict[str, float]:
        """Eq. 9 to 13 for gold spans given in slots, which are words here."""
        config: IterConfig = self.config
        spans = {(e.start, e.end - 1): config.entity_types.index(e.type) for e in document.entities}
        lefts, rights = sorted({n for n, _ in spans}), sorted({m for _, m in spans})
        total = {"is_left": 0.0, "is_span": 0.0}
        for n in range(len(self.left)):
            gamma = feed_forward(self.model.is_left, self.left[n])[0]
            total["is_left"] += lse([gamma, 0.0]) - (gamma if n in lefts else 0.0)
        for m in range(len(self.right)):
            for n in self.closest(lefts, m):
                logits = self.span_logits(n, m)
                if (n, m) in spans:
                    correct = [logits[spans[n, m]]]
                elif not config.has_no_span_class:
                    correct = [0.0]
                else:
                    correct = [logits[-1]] if m in rights else [logits[-1], 0.0]
                total["is_span"] += lse([*logits, 0.0]) - lse(correct)
        if config.relation_types:
            total["is_link"] = self.link_loss(document, spans, lefts, rights)
        return total

    def link_loss(self, document: Document, spans: dict, lefts: list[int], rights: list[int]) -> float:
        config = self.config
        key = (lambda n, m: (m, m)) if config.link_span == "right" else (lambda n, m: (n, m))
        if config.link_loss == "brackets":
            heads = tails = {key(*span) for span in spans}
        elif config.link_span == "right":
            heads, tails = {(m, m) for m in range(len(self.right))}, {(m, m) for m in rights}
        else:
            heads = {(n, m) for m in range(len(self.right)) for n in self.closest(lefts, m)}
            tails = {(n, m) for n, m in heads if m in rights}
        true = set()
        for relation in document.relations:
            ends = [key(e.start, e.end - 1) for e in (relation.head, relation.tail)]
            kind = config.relation_types.index(relation.type)
            true.add((*ends, kind))
            if relation.type in config.symmetric and config.symmetric_targets == "both":
                true.add((ends[1], ends[0], kind))
        loss = 0.0
        for head in heads:
            for tail in tails:
                for k, logit in enumerate(self.link_logits(head, tail)):
                    loss += lse([0.0, logit]) - (logit if (head, tail, k) in true else 0.0)
        return loss


def perfect(system, document: Document) -> Extraction:
    """What the decoder makes of logits that say exactly what the targets of one window say."""
    (window,) = system.windows.windows([document])
    slots = slots_of(window, system.config)
    targets, _, _ = build_targets(document, slots, system.config)
    is_left = torch.from_numpy(targets.is_left) > 0
    ordinal, exists = decoding.closest_lefts(is_left, torch.zeros(len(slots), dtype=torch.long), system.config.omega)
    lefts = is_left.nonzero().squeeze(1)
    slot, rank = exists.nonzero().T
    assert slot.tolist() == targets.span_right.tolist()
    assert lefts[ordinal[slot, rank]].tolist() == targets.span_left.tolist()
    logits = torch.where(torch.from_numpy(targets.span_classes), 5.0, -5.0)
    everything = torch.ones(len(logits), dtype=torch.bool)
    chosen, _ = decoding.decide_spans(logits, everything, system.config.span_decision, system.config.has_no_span_class)
    words = slots.word
    entities = {
        (int(targets.span_left[c]), int(targets.span_right[c])): Entity(
            int(words[targets.span_left[c]]), int(words[targets.span_right[c]]) + 1, system.config.entity_types[t]
        )
        for c, t in chosen.nonzero().tolist()
    }
    relations = set()
    for head, tail, kind in targets.links.tolist():
        ends = [(targets.head_left[head], targets.head_right[head]), (targets.tail_left[tail], targets.tail_right[tail])]
        if system.config.link_span == "right":
            ends = [next(span for span in entities if span[1] == end) for _, end in ends]
        relations.add(Relation(*(entities[tuple(map(int, end))] for end in ends), system.config.relation_types[kind]))
    return Extraction(document.id, tuple(entities.values()), tuple(relations))
