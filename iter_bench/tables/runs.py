"""The table of runs: one row for all runs that differ in seed or fold only, means and standard deviations over them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import pandas as pd

from iter_bench.records import Record
from iter_bench.scoring import CRITERIA, Convention, Criterion

RATIOS = ("precision", "recall", "f1")
RELATION_CRITERIA = ("re", "re_plus")
ABOUT = ("dataset", "system", "encoder", "setting", "runs")
"""The columns of `Group.about`."""
FINGERPRINTS = "sha256"
FRACTION = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")
FEW = 2
"""Settings that a short name may hold."""
TOLD = "^samples (more|fewer)|^generated samples|catalogue"
"""Of a load's notes, those that say that other data than the catalogue's were read."""


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that differ in seed or fold only.

    Attributes:
        records: by fold, then seed.
        setting: the settings that tell the group from others of the same data set, system and encoder; often empty.
        short: what is left of `setting` where one or two settings are enough: of all others, or else of the one that is most
            alike, since what differs in a single setting is best called by it. None where more differ, or there are no others.
    """

    records: tuple[Record, ...]
    setting: str
    short: str | None = None

    @property
    def dataset(self) -> str:
        """The data set as `Record.dataset` names it."""
        return self.records[0].dataset

    @property
    def system(self) -> str:
        """The registered name."""
        return self.records[0].system

    @property
    def encoder(self) -> str:
        """The encoder's name."""
        return self.records[0].encoder

    @property
    def about(self) -> dict[str, Any]:
        """The columns that name the group in a table, and how many runs it has."""
        return dict(zip(ABOUT, (self.dataset, self.system, self.encoder, self.setting, len(self.records)), strict=True))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The distinct seeds."""
        return tuple(sorted({record.settings.seed for record in self.records}))

    @property
    def folds(self) -> tuple[int, ...]:
        """The distinct folds; none without cross-validation."""
        return tuple(sorted({r.settings.data.fold for r in self.records if r.settings.data.fold is not None}))


def group_runs(records: Sequence[Record], known: Sequence[Record] = ()) -> list[Group]:
    """The groups, sorted by data set, system, encoder and setting; seeds that were run on unlike folds are apart.

    Args:
        records: those to be grouped.
        known: records among which settings are told apart too, so that they are named alike wherever a part of them is shown.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Record]] = {}
    for record, key in zip(records, _keys(records), strict=True):
        groups.setdefault(key, []).append(record)
    subjects = {key: _subject(record) for of in (known, records) for record, key in zip(of, _keys(of), strict=True)}
    made = []
    for subject in sorted(set(map(_subject, records))):
        same = [key for key, of in subjects.items() if of == subject]
        told = sorted((_difference(dict(key), [dict(other) for other in same]), key) for key in same)
        for setting, key in told:
            members = sorted(
                groups.get(key, ()), key=lambda r: (-1 if (n := r.settings.data.fold) is None else n, r.settings.seed)
            )
            if members:
                made.append(Group(tuple(members), setting, _short(dict(key), [dict(other) for other in same if other != key])))
    return made


def runs_table(records: Sequence[Record]) -> pd.DataFrame:
    """One row a group of runs.

    Args:
        records: of any runs.

    Returns:
        Columns ``dataset``, ``system``, ``encoder``, ``setting``, ``parameters``, ``seeds``, ``folds`` (how many), for each of
        ``ner``, ``re``, ``re_plus`` and precision, recall, F1 the mean and (``_std``) the sample standard deviation over runs
        in [0, 1], convention ``strict``; the same of F1 alone in convention ``pl_marker`` (``re_f1_pl_marker``,
        ``re_plus_f1_pl_marker``; NER is the same in both); then means of ``train_seconds``, ``samples_per_second`` of the
        scored prediction and ``peak_memory`` (bytes, of the device where there is one), and ``hardware``. NaN: not measured,
        no such criterion, or a deviation of one run. Seconds, speed and memory are NaN too where the runs of a row ran on
        different hardware.
    """
    return pd.DataFrame([_row(group) for group in group_runs(records)], columns=_columns())


def convention_notes(records: Sequence[Record]) -> list[str]:
    """A sentence for each data set in which ``strict`` and ``pl_marker`` count relations differently."""
    types: dict[str, set[str]] = {}
    for record in records:
        test = record.scores.test
        if "re" not in test["strict"]:
            continue
        strict, doubled = (test[convention]["re"].per_type for convention in ("strict", "pl_marker"))
        counted = {name for name, tally in strict.items() if tally != doubled.get(name)}
        types.setdefault(record.dataset, set()).update(counted)
    return [
        f"{dataset}: symmetric relations ({', '.join(sorted(names))}) count once in `strict` and twice in `pl_marker`, "
        "so that RE and RE+ differ between the two."
        for dataset, names in sorted(types.items())
        if names
    ]


def data_notes(records: Sequence[Record]) -> list[str]:
    """A sentence for each data set that isn't read as the catalogue has it, or not trained on its training split."""
    found: dict[str, None] = {}
    for record in records:
        for role, split in sorted(record.data.items()):
            told = [f"{count} {what}" for what, count in split.notes.items() if re.search(TOLD, what)]
            if role == "train" and split.split != "train":
                told.append("used as training data")
            if told:
                found[f"{record.dataset}, {split.split}: {'; '.join(told)}."] = None
    return list(found)


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers in few words: ``42–46, 50``."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)


