"""DyGIE++'s JSON lines (SciERC, ACE05): one whole text a line, with ``sentences``, ``ner`` and ``relations`` by sentence.

Offsets count words over the whole text and name the last word of a span, not the one behind it. A relation names its ends
by their offsets. Other keys (``clusters``, ``events``, ``dataset`` and so on) are not read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from iter_bench.data.spert import parse_json
from iter_bench.data.validation import Problems, RecordBuilder, decode, is_text, read_bytes, shown
from iter_bench.document import Document, Entity, Schema
from iter_bench.errors import DataError


def read(path: Path, schema: Schema, *, skip_bad: bool = False) -> tuple[list[Document], dict[str, int]]:
    """The file's texts, each as one document with its sentence borders, and the counts of what the load changed.

    Raises:
        DataError: the file can't be read or a line is bad; the message lists the first twenty problems.
    """
    problems = Problems(path, skip_bad=skip_bad)
    documents = []
    for number, line in enumerate(read_bytes(path).split(b"\n"), start=1):
        if not line.strip():
            continue
        builder = RecordBuilder(problems, f"line {number}", schema)
        try:
            text = decode(line, path)
        except DataError:
            builder.bad("", "broken encoding", "is not UTF-8")
            continue
        try:
            content = parse_json(text, "the line")
        except DataError as error:
            builder.bad("", "broken JSON", str(error))
            continue
        if isinstance(content, dict):
            document = _document(builder, content)
            if document:
                documents.append(document)
        else:
            builder.bad("", "wrong value", f"is {shown(content)}, should be an object")
    return documents, problems.settle()


def relation_types(path: Path) -> frozenset[str]:
    """All relation types that the file names; what is no record is passed over, since ``read`` reports it."""
    found = set()
    for line in read_bytes(path).split(b"\n"):
        try:
            relations = json.loads(line)["relations"]
            found.update(row[4] for sentence in relations for row in sentence if type(row[4]) is str)
        except (ValueError, LookupError, TypeError, RecursionError):
            continue
    return frozenset(found)


def _document(builder: RecordBuilder, content: dict[str, Any]) -> Document | None:
    key = builder.get(content, "doc_key", str)
    if key is not None and not is_text(key):
        builder.bad("doc_key", "wrong value", "holds half of a surrogate pair")
    sentences = builder.get(content, "sentences", list)
    if key is None or sentences is None:
        return None
    words: list[Any] = []
    borders = []
    for i, sentence in enumerate(sentences):
        if not isinstance(sentence, list) or not sentence:
            builder.bad(f"sentences[{i}]", "empty words", f"is {shown(sentence)}, should be a list of words")
            continue
        borders.append((len(words), len(words) + len(sentence)))
        words += sentence
    builder.set_words("sentences", words)
    by_span: dict[tuple[int, int], Entity] = {}
    for field, (start, end, type_) in _rows(builder, content, "ner", len(sentences), 3):
        if entity := builder.entity(field, start, end + 1 if type(end) is int else end, type_):
            first = by_span.setdefault((start, end), entity)
            if first != entity:
                builder.notes["spans of several types: relations go to the first"] += 1
    if "relations" in content or builder.schema.relation_types:
        for field, (*offsets, type_) in _rows(builder, content, "relations", len(sentences), 5):
            ends = []
            for name, (start, end) in (("head", offsets[:2]), ("tail", offsets[2:])):
                if type(start) is not int or type(end) is not int:
                    builder.bad(f"{field}.{name}", "wrong value", f"{shown(start)}:{shown(end)}, should be int:int")
                elif (start, end) not in by_span:
                    builder.bad(f"{field}.{name}", "relation of no entity", f"no entity has words {start} to {end}")
                else:
                    ends.append(by_span[start, end])
            if len(ends) == 2:
                builder.relation(field, ends[0], ends[1], type_)
    return builder.build(key, sentences=tuple(borders))


def _rows(
    builder: RecordBuilder, content: dict[str, Any], key: str, sentences: int, width: int
) -> Iterator[tuple[str, list[Any]]]:
    """The annotations under ``key`` with their field names; there is one list of them a sentence."""
    lists = builder.get(content, key, list)
    if lists is None:
        return
    if len(lists) != sentences:
        builder.bad(key, "wrong value", f"holds {len(lists)} lists for {sentences} sentences")
    for i, rows in enumerate(lists):
        if not isinstance(rows, list):
            builder.bad(f"{key}[{i}]", "wrong value", f"is {shown(rows)}, should be a list")
            continue
        for j, row in enumerate(rows):
            if isinstance(row, list) and len(row) == width:
                yield f"{key}[{i}][{j}]", row
            else:
                builder.bad(f"{key}[{i}][{j}]", "wrong value", f"is {shown(row)}, should be a list of {width}")
