"""The catalogue of data sets: format, files, schema, expected counts, licence, where to get them (``catalogue.toml``).

A file of that name in the folder that ``ITER_BENCH_DATA`` names adds data sets of one's own.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from iter_bench.data.synthetic import PRESETS
from iter_bench.document import Schema
from iter_bench.errors import DataError, SettingsError
from iter_bench.settings import Settings, read_toml, validated
from iter_bench.text import WordRule

DATA_DIR = "ITER_BENCH_DATA"
"""Environment variable with the folder that holds the data sets' folders."""

FILE = "catalogue.toml"


class MissingData(DataError):
    """The files of a data set are not where they should be."""


class Folds(Settings):
    """Cross-validation: ``count`` folds, dealt out by ``seed``; each is the test split once."""

    count: int = Field(ge=2)
    seed: int


class Entry(Settings):
    """One data set."""

    title: str
    format: Literal["spert", "dygie", "iob1", "iob2", "bilou", "ade"]
    folder: str = Field(description="below the data folder")
    files: dict[str, str] = Field(min_length=1, description="file of each split, or of `all` where there are folds")
    folds: Folds | None = None
    unit: Literal["sentence", "document"] = Field("sentence", description="what a sample is, where files hold whole texts")
    cut_after_words: dict[str, int] = Field(
        {}, description="by split: texts are cut after the sentence that passes so many words"
    )
    columns: int | None = Field(None, ge=2, description="of a column file; the word is the first")
    tag_columns: int = Field(1, ge=1, description="so many of these, the last, hold tags")
    context: bool = Field(False, description="words around a sample are known")
    entity_types: tuple[str, ...]
    relation_types: tuple[str, ...] = ()
    symmetric: frozenset[str] = frozenset()
    words: WordRule = Field("joined", description="how raw text is divided for a system trained on it, as the files' is")
    further_relation_types: bool = Field(
        False,
        description="relation types that the files have beyond these join the schema and are counted; else they're errors",
    )
    max_span_words: int = Field(ge=1, description="PL-Marker's limit on the words of a candidate span")
    samples: dict[str, int] = Field(description="expected number of samples by split")
    licence: str
    source: str

    @model_validator(mode="after")
    def _check(self) -> Entry:
        if self.format in ("iob1", "iob2", "bilou") and not (self.columns and self.tag_columns < self.columns):
            raise ValueError("a column format needs columns, more than tag_columns")
        if (self.folds is not None) != (set(self.files) == {"all"}):
            raise ValueError("a data set with folds has the one file `all`, others have none of that name")
        if self.further_relation_types and self.format not in ("spert", "dygie"):
            raise ValueError("further_relation_types is for the formats spert and dygie")
        _ = self.schema
        return self

    @property
    def schema(self) -> Schema:
        """The types that the data set annotates."""
        return Schema(self.entity_types, self.relation_types, self.symmetric)

    @property
    def splits(self) -> tuple[str, ...]:
        """The names that a split can have."""
        return ("all", "train", "test") if self.folds else tuple(self.files)

    def missing(self, data_dir: Path | None) -> list[str]:
        """The names of the files that are not there."""
        root = data_folder(data_dir)
        return [file for file in self.files.values() if not (root and (root / self.folder / file).is_file())]

    def paths(self, name: str, splits: Sequence[str], data_dir: Path | None) -> dict[str, Path]:
        """The file of each split.

        Args:
            name: the data set's, for messages.
            splits: keys of ``files``.
            data_dir: holds ``folder``; the environment variable ``ITER_BENCH_DATA`` where it is None.

        Raises:
            MissingData: no folder was given, or it lacks some of the files: one message for all.
        """
        root = data_folder(data_dir)
        found = {split: root / self.folder / self.files[split] for split in splits} if root else {}
        missing = [path for path in found.values() if not path.is_file()]
        if root and not missing:
            return found
        what = "lacks " + ", ".join(str(path) for path in missing) if missing else "can't be found"
        raise MissingData(
            f"{name}: the data {what}.\n"
            f"  files    {', '.join(dict.fromkeys(self.files.values()))}\n"
            f"  place    folder {self.folder}/ under --data-dir or the environment variable {DATA_DIR}"
            f" ({root.resolve() if root else 'neither is given'})\n"
            f"  licence  {self.licence}\n"
            f"  source   {self.source}"
        )


def data_folder(data_dir: Path | None) -> Path | None:
    """``data_dir``, or else what the environment variable names, or else None."""
    return data_dir or (Path(os.environ[DATA_DIR]) if os.environ.get(DATA_DIR) else None)


def catalogue() -> dict[str, Entry]:
    """All entries by name, in the order of the package's file and then one's own.

    Raises:
        SettingsError: the file of one's own can't be read, an entry is wrong, or has a name that is taken.
    """
    folder = data_folder(None)
    if folder is None or not (file := folder / FILE).is_file():
        return _packaged()
    return _packaged() | _own(file, file.stat().st_mtime_ns)


@cache
def _packaged() -> dict[str, Entry]:
    content = tomllib.loads(resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8"))
    return {name: Entry.model_validate(entry) for name, entry in content.items()}


@cache
def _own(file: Path, _changed: int) -> dict[str, Entry]:
    content = read_toml(file)
    if taken := [name for name in content if name in _packaged() or name in PRESETS]:
        raise SettingsError(f"{file}: {', '.join(taken)}: there is a data set of that name already; take another")
    return {name: validated(Entry, entry, f"{file}, {name}") for name, entry in content.items()}


def entry(name: str) -> Entry:
    """Raises SettingsError where the catalogue has no such data set."""
    if name not in catalogue():
        raise SettingsError(
            f"no data set {name!r}; known are {', '.join([*catalogue(), *PRESETS])}; entries of your own are read from {FILE} "
            f"in the folder that the environment variable {DATA_DIR} names, --data-dir or not"
        )
    return catalogue()[name]
