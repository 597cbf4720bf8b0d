"""CoNLL columns: a word a line, its tags in the last columns, an empty line between sentences.

IOB1, IOB2 and BILOU tags; one column of tags for flat entities, one column a nesting layer for nested ones (GENIA). A line
whose word is ``-DOCSTART-`` begins a new text, as in CoNLL03. Text up to the next such line, or, where a file has none, one
sentence is a record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from iter_bench.data.validation import Problems, RecordBuilder, read_bytes, shown
from iter_bench.document import Document, Schema

Scheme = Literal["iob1", "iob2", "bilou"]
Span = tuple[int, int, str]

DOCSTART = "-DOCSTART-"
_BLANKS = re.compile("[ \t]+")
_PREFIXES = {"iob1": "BI", "iob2": "BI", "bilou": "BILU"}


class InvalidTags(ValueError):
    """A sequence of tags that the scheme doesn't allow; ``index`` is the tag's place."""

    def __init__(self, index: int, reason: str):
        self.index = index
        super().__init__(reason)


def read(
    path: Path, schema: Schema, *, scheme: Scheme, columns: int, tag_columns: int = 1, skip_bad: bool = False
) -> tuple[list[Document], dict[str, int]]:
    """The file's texts (or, without ``-DOCSTART-``, its sentences) and the counts of what the load changed or left out.

    Args:
        path: the file.
        schema: the types that may occur.
        scheme: how tags mark entities.
        columns: how many columns every line has; the word is the first.
        tag_columns: how many of these, the last ones, hold tags.
        skip_bad: leave bad records out, counted and logged, instead of stopping.

    Raises:
        DataError: the file can't be read or a record is bad; the message lists the first twenty problems.
    """
    problems = Problems(path, skip_bad=skip_bad)
    documents = []
    for i, text in enumerate(_texts(_lines(path))):
        builder = RecordBuilder(problems, f"text at line {text[0][0][0]}", schema)
        rows = [[row for line in sentence if (row := _row(builder, line, columns))] for sentence in text]
        if builder.ok:
            builder.set_words("words", [row[1][0] for sentence in rows for row in sentence])
            borders = []
            start = 0
            for sentence in rows:
                for layer in range(columns - tag_columns, columns):
                    _add_entities(builder, sentence, layer, start, scheme)
                borders.append((start, start + len(sentence)))
                start += len(sentence)
            if document := builder.build(str(i), sentences=tuple(borders)):
                documents.append(document)
    return documents, problems.settle()


def has_texts(path: Path) -> bool:
    """Whether ``-DOCSTART-`` lines part the file into texts. Raises DataError where it can't be read."""
    return any(line.startswith(DOCSTART.encode()) for line in read_bytes(path).splitlines())


def spans_of(tags: list[str], scheme: Scheme) -> list[Span]:
    """The (start, end, type) of the entities that a sentence's tags mark, ends exclusive.

    In IOB1 a ``B-`` is read as a start wherever it stands, so that IOB2 is read right as well.

    Raises:
        InvalidTags: the sequence is none of the scheme.
    """
    spans: list[Span] = []
    start: int | None = None  # of the open entity
    kind = ""
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, type_ = tag.partition("-")
        if tag != "O" and (len(prefix) != 1 or prefix not in _PREFIXES[scheme] or not type_):
            raise InvalidTags(i, f"{shown(tag)} is no tag of {scheme.upper()}")
        inside = start is not None and prefix in ("I", "L") and type_ == kind
        if start is not None and not inside:
            if scheme == "bilou":
                raise InvalidTags(min(i, len(tags) - 1), f"the {kind} of word {start} is not closed by L-{kind}")
            spans.append((start, i, kind))
            start = None
        if prefix in ("I", "L") and not inside:
            if scheme != "iob1":
                raise InvalidTags(i, f"{shown(tag)} continues no {type_}")
            start, kind = i, type_
        elif prefix == "B":
            start, kind = i, type_
        elif prefix == "U":
            spans.append((i, i + 1, type_))
        if prefix == "L":
            spans.append((start, i + 1, kind))
            start = None
    return spans


Line = tuple[int, bytes]


def _lines(path: Path) -> Iterator[Line]:
    data = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    return ((number, line.strip(b" \t\r")) for number, line in enumerate(data.split(b"\n"), start=1))


def _texts(lines: Iterator[Line]) -> Iterator[list[list[Line]]]:
    """Texts of sentences of lines; a sentence before the first ``-DOCSTART-`` is a text of its own."""
    text: list[list[Line]] = []
    sentence: list[Line] = []
    whole = False
    for number, line in (*lines, (0, b"")):
        starts = line.split()[:1] == [DOCSTART.encode()]
        if line and not starts:
            sentence.append((number, line))
            continue
        if sentence:
            text.append(sentence)
            sentence = []
        if text and (starts or not whole or number == 0):
            yield text
            text = []
        whole = whole or starts


def _row(builder: RecordBuilder, line: Line, columns: int) -> tuple[int, list[str]] | None:
    """(line number, cells), or None where they are not the right number or no UTF-8."""
    number, data = line
    try:
        cells = _BLANKS.split(data.decode())  # a byte order mark is the file's, and taken off; else it's in a word
    except UnicodeDecodeError:
        builder.bad(f"line {number}", "broken encoding", "is not UTF-8")
        return None
    if len(cells) != columns:
        builder.bad(f"line {number}", "wrong column count", f"{len(cells)}, should be {columns}")
        return None
    return number, cells


def _add_entities(builder: RecordBuilder, rows: list[tuple[int, list[str]]], column: int, start: int, scheme: Scheme) -> None:
    try:
        spans = spans_of([cells[column] for _, cells in rows], scheme)
    except InvalidTags as error:
        builder.bad(f"line {rows[error.index][0]}, column {column + 1}", "invalid tag sequence", str(error))
        return
    for begin, end, type_ in spans:
        builder.entity(f"line {rows[begin][0]}, column {column + 1}", start + begin, start + end, type_)
