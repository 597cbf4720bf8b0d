"""The paper's table 7 from records: ITER started from the encoder that an ITER on CoNLL03 trained, beside its usual start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from iter_bench import published
from iter_bench.records import Record
from iter_bench.settings import TRAINED
from iter_bench.tables.captions import provenance
from iter_bench.tables.paper import CONVENTIONS
from iter_bench.tables.runs import spread
from iter_bench.tables.text import Made

SOURCE = "CoNLL03"
STARTS = ("from the encoder", f"from {SOURCE}")
METRICS = {"NER": "ner", "RE+": "re_plus"}
NAMES = [f"{metric} {start}" for metric in METRICS for start in STARTS]


@dataclass(frozen=True, slots=True)
class _Pair:
    """Runs of one setting with both starts; ``usual`` are those with the seeds of ``started``."""

    dataset: str
    encoder: str
    usual: tuple[Record, ...]
    started: tuple[Record, ...]


def transfer(records: Sequence[Record]) -> Made:
    """Table 7; a record counts if it, or one that differs from it in the start only, was started from a run on CoNLL03."""
    printed: dict[tuple[str, str], dict[str, Any]] = {}
    figures = published.figures(table=7)
    letters = published.letters(figures)
    for entry in figures.itertuples():
        encoder, _, started = entry.encoder.partition("+")
        name = f"{'NER' if entry.metric == 'ner_f1' else 'RE+'} {STARTS[bool(started)]}"
        row = printed.setdefault((entry.dataset, encoder), {"dataset": entry.dataset, "encoder": encoder})
        row |= {f"published {name}": entry.value, f"published {name} std": entry.std, "published seeds": int(entry.seeds)}
        row["published note"] = letters.get(entry.note) or row.get("published note")
    pairs, rows, used = list(_pairs(records)), [], []
    for (dataset, encoder), row in printed.items():
        same = [pair for pair in pairs if pair.dataset == dataset and published.same_encoder(encoder, pair.encoder)]
        rows += [row | _measured(pair, row) for pair in same] or [row]
        used += same
    rows += [{"dataset": p.dataset, "encoder": p.encoder} | _measured(p, {}) for p in pairs if p not in used]
    columns = ["dataset", "encoder"]
    columns += [*(f"published {name}{std}" for name in NAMES for std in ("", " std")), "published seeds"]
    columns += ["published note"]
    columns += [*(f"measured {name}{std}" for name in NAMES for std in ("", " std")), "measured seeds"]
    columns += [f"difference {name}" for name in NAMES if pairs]
    shown = [record for pair in pairs for record in (*pair.usual, *pair.started)]
    notes = (CONVENTIONS, *published.told(letters), provenance(shown))
    return Made(f"Table 7: transfer from {SOURCE}", pd.DataFrame(rows, columns=columns), notes)


def _pairs(records: Sequence[Record]) -> Iterator[_Pair]:
    known = {record.run_id: record for record in records}
    groups: dict[str, list[tuple[Record, str]]] = {}
    for record in records:
        source = known.get(record.settings.encoder.removeprefix(TRAINED))
        if record.settings.encoder.startswith(TRAINED) and source and published.DATASETS.get(source.dataset) == SOURCE:
            groups.setdefault(_setting(record, source.settings.encoder), []).append((record, source.settings.encoder))
    for setting, members in groups.items():
        started, encoder = tuple(record for record, _ in members), members[0][1]
        seeds = {record.settings.seed for record in started}
        usual = tuple(
            r for r in records if _setting(r, r.settings.encoder) == setting and r.settings.seed in seeds and r not in started
        )
        if title := published.DATASETS.get(started[0].dataset):
            yield _Pair(title, encoder, usual, started)


def _setting(record: Record, encoder: str) -> str:
    """All that decides a run but its seed and its start."""
    return record.settings.model_copy(update={"encoder": encoder, "seed": 0}).run_id


def _measured(pair: _Pair, printed: dict[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {"measured seeds": len({record.settings.seed for record in pair.started})}
    for start, records in zip(STARTS, (pair.usual, pair.started), strict=True):
        for metric, criterion in METRICS.items():
            values = [100 * r.scores.test["strict"][criterion].f1 for r in records if criterion in r.scores.test["strict"]]
            name = f"{metric} {start}"
            cells[f"measured {name}"], cells[f"measured {name} std"] = value, _ = spread(values)
            if value is not None and printed.get(f"published {name}") is not None:
                cells[f"difference {name}"] = value - printed[f"published {name}"]
    return cells
