"""Text files (a line a document), JSON lines and Parquet as one stream of documents to extract from, never held whole.

A record of JSON lines or a row of Parquet has ``text`` (a string) or ``words`` (a list of strings), and may have an ``id``;
without one, a document's id is its number in the whole input, from 0.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from iter_bench.bulk import parquet
from iter_bench.data.validation import unique_names
from iter_bench.document import Document, InvalidDocument
from iter_bench.errors import DataError
from iter_bench.text import Offsets, WordRule, document_from_text

log = logging.getLogger("iter_bench")

TEXT, PARQUET = ".txt", ".parquet"
KINDS = (TEXT, ".jsonl", ".ndjson", PARQUET)


@dataclass(frozen=True, slots=True)
class Item:
    """One document of the input.

    Attributes:
        id: its own, or its number.
        where: file, from the folder that all files have in common, and line or row, from 1; no other document has the same.
        text: the text; of a record with words, these with spaces between.
        document: None where the record can't be used.
        offsets: (start, end) of each word in ``text``.
        problem: why it can't be used.
    """

    id: str
    where: str
    text: str = ""
    document: Document | None = None
    offsets: Offsets = ()
    problem: str | None = None


def files_of(path: Path) -> list[Path]:
    """The file, or the files of a folder and of those in it, by name; what is hidden, linked folders and other kinds are left
    out, and said.

    Raises:
        DataError: there is nothing to read, a folder can't be read, or the file is of no kind that is known.
    """
    if path.is_file():
        if _kind(path) not in KINDS:
            raise DataError(f"{path}: its name should end in {', '.join(KINDS)}, which says how to read it")
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: there is no such file or folder")
    files, left = [], Counter[str]()
    for found in _below(path):
        folder = found.is_dir()
        if folder and not found.is_symlink():
            continue
        if _hidden(found, path):
            left["hidden"] += 1
        elif folder:
            left["linked folder(s)"] += 1
        elif not found.is_file() or _kind(found) not in KINDS:
            left["neither text, JSON lines nor Parquet"] += 1
        else:
            files.append(found)
    if left:
        log.warning("%s: not read: %s", path, ", ".join(f"{number} {what}" for what, number in left.items()))
    if not files:
        raise DataError(f"{path}: holds no file that ends in {', '.join(KINDS)}")
    return files


def _below(folder: Path) -> list[Path]:
    """All files and folders in it and in those in it, by name; linked folders aren't entered."""

    def refused(error: OSError) -> None:
        if not _hidden(Path(error.filename), folder):
            raise DataError(f"{error.filename}: the folder can't be read: {error.strerror or error}") from error

    walked = os.walk(folder, onerror=refused)
    return sorted(Path(place, name) for place, folders, files in walked for name in (*folders, *files))


def _hidden(path: Path, folder: Path) -> bool:
    return any(part[0] == "." for part in path.relative_to(folder).parts)


def names(files: Sequence[Path]) -> list[str]:
    """What the files, in order, are called in the output: their paths from the folder that they have in common."""
    return [_name(path, files) for path in files]


def _name(path: Path, files: Sequence[Path]) -> str:
    common = os.path.commonpath([files[0].parent, files[-1].parent])  # in order, so all between have it too
    return os.fsencode(path.relative_to(common)).decode(errors="backslashreplace")  # names may be no UTF-8


def _kind(path: Path) -> str:
    return path.suffix.lower()


class Mark(NamedTuple):
    """Where a document begins.

    Attributes:
        number: the document's, in the whole input.
        file: index of its file.
        place: lines or rows of the file before it.
        byte: bytes of the file before it; 0 in Parquet.
    """

    number: int
    file: int
    place: int
    byte: int


BEGIN = Mark(0, 0, 0, 0)


