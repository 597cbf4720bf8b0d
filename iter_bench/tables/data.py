"""Tables 2 and 5: the data sets, and the hyper-parameters that searches found, beside those that the paper prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from pydantic import Field

from iter_bench import published
from iter_bench.settings import RunSettings, Settings, value_of
from iter_bench.tables.text import Made


class SplitFigures(Settings):
    """`iter_bench.data.statistics.Statistics` of a split, with its share of overlaps."""

    samples: int
    entities: int
    relations: int
    omega: int
    overlapping: int
    overlap_share: float = Field(ge=0, le=1)
    subtokens: tuple[int, int, float] | None


class SplitStatistics(Settings):
    """`iter_bench.data.table.Row`."""

    dataset: str
    split: str
    measured: SplitFigures | None
    expected_samples: int | None
    paper_samples: str | None
    paper: dict[str, Any] | None
    notes: dict[str, int]


class DataStatistics(Settings):
    """What ``iter-bench data stats --json`` prints."""

    encoder: str
    rows: list[SplitStatistics]
    absent: list[str]


def data_table(stored: DataStatistics | None) -> Made:
    """Table 2.

    Args:
        stored: what was measured, if anything.
    """
    printed = published.data().set_index("dataset").to_dict("index")
    rows: list[dict[str, Any]] = []
    there = [row for row in stored.rows if row.measured] if stored else []
    known = {row.dataset for row in there}
    absent = [name for name in printed if name not in {published.DATASETS.get(name) for name in known}]
    for row in stored.rows if stored else ():
        if row.dataset not in known:
            continue
        cells = {"dataset": row.dataset, "split": row.split, "published samples": row.paper_samples}
        if row.paper and (entry := printed.get(published.DATASETS.get(row.dataset))):
            cells |= _of_all(entry)
        if measured := row.measured:
            cells |= {f"measured {name}": str(getattr(measured, name)) for name in ("samples", "entities", "relations")}
            cells |= {"measured ω": str(measured.omega), "measured overlap": f"{100 * measured.overlap_share:.1f}%"}
            if measured.subtokens:
                low, high, average = measured.subtokens
                cells |= {"measured sub-tokens": f"{low} / {high} / {average:.2f}"}
        rows.append(cells)
    for name in absent:
        for split in ("train", "dev", "test"):
            cells = {"dataset": name, "split": split, "published samples": printed[name][split]}
            rows.append(cells | (_of_all(printed[name]) if split == "train" else {}))
    columns = ["dataset", "split", *(f"published {name}" for name in ("samples", "ω", "overlap"))]
    columns += [f"measured {name}" for name in ("samples", "entities", "relations", "ω", "overlap", "sub-tokens")]
    notes = ["Published: by data set, ω and the share of samples with overlapping entities of all splits; ADE has ten folds."]
    if there:
        notes.append(f"Measured sub-tokens: min / max / mean of {stored.encoder}'s tokenizer, special tokens included.")
    counts = [f"{row.dataset} {row.split}: {n} {what}" for row in there for what, n in row.notes.items()]
    return Made(
        "Table 2: data sets", pd.DataFrame(rows, columns=columns), (*notes, *([f"{'; '.join(counts)}."] if counts else []))
    )


def _of_all(entry: Mapping[str, Any]) -> dict[str, str]:
    return {"published ω": str(entry["omega"]), "published overlap": entry["overlap"]}


PARAMETERS = (
    "training.lr_encoder",
    "training.lr_heads",
    "training.schedule_encoder",
    "training.schedule_heads",
    "training.warmup_encoder",
    "training.warmup_heads",
    "training.weight_decay_encoder",
    "training.weight_decay_heads",
    "training.batch_size",
    "model.activation",
)


def hyperparameters(searches: Mapping[str, tuple[RunSettings, Mapping[str, str]]]) -> Made:
    """Table 5, a row a data set, parameter and search; only ITER's own searches stand beside what is printed for ITER.

    Args:
        searches: name → best settings, and what was varied (``training.lr_encoder``) → among which values.
    """
    rows = []
    for entry in published.hyperparameters().to_dict("records"):
        same = {n: s for n, s in searches.items() if published.DATASETS.get(s[0].data.dataset) == entry["dataset"]}
        of_iter = {name: found for name, found in same.items() if found[0].system == "iter"}
        for parameter in PARAMETERS:
            row = {"dataset": entry["dataset"], "system": published.SYSTEMS["iter"]}
            row |= {"parameter": _own(parameter), "published": _value(entry[_own(parameter)])}
            rows += [row | _found(parameter, name, *found) for name, found in of_iter.items()] or [row]
        for name, (best, varied) in sorted(same.items(), key=lambda found: found[0] not in of_iter):
            row = {"dataset": entry["dataset"], "system": published.SYSTEMS.get(best.system, best.system)}
            unprinted = [parameter for parameter in varied if name not in of_iter or parameter not in PARAMETERS]
            rows += [row | {"parameter": _own(p)} | _found(p, name, best, varied) for p in unprinted]
    columns = ["dataset", "system", "parameter", "published", "found", "searched", "encoder", "search"]
    note = (
        "Published: ITER's Table 5, of FLAN-T5-large by a search over more than was searched here (App. D: rates from 2e-05 "
        "to 0.001, schedules, warm-up, weight decay, batches of 8 to 64, three activations; `iter-bench search conll04-paper` "
        "has that space). What ASP's and PL-Marker's code ships is in `iter_bench/published/released.csv`. "
        "Found: the best trial on dev; searched: among which values; what a search did not vary is that of its base run, and "
        "left out where nothing is published. The trials, with seed and hardware: `search-NAME`."
    )
    return Made("Table 5: hyper-parameters", pd.DataFrame(rows, columns=columns), (note,))


def _found(parameter: str, name: str, best: RunSettings, varied: Mapping[str, str]) -> dict[str, str]:
    value = value_of(best.model_dump(), parameter)
    cells = {"searched": varied.get(parameter), "encoder": best.encoder, "search": name}
    return cells | {"found": "" if value is None else _value(value)}


def _own(parameter: str) -> str:
    """Its name without the part of a run that it belongs to."""
    return parameter.split(".", 1)[-1]


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