def _columns() -> list[str]:
    scores = [f"{criterion}_{name}{suffix}" for criterion in CRITERIA for name in RATIOS for suffix in ("", "_std")]
    scores += [f"{criterion}_f1_pl_marker{suffix}" for criterion in RELATION_CRITERIA for suffix in ("", "_std")]
    run = [*ABOUT[:-1], "parameters", "seeds", "folds"]
    return [*run, *scores, "train_seconds", "samples_per_second", "peak_memory", "hardware"]


def _row(group: Group) -> dict[str, Any]:
    records = group.records
    row = group.about | {"parameters": records[0].parameters, "seeds": len(group.seeds), "folds": len(group.folds)}
    for criterion in CRITERIA:
        for name in RATIOS:
            tests = [r.scores.test["strict"] for r in records]
            row |= _mean_and_std(f"{criterion}_{name}", [getattr(t[criterion], name) for t in tests if criterion in t])
    for criterion in RELATION_CRITERIA:
        tests = [r.scores.test["pl_marker"] for r in records]
        row |= _mean_and_std(f"{criterion}_f1_pl_marker", [t[criterion].f1 for t in tests if criterion in t])
    hardware = sorted({record.hardware for record in records})
    row["hardware"] = "; ".join(hardware)
    if len(hardware) == 1:
        row["train_seconds"] = _mean([r.durations.get("training") for r in records])
        row["samples_per_second"] = _mean([r.prediction and r.prediction.samples_per_second for r in records])
        row["peak_memory"] = _mean([r.peak_memory.device or r.peak_memory.host for r in records])
    return row


def on_test(records: Iterable[Record]) -> list[Record]:
    """Those that were scored on a test split: trials of searches, scored on dev, are not results."""
    return [record for record in records if record.settings.data.test == "test"]


def percent(group: Group, criterion: Criterion, convention: Convention, ratio: str = "f1") -> tuple[float | None, float | None]:
    """`spread` of a score over the group's runs, in percent; None where there is no such score."""
    tests = [record.scores.test[convention] for record in group.records]
    return spread([100 * getattr(test[criterion], ratio) for test in tests if criterion in test])


def spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation; None of no value, and the deviation of a single one."""
    return (mean(values) if values else None, stdev(values) if len(values) > 1 else None)


def _mean_and_std(name: str, scores: Sequence[float]) -> dict[str, float | None]:
    return dict(zip((name, f"{name}_std"), spread(scores), strict=True))


def _mean(values: Sequence[float | None]) -> float | None:
    """None where one is missing: a mean over part of the runs would be taken for one over all."""
    return mean(values) if values and all(value is not None for value in values) else None


def _subject(record: Record) -> tuple[str, str, str]:
    return record.dataset, record.system, record.encoder


def _keys(records: Sequence[Record]) -> list[tuple[tuple[str, str], ...]]:
    """What the runs of a group share: settings, data, and the folds that each seed was run on."""
    settings = [tuple(sorted(_settings(record).items())) for record in records]
    folds: dict[tuple[Any, int], set[int]] = {}
    for record, of in zip(records, settings, strict=True):
        if record.settings.data.fold is not None:
            folds.setdefault((of, record.settings.seed), set()).add(record.settings.data.fold)
    seeds = [folds.get((of, record.settings.seed)) for record, of in zip(records, settings, strict=True)]
    return [(*of, *([("folds", ranges(of_seed))] if of_seed else [])) for of, of_seed in zip(settings, seeds, strict=True)]


def _settings(record: Record) -> dict[str, str]:
    """The settings that make runs comparable, flat, and the data that they saw; seed and fold apart."""
    settings = record.settings.model_dump(mode="json")
    del settings["seed"]
    fold = settings["data"].pop("fold")
    flat = {name: str(value) for name, value in settings.items() if not isinstance(value, dict)}
    for group in ("data", "training", "model"):
        flat |= {f"{group}.{name}": str(value) for name, value in settings[group].items()}
    if fold is None:
        flat[FINGERPRINTS] = " ".join(f"{role}:{split.sha256[:8]}" for role, split in sorted(record.data.items()))
    return flat


def _difference(settings: dict[str, str], peers: Sequence[dict[str, str]]) -> str:
    """In what ``settings`` differ from those of ``peers``; the data's fingerprints are named where nothing else differs."""
    names = _differing(peers)
    shown = {name: _shortened({peer[name] for peer in peers if name in peer}) for name in names}
    return ", ".join(f"{name}={shown[name][settings[name]]}" for name in names if name in settings)


def _differing(peers: Sequence[dict[str, str]]) -> list[str]:
    """The names of the settings in which they differ; the data's fingerprints only where nothing else does."""
    names = sorted({name for peer in peers for name in peer if len({other.get(name) for other in peers}) > 1})
    return [name for name in names if name != FINGERPRINTS] or names


def _short(settings: dict[str, str], others: Sequence[dict[str, str]]) -> str | None:
    """`Group.short` of ``settings``."""
    pairs = sorted(([settings, other] for other in others), key=lambda pair: len(_differing(pair)))
    enough = [peers for peers in ([settings, *others], *pairs[:1]) if others and len(_differing(peers)) <= FEW]
    return _difference(settings, enough[0]) if enough else None


def _shortened(values: set[str]) -> dict[str, str]:
    """Each value with three digits where it's a number with more, unless two would look alike then; records hold them all."""
    short = {value: f"{float(value):.3g}" if FRACTION.fullmatch(value) and not value.isdigit() else value for value in values}
    return short if len(set(short.values())) == len(values) else {value: value for value in values}
