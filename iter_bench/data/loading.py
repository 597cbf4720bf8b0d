"""`load`: a catalogue name and a split in, documents out, with counts of everything that was changed or left out."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from iter_bench.data import ade, catalogue, columns, dygie, spert, stand_in, synthetic
from iter_bench.data import context as texts
from iter_bench.data.catalogue import Entry
from iter_bench.document import Dataset, Document, Schema
from iter_bench.errors import DataError, SettingsError

log = logging.getLogger("iter_bench.data")

Loaded = tuple[list[Document], dict[str, int]]


def names() -> list[str]:
    """All data sets: those of the catalogue, then the embedded ones."""
    return [*catalogue.catalogue(), *synthetic.PRESETS]


def schema_of(name: str, data_dir: Path | None = None) -> Schema:
    """The types that a data set annotates: those of the catalogue, and further ones of the files at hand where it allows them.

    Raises:
        SettingsError: there is no such data set.
    """
    if _embedded(name):
        return synthetic.SCHEMA
    entry, root = catalogue.entry(name), catalogue.data_folder(data_dir)
    if not entry.further_relation_types or root is None:
        return entry.schema
    paths = [path for file in entry.files.values() if (path := root / entry.folder / file).is_file()]
    further = {type_ for path in paths for type_ in _relation_types(entry.format, path, path.stat().st_mtime_ns)}
    known = entry.schema
    return replace(known, relation_types=(*known.relation_types, *sorted(further - {*known.relation_types})))


@cache
def _relation_types(format_: str, path: Path, _changed: int) -> frozenset[str]:
    return (spert if format_ == "spert" else dygie).relation_types(path)


def load(
    name: str,
    split: str,
    *,
    data_dir: Path | None = None,
    fold: int | None = None,
    context: int = 0,
    skip_bad: bool = False,
) -> Dataset:
    """The documents of a split.

    Args:
        name: one of `names`.
        split: such as ``train``; several are joined with ``+``, and then a document's id begins with its split's name.
        data_dir: folder with the data sets' folders; default: the environment variable ``ITER_BENCH_DATA``.
        fold: for cross-validated sets: the fold that is the test split; ``all`` needs none.
        context: so many words of the surrounding text are attached on each side of a sample.
        skip_bad: leave bad records out, counted in the notes and logged, instead of stopping.

    Raises:
        SettingsError: no such data set, split or fold, or the data set has no context.
        MissingData: the files are not there.
        DataError: a file or record is bad; the first twenty problems are told.
    """
    splits = split.split("+")
    if len(set(splits)) != len(splits):
        raise SettingsError(f"split {split!r} names a split twice")
    if _embedded(name):
        if fold is not None or context:
            raise SettingsError(f"{name}: the embedded corpus has neither folds nor context; leave both out")
        parts = [(d.documents, d.notes) for d in (synthetic.load(name, part) for part in splits)]
    else:
        parts = _load_files(name, splits, data_dir, fold, context, skip_bad)
    documents: list[Document] = []
    notes: Counter[str] = Counter()
    for part, (loaded, counts) in zip(splits, parts, strict=True):
        documents += (replace(d, id=f"{part}/{d.id}") for d in loaded) if len(splits) > 1 else loaded
        notes.update(counts)
    return Dataset(name, split, tuple(documents), schema_of(name, data_dir), dict(notes))


def fingerprint(documents: Iterable[Document]) -> str:
    """SHA-256, in hex digits, of everything that the documents say, in their order; prediction scores are no part of it."""
    digest = hashlib.sha256()
    for d in documents:
        index = {entity: i for i, entity in enumerate(d.entities)}
        entities = [[e.start, e.end, e.type] for e in d.entities]
        relations = [[index[r.head], index[r.tail], r.type] for r in d.relations]
        content = [d.id, d.words, entities, relations, d.sentences, d.context_before, d.context_after]
        digest.update(json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()


def _embedded(name: str) -> bool:
    return name not in catalogue.catalogue() and name in synthetic.PRESETS


def _load_files(
    name: str, splits: list[str], data_dir: Path | None, fold: int | None, context: int, skip_bad: bool
) -> list[Loaded]:
    entry = catalogue.entry(name)
    for split in splits:
        if split not in entry.splits:
            raise SettingsError(f"{name} has no split {split!r}, but {', '.join(entry.splits)}")
    if context < 0 or (context and not entry.context):
        raise SettingsError(f"{name}: no context of {context} words: its sentences come without their text; set context to 0")
    if entry.folds is None and fold is not None:
        raise SettingsError(f"{name} has no folds; leave fold {fold} out")
    if entry.folds is None:
        paths = entry.paths(name, splits, data_dir)
        schema = schema_of(name, data_dir)
        return [_read(entry, schema, split, paths[split], context, skip_bad) for split in splits]
    if splits != ["all"] and (fold is None or not 0 <= fold < entry.folds.count):
        given = "none" if fold is None else fold
        raise SettingsError(
            f"{name} is cross-validated: split {splits[0]} needs a fold from 0 to {entry.folds.count - 1}, {given} is given; "
            "split all, the whole data set, needs none"
        )
    path = entry.paths(name, ["all"], data_dir)["all"]
    documents, notes = _read(entry, entry.schema, "all", path, context, skip_bad)
    folds = ade.folds_of(documents, entry.folds.count, entry.folds.seed)
    chosen: dict[str, Callable[[int], bool]] = {
        "all": lambda f: True,
        "train": lambda f: f != fold,
        "test": lambda f: f == fold,
    }
    # The notes are of the whole file, told once however many splits of it are joined.
    return [
        ([d for d, f in zip(documents, folds, strict=True) if chosen[split](f)], notes if i == 0 else {})
        for i, split in enumerate(splits)
    ]


def _read(entry: Entry, schema: Schema, split: str, path: Path, context: int, skip_bad: bool) -> Loaded:
    """One file's samples; a number that is not the expected one, and what the catalogue doesn't know, are told in the notes."""
    match entry.format:
        case "spert":
            documents, notes = spert.read(path, schema, skip_bad=skip_bad, context=context)
        case "ade":
            documents, notes = ade.read(path, schema, skip_bad=skip_bad)
        case "dygie":
            documents, notes = _samples(entry, split, context, dygie.read(path, schema, skip_bad=skip_bad))
        case scheme:
            if entry.unit == "document" and not columns.has_texts(path):
                raise DataError(f"{path}: has no {columns.DOCSTART} lines, so it can't be read by document")
            read = columns.read(
                path,
                schema,
                scheme=scheme,
                columns=entry.columns,
                tag_columns=entry.tag_columns,
                skip_bad=skip_bad,
            )
            documents, notes = _samples(entry, split, context, read)
    if (expected := entry.samples.get(split)) and (difference := len(documents) - expected):
        kind = "more" if difference > 0 else "fewer"
        notes = {**notes, f"samples {kind} than the {expected} expected": abs(difference)}
        log.warning("%s: %d samples, %d are expected", path, len(documents), expected)
    further = Counter(r.type for d in documents for r in d.relations if r.type not in entry.relation_types)
    notes = {**notes, **{f"relations of type {type_}, which the catalogue doesn't name": n for type_, n in further.items()}}
    if generated := sum(document.id.startswith(stand_in.MARK) for document in documents):
        notes[stand_in.NOTE] = generated
        log.warning("%s: generated texts, a stand-in; no score on them is one on the data set", path)
    return documents, notes


def _samples(entry: Entry, split: str, context: int, read: Loaded) -> Loaded:
    """Whole texts as the samples that the catalogue asks for."""
    documents: list[Document] = []
    whole, counts = read
    notes = Counter(counts)
    for text in whole:
        if entry.unit == "sentence":
            pieces, lost = texts.by_sentence(text, context)
        elif split in entry.cut_after_words:
            pieces, lost = texts.by_length(text, entry.cut_after_words[split])
        else:
            pieces, lost = [text], Counter()
        documents += pieces
        notes += lost
    return documents, dict(notes)
