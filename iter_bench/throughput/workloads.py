"""What is extracted from while time is taken: documents of one length, or of the lengths and density of a known data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from iter_bench import data
from iter_bench.data import catalogue
from iter_bench.data.synthetic import SCHEMA, documents_of_length
from iter_bench.document import Document, Schema
from iter_bench.encoders import load_tokenizer
from iter_bench.errors import SettingsError
from iter_bench.throughput.schema import MeasuredDocuments
from iter_bench.throughput.settings import DENSITY, WORKLOADS, Workload
from iter_bench.tokenization import WindowTokenizer

SHORTEST_WORDS = 6
SPREAD = 0.6
"""Standard deviation of the logarithm of lengths; sentences of CoNLL04 and CoNLL03 have 0.6 to 0.8."""


def of_length(subtokens: int, count: int, density: float = DENSITY) -> Workload:
    """Documents as long as can be within ``subtokens``, with ``density`` entities per 100 words."""
    lengths = {"shortest": subtokens, "longest": subtokens, "mean": subtokens}
    return Workload(name=f"length-{subtokens}", count=count, density=density, **lengths)


def of_dataset(name: str, count: int, data_dir: Path | None) -> Workload:
    """A data set of ``workloads.toml``; the corpus itself where ``data_dir`` (else ``ITER_BENCH_DATA``) holds it.

    Raises:
        SettingsError: the file has no such data set.
    """
    if name not in WORKLOADS:
        raise SettingsError(f"no workload is called {name!r}; there are {', '.join(WORKLOADS)}")
    stated = WORKLOADS[name]
    shortest, longest, mean = stated["subtokens"]
    workload = Workload(
        name=name,
        count=count,
        shortest=shortest,
        longest=longest,
        mean=mean,
        context=stated.get("context", 0),
        density=stated["density"],
        relations=stated.get("relations", True),
    )
    corpus = stated.get("corpus")
    if corpus and not catalogue.entry(corpus).missing(data_dir):
        return workload.model_copy(update={"corpus": corpus})
    return workload


def documents_of(workload: Workload, data_dir: Path | None = None) -> tuple[tuple[Document, ...], Schema]:
    """The workload's documents, in no order of length, and their schema."""
    if workload.corpus:
        corpus = data.load(workload.corpus, "test", data_dir=data_dir)
        return _spread(corpus.documents, workload), corpus.schema
    tokenizer = WindowTokenizer(load_tokenizer("minilm"), None)
    lengths = lengths_of(workload)
    Random(workload.seed).shuffle(lengths)
    documents = []
    for i, length in enumerate(lengths):
        document = _document(length, workload, i, tokenizer)
        if workload.context:
            around = _document(round(workload.context), workload, len(lengths) + i, tokenizer).words
            half = len(around) // 2
            document = replace(document, context_before=around[:half], context_after=around[half:])
        documents.append(replace(document, id=f"{workload.name}-{i}"))
    if workload.relations:
        return tuple(documents), SCHEMA
    return tuple(replace(document, relations=()) for document in documents), Schema(SCHEMA.entity_types)


def _spread(documents: Sequence[Document], workload: Workload) -> tuple[Document, ...]:
    """As many of a corpus as asked for, evenly spaced by length, so that they are as long as all of it."""
    ordered = sorted(documents, key=lambda document: (len(document.words), document.id))
    count = min(workload.count, len(ordered))
    chosen = [ordered[(2 * i + 1) * len(ordered) // (2 * count)] for i in range(count)]
    Random(workload.seed).shuffle(chosen)
    return tuple(chosen)


def lengths_of(workload: Workload) -> list[int]:
    """Lengths, ascending: quantiles of a log-normal distribution within the bounds, of the mean asked for."""
    if workload.length is not None:
        return [workload.length] * workload.count
    z = norm.ppf((np.arange(workload.count) + 0.5) / workload.count)

    def lengths(center: float) -> np.ndarray:
        of = np.clip(np.exp(center + SPREAD * z), workload.shortest, workload.longest)
        of[0], of[-1] = (workload.shortest, workload.longest) if workload.count > 2 else of[[0, -1]]
        return of

    low, high = np.log(workload.shortest) - 4, np.log(workload.longest) + 4
    if not lengths(low).mean() < workload.mean < lengths(high).mean():
        raise SettingsError(f"workload {workload.name}: {workload.count} documents can't have these lengths; take more")
    center = brentq(lambda x: lengths(x).mean() - workload.mean, low, high)
    return np.rint(lengths(center)).astype(int).tolist()


def subtokens(documents: Sequence[Document]) -> list[int]:
    """Lengths in MiniLM's sub-tokens, special ones and context included."""
    tokenizer = WindowTokenizer(load_tokenizer("minilm"), None)
    return [len(window.input_ids) for window in tokenizer.windows(documents)]


def describe(documents: Sequence[Document], entities: int, relations: int) -> MeasuredDocuments:
    """Hash and counts of the documents of a call, as a record holds them; entities and relations are those of its structure."""
    lengths = subtokens(documents)
    return MeasuredDocuments(
        sha256=data.fingerprint(documents),
        documents=len(documents),
        words=sum(len(document.words) for document in documents),
        subtokens=(min(lengths), float(np.mean(lengths)), max(lengths)),
        entities=entities,
        relations=relations,
    )


def _document(length: int, workload: Workload, seed: int, tokenizer: WindowTokenizer) -> Document:
    """A flat document (ASP can't nest) of at most ``length`` sub-tokens where six words fit, and hardly fewer."""
    words, best, best_length = max(SHORTEST_WORDS, round((length - 2) / 1.2)), None, 0
    for _ in range(8):
        (document,) = documents_of_length(words, 1, workload.density, 1000 * workload.seed + seed, omega=1)
        (window,) = tokenizer.windows([document])
        found = len(window.input_ids)
        if best is None or best_length < found <= length or best_length > length >= found:
            best, best_length = document, found
        if 0.98 * length <= found <= length or (words == SHORTEST_WORDS and found > length):
            break
        # towards the length, and always on
        step = round((length - found) / 1.3) or (1 if found < length else -1)
        words = max(SHORTEST_WORDS, words + step)
    return best