def marks(files: Sequence[Path], every: int) -> tuple[int, list[Mark], list[str]]:
    """How many documents the files hold, where every ``every``-th of them begins, from the first on, and each file's SHA-256.

    Raises:
        DataError: a file as a whole can't be read.
    """
    total, found, digests = 0, [], []
    for index, path in enumerate(files):
        if _kind(path) == PARQUET:
            rows = parquet.count(path)
            found += [Mark(total + row, index, row, 0) for row in range(-total % every, rows, every)]
            total += rows
            with _open(path) as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
            continue
        byte, digest = 0, hashlib.sha256()
        for place, line in enumerate(_lines(path)):
            if total % every == 0:
                found.append(Mark(total, index, place, byte))
            total += 1
            byte += len(line)
            digest.update(line)
        digests.append(digest.hexdigest())
    return total, found, digests


def items(files: Sequence[Path], begin: Mark = BEGIN, rule: WordRule = "joined") -> Iterator[Item]:
    """The documents of the files in order, from ``begin`` on; what lies before isn't read.

    Args:
        rule: for the words of a text.

    Raises:
        DataError: a file as a whole can't be read; of a bad record the item says so instead.
    """
    number, place, byte = begin.number, begin.place, begin.byte
    for path in files[begin.file :]:
        name = _name(path, files)
        records = parquet.rows(path, place) if _kind(path) == PARQUET else _lines(path, byte)
        for line, record in enumerate(records, place + 1):
            yield _item(record, number, f"{name}:{line}", rule, plain=_kind(path) == TEXT)
            number += 1
        place = byte = 0


def item_of_text(text: str, number: int, where: str, rule: WordRule) -> Item:
    """A document of raw text."""
    document, offsets = document_from_text(text, str(number), rule)
    return Item(str(number), where, text, document, offsets)


def _item(record: bytes | dict[str, Any] | parquet.Unreadable, number: int, where: str, rule: WordRule, *, plain: bool) -> Item:
    name = str(number)
    if isinstance(record, parquet.Unreadable):
        return Item(name, where, problem=str(record))
    try:
        if isinstance(record, bytes):
            line = record.decode("utf-8-sig").rstrip("\r\n")
            if plain:
                if "\0" in line:
                    raise ValueError("holds a NUL, so it's no text in UTF-8; is it in UTF-16?")
                return item_of_text(line, number, where, rule)
            record = json.loads(line, object_pairs_hook=unique_names)
        if not isinstance(record, dict):
            raise ValueError(f"should be an object, is {type(record).__name__}")
        if (given := _id(record.get("id"))) is not None:
            given.encode()
            name = given
        text, words = record.get("text"), record.get("words")
        if isinstance(text, str) and words is None:
            text.encode()
            document, offsets = document_from_text(text, name, rule)
        elif isinstance(words, list) and all(isinstance(word, str) for word in words) and text is None:
            document, offsets, text = Document(name, tuple(words)), _offsets(words), " ".join(words)
            text.encode()
        else:
            raise ValueError("should have either text, a string, or words, a list of strings")
    except InvalidDocument as error:
        return Item(name, where, problem="; ".join(f"{field}: {reason}" for field, reason in error.problems))
    except UnicodeEncodeError:
        return Item(name, where, problem="holds half a surrogate pair, which is no character")
    except (ValueError, RecursionError) as error:
        return Item(name, where, problem=str(error))
    return Item(name, where, text, document, offsets)


def _id(given: Any) -> str | None:
    if isinstance(given, float) and given.is_integer():  # a column of whole numbers with a gap is one of floats in pandas
        given = int(given)
    if given is None or given != given:  # a gap may be NaN
        return None
    if not isinstance(given, str | int) or isinstance(given, bool):
        raise ValueError(f"id: should be a string or a whole number, is {given!r:.60} ({type(given).__name__})")
    return str(given)


def _offsets(words: Sequence[str]) -> Offsets:
    offsets, start = [], 0
    for word in words:
        offsets.append((start, start + len(word)))
        start += len(word) + 1
    return offsets


def _lines(path: Path, byte: int = 0) -> Iterator[bytes]:
    with _open(path) as file:
        file.seek(byte)
        yield from file


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error
