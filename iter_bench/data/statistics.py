"""The figures of the paper's data table: samples, ω, share of samples with overlapping entities, length in sub-tokens.

ω (section 3.5) is the largest number of positions with a left bracket from an entity's start to its end, both included:
max over entities of |{start(e') : start(e) <= start(e') < end(e)}|. Positions count, not entities: entities that start
together share one bracket. It is the same in words and in sub-tokens, because a word has at most one left bracket.

The paper "count[s] overlaps as entities that begin inside another". Its 2.7 % for SciERC and 1.6 to 4.4 % for the folds of
ADE come out if two entities that begin at the same word count as such and all samples are the base, those without
entities too; without the common starts ADE would be at 0.6 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from iter_bench.document import Document

CountSubtokens = Callable[[Sequence[str]], int]
"""The number of sub-tokens, special tokens included, of a sample's words."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """One split's row of the data table.

    Attributes:
        samples: number of documents.
        entities: gold entities of all documents.
        relations: gold relations, a symmetric pair once.
        omega: ω of the split.
        overlapping: documents with an entity that begins inside another.
        subtokens: (min, max, mean) over the documents, context included; None without a tokenizer.
    """

    samples: int
    entities: int
    relations: int
    omega: int
    overlapping: int
    subtokens: tuple[int, int, float] | None = None

    @property
    def overlap_share(self) -> float:
        """Share of the documents that hold an overlap, 0 to 1."""
        return self.overlapping / self.samples if self.samples else 0.0


def omega(document: Document) -> int:
    """ω of one document; 0 where it has no entity."""
    starts = {entity.start for entity in document.entities}
    return max((sum(e.start <= start < e.end for start in starts) for e in document.entities), default=0)


def has_overlap(document: Document) -> bool:
    """Whether an entity begins inside another, at the other's first word included. One span of two types is no overlap."""
    spans = sorted({(entity.start, entity.end) for entity in document.entities})
    return any(later[0] < earlier[1] for earlier, later in pairwise(spans))


def statistics(documents: Iterable[Document], count_subtokens: CountSubtokens | None = None) -> Statistics:
    """The figures of some documents, in one pass."""
    samples = entities = relations = largest = overlapping = 0
    lengths = []
    for document in documents:
        samples += 1
        entities += len(document.entities)
        relations += len(document.relations)
        largest = max(largest, omega(document))
        overlapping += has_overlap(document)
        if count_subtokens:
            lengths.append(count_subtokens((*document.context_before, *document.words, *document.context_after)))
    subtokens = (min(lengths), max(lengths), sum(lengths) / len(lengths)) if lengths else None
    return Statistics(samples, entities, relations, largest, overlapping, subtokens)
