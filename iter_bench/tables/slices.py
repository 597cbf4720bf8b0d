"""F1 by ω and by length: the counts of single documents, summed over documents that are alike.

A record holds counts by document; the ω and the length of the documents are read off the embedded corpus, which is generated
again and must be the one that the record was scored on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from statistics import mean

import numpy as np
import pandas as pd

from iter_bench import data
from iter_bench.data import statistics, synthetic
from iter_bench.document import Document
from iter_bench.records import Record
from iter_bench.scoring import CRITERIA, precision_recall_f1
from iter_bench.tables.captions import provenance
from iter_bench.tables.output import LABELS
from iter_bench.tables.runs import ABOUT, group_runs, on_test
from iter_bench.tables.text import Made

BINS = 4
RESAMPLES = 2000
INTERVAL = (
    "F1 in percent, convention `strict`, mean over runs; in brackets the 95 % interval when documents are drawn anew "
    f"({RESAMPLES} bootstrap samples; it speaks of documents, not of seeds). "
)
DEPTH = (
    "ω of a document: the most positions inside one of its gold entities at which an entity begins. It is no nesting depth: "
    "three short entities side by side in a long one give 4. Documents of a larger ω also hold more entities. Of data sets "
    "with nested entities in documents of one sentence, so that those of a larger ω are not just long."
)
LENGTH = (
    f"Words of a document, {BINS} bins with the same number of documents each, of data sets with several sentences a document."
)


def depth(records: Sequence[Record]) -> Made:
    """A row a group of runs and ω of the documents."""
    return _made(
        "F1 by ω (most positions inside one entity at which an entity begins)",
        "ω",
        DEPTH,
        records,
        lambda documents: [statistics.omega(d) for d in documents],
    )


def length(records: Sequence[Record]) -> Made:
    """A row a group of runs and bin of lengths; ``words`` is the mean of the bin, ``from`` and ``to`` its ends."""
    return _made("F1 by length", "words", LENGTH, records, _bins)


def _bins(documents: Sequence[Document]) -> list[int]:
    order = np.argsort([len(document.words) for document in documents], kind="stable")
    bins = np.empty(len(documents), dtype=int)
    bins[order] = np.arange(len(documents)) * BINS // len(documents)
    return bins.tolist()


def _made(
    title: str, name: str, meaning: str, records: Sequence[Record], key: Callable[[Sequence[Document]], list[int]]
) -> Made:
    used, rows = [], []
    kept = [record for record in on_test(records) if record.documents and _documents(record)]
    for group in group_runs(kept, records):
        documents = _documents(group.records[0])
        keys = np.array(key(documents))
        if len(set(keys.tolist())) < 2 or (name == "words") != any(len(document.sentences) > 1 for document in documents):
            continue
        used += group.records
        words = np.array([len(document.words) for document in documents])
        for value in sorted(set(keys.tolist())):
            of = keys == value
            row = group.about | {name: value if name == "ω" else float(words[of].mean())}
            row |= {"from": int(words[of].min()), "to": int(words[of].max()), "documents": int(of.sum())}
            for criterion in (c for c in CRITERIA if c in group.records[0].documents):
                counts = np.array([record.documents[criterion] for record in group.records])[:, of]
                column = f"{LABELS[criterion]} F1"
                row[column], row[f"{column} low"], row[f"{column} high"] = f1_interval(counts)
            rows.append(row)
    scores = [f"{LABELS[criterion]} F1{end}" for criterion in CRITERIA for end in ("", " low", " high")]
    frame = pd.DataFrame(rows, columns=[*ABOUT, name, "from", "to", "documents", *scores])
    return Made(title, frame, (INTERVAL + meaning, provenance(used)), _readable(frame))


def f1_interval(counts: np.ndarray) -> tuple[float, float, float]:
    """Mean F1 over runs in percent, and the 95 % interval over documents.

    Args:
        counts: [runs, documents, 3] tp, fp, fn.
    """
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(counts.shape[1], np.full(counts.shape[1], 1 / counts.shape[1]), size=RESAMPLES)
    sums = np.einsum("sd,rdc->src", drawn, counts)
    f1 = 200 * sums[..., 0] / np.maximum(2 * sums[..., 0] + sums[..., 1] + sums[..., 2], 1)
    low, high = np.percentile(f1.mean(axis=1), [2.5, 97.5])
    totals = counts.sum(axis=1).tolist()
    return mean(100 * precision_recall_f1(*total)[2] for total in totals), float(low), float(high)


def _documents(record: Record) -> tuple[Document, ...]:
    """What the record was scored on, or nothing where that is no split of the embedded corpus as it is made now."""
    if record.settings.data.dataset not in synthetic.PRESETS:
        return ()
    documents, sha256 = _split(record.settings.data.dataset, record.settings.data.test)
    return documents if sha256 == record.data["test"].sha256 else ()


@cache
def _split(dataset: str, split: str) -> tuple[tuple[Document, ...], str]:
    documents = data.load(dataset, split).documents
    return documents, data.fingerprint(documents)


def _readable(frame: pd.DataFrame) -> pd.DataFrame:
    text = {}
    for name in frame.columns:
        if name.endswith((" low", " high")):
            continue
        if name.endswith(" F1"):
            cells = zip(frame[name], frame[f"{name} low"], frame[f"{name} high"], strict=True)
            text[name] = ["" if pd.isna(value) else f"{value:.1f} [{low:.1f}, {high:.1f}]" for value, low, high in cells]
        else:
            text[name] = [f"{value:.1f}" if isinstance(value, float) else str(value) for value in frame[name]]
    return pd.DataFrame(text, columns=list(text), dtype=str)
