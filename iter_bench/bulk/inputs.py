"""Text files (a line a document), JSON lines and Parquet as one stream of documents to extract from, never held whole.

A record of JSON lines or a row of Parquet has ``text`` (a string) or ``words`` (a list of strings), and may have an ``id``;
without one, a document's id is its number in the whole input, from 0.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from iter_bench.document import Document, InvalidDocument
from iter_bench.errors import DataError
from iter_bench.text import Offsets, document_from_text

log = logging.getLogger("iter_bench")

LINES, PARQUET = (".txt", ".jsonl", ".ndjson"), ".parquet"
ROWS = 1024  # of a Parquet file at a time
COLUMNS = ("id", "text", "words")


@dataclass(frozen=True, slots=True)
class Item:
    """One document of the input.

    Attributes:
        id: its own, or its number.
        where: file and line or row, from 1.
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
    """The file, or the files of a folder and of those in it, by name; hidden ones and other kinds are left out, and said.

    Raises:
        DataError: there is nothing to read.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: there is no such file or folder")
    found = sorted(p for p in path.rglob("*") if p.is_file() and not any(part[0] == "." for part in p.relative_to(path).parts))
    files = [p for p in found if p.suffix in (*LINES, PARQUET)]
    if others := len(found) - len(files):
        log.warning("%s: %d files are neither text, JSON lines nor Parquet, and are not read", path, others)
    if not files:
        raise DataError(f"{path}: holds no file that ends in {', '.join((*LINES, PARQUET))}")
    return files


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


def marks(files: Sequence[Path], every: int) -> tuple[int, list[Mark]]:
    """How many documents the files hold, and where every ``every``-th of them begins, from the first on."""
    total, found = 0, []
    for index, path in enumerate(files):
        if path.suffix == PARQUET:
            rows = _parquet(path).metadata.num_rows
            found += [Mark(total + row, index, row, 0) for row in range(-total % every, rows, every)]
            total += rows
            continue
        byte = 0
        for place, line in enumerate(_lines(path)):
            if total % every == 0:
                found.append(Mark(total, index, place, byte))
            total += 1
            byte += len(line)
    return total, found


def items(files: Sequence[Path], begin: Mark = BEGIN) -> Iterator[Item]:
    """The documents of the files in order, from ``begin`` on; what lies before isn't read.

    Raises:
        DataError: a file as a whole can't be read; of a bad record the item says so instead.
    """
    number, place, byte = begin.number, begin.place, begin.byte
    for path in files[begin.file :]:
        records = _rows(path, place) if path.suffix == PARQUET else _lines(path, byte)
        for line, record in enumerate(records, place + 1):
            yield _item(record, number, f"{path.name}:{line}", plain=path.suffix not in (*LINES[1:], PARQUET))
            number += 1
        place = byte = 0


def item_of_text(text: str, number: int) -> Item:
    """A document of raw text."""
    document, offsets = document_from_text(text, str(number))
    return Item(str(number), f"text {number + 1}", text, document, offsets)


def _item(record: bytes | dict[str, Any], number: int, where: str, *, plain: bool) -> Item:
    name = str(number)
    try:
        if isinstance(record, bytes):
            line = record.decode("utf-8-sig").rstrip("\r\n")
            if plain:
                return item_of_text(line, number)
            record = json.loads(line)
        if not isinstance(record, dict):
            raise ValueError(f"should be an object, is {type(record).__name__}")
        given = record.get("id")
        if given is not None:
            if not isinstance(given, str | int) or isinstance(given, bool):
                raise ValueError(f"id: should be a string or a number, is {type(given).__name__}")
            str(given).encode()
            name = str(given)
        text, words = record.get("text"), record.get("words")
        if isinstance(text, str) and words is None:
            text.encode()
            document, offsets = document_from_text(text, name)
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


def _offsets(words: Sequence[str]) -> Offsets:
    offsets, start = [], 0
    for word in words:
        offsets.append((start, start + len(word)))
        start += len(word) + 1
    return offsets


def _lines(path: Path, byte: int = 0) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error
    with file:
        file.seek(byte)
        yield from file


def _parquet(path: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError(f"{path}: Parquet needs pyarrow: pip install 'iter-bench[parquet]'") from None
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: can't be read as Parquet: {error}") from error
    if not {"text", "words"} & set(file.schema_arrow.names):
        raise DataError(f"{path}: has neither a column text nor a column words, but {', '.join(file.schema_arrow.names)}")
    if (parts := sum(_groups(file))) != (rows := file.metadata.num_rows):
        raise DataError(f"{path}: is damaged: it should have {rows} rows, and its parts have {parts}")
    return file


def _groups(file: Any) -> list[int]:
    """Rows of each row group."""
    return [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]


def _rows(path: Path, skipped: int) -> Iterator[dict[str, Any]]:
    """The rows after the first ``skipped``; whole groups before them aren't read."""
    file = _parquet(path)
    groups = list(enumerate(_groups(file)))
    while groups and skipped >= groups[0][1]:
        skipped -= groups.pop(0)[1]
    promised, read = sum(rows for _, rows in groups), 0
    columns = [name for name in COLUMNS if name in file.schema_arrow.names]
    try:
        for batch in file.iter_batches(ROWS, row_groups=[number for number, _ in groups], columns=columns):
            read += batch.num_rows
            yield from batch.slice(min(skipped, batch.num_rows)).to_pylist()
            skipped -= min(skipped, batch.num_rows)
    except (OSError, ValueError) as error:  # all of pyarrow's are kinds of these
        raise DataError(f"{path}: is damaged: {error}") from error
    if read != promised:
        raise DataError(f"{path}: is damaged: {promised} rows should follow, and {read} can be read")
