"""What all readers share: the making of one valid document from one record, and the report of every record that is bad.

A record with any problem is bad as a whole. Bad records stop the load (`Problems.settle`), the first twenty problems told
at once; with ``skip_bad`` they are left out, counted by reason in the notes, and listed through the logger.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iter_bench.document import Document, Entity, InvalidDocument, Relation, Schema
from iter_bench.errors import DataError

log = logging.getLogger("iter_bench.data")

LISTED = 20
"""How many problems an error message lists."""
SHOWN = 40
"""How many characters of a value a message shows."""

HOW_TO_SKIP = "--skip-bad of `iter-bench data` and `evaluate`, data.skip_bad=true in the settings of a run"


@dataclass(frozen=True, slots=True)
class Problem:
    """``kind`` is one of few reasons, to count by; ``detail`` says what stands there."""

    file: str
    record: str
    field: str
    kind: str
    detail: str

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.file, self.record, self.field) if part)
        return f"{where}: {self.kind}" + (f" ({self.detail})" if self.detail else "")


class Problems:
    """The problems of one file, and the counts (``notes``) of everything that its load changed or left out.

    Args:
        file: the file that is read.
        skip_bad: leave bad records out instead of stopping; None: none may be left out.
    """

    def __init__(self, file: Path, *, skip_bad: bool | None = False):
        self.file = file
        self.skip_bad = skip_bad
        self.found: list[Problem] = []
        self.notes: Counter[str] = Counter()
        self._ids: dict[str, str] = {}

    def add(self, record: str, field: str, kind: str, detail: str = "") -> None:
        """Notes one problem; a record with any is bad as a whole."""
        self.found.append(Problem(str(self.file), record, field, kind, detail))

    def new_id(self, record: str, document_id: str) -> bool:
        """Registers an id; one that another record of the file has is a problem, and gives False."""
        if (earlier := self._ids.setdefault(document_id, record)) == record:
            return True
        self.add(record, "id", "duplicate id", f"{document_id!r} is also that of {earlier}")
        return False

    def settle(self) -> dict[str, int]:
        """The notes of the load, after all records were read.

        Raises:
            DataError: there are problems and ``skip_bad`` is off.
        """
        if not self.found:
            return dict(self.notes)
        records: dict[str, str] = {}
        for problem in self.found:
            records.setdefault(problem.record, problem.kind)
        if not self.skip_bad:
            lines = [f"{self.file}: {len(self.found)} problems in {len(records)} records:"]
            lines += [f"  {problem}" for problem in self.found[:LISTED]]
            if len(self.found) > LISTED:
                lines.append(f"  and {len(self.found) - LISTED} more")
            skip = "" if self.skip_bad is None else f", or leave these records out, counted: {HOW_TO_SKIP}"
            raise DataError("\n".join([*lines, f"Mend the file{skip}."]))
        for kind in records.values():
            self.notes[f"skipped records: {kind}"] += 1
        log.warning("%s: %d records left out:\n%s", self.file, len(records), "\n".join(f"  {p}" for p in self.found))
        return dict(self.notes)


def read_bytes(path: Path) -> bytes:
    """Raises DataError where the file can't be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error


def decode(data: bytes, path: Path) -> str:
    """UTF-8, with or without a byte order mark; raises DataError otherwise."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: is not UTF-8 text ({error.reason}); convert the file to UTF-8") from error


class RecordBuilder:
    """Collects one record's words, entities and relations, and notes each problem under the record's own field names."""

    def __init__(self, problems: Problems, record: str, schema: Schema):
        self.problems = problems
        self.record = record
        self.schema = schema
        self.words: tuple[str, ...] = ()
        self.entities: dict[Entity, None] = {}
        self.relations: dict[Relation, None] = {}
        self.notes: Counter[str] = Counter()
        self._before = len(problems.found)

    @property
    def ok(self) -> bool:
        """Whether the record has had no problem so far."""
        return len(self.problems.found) == self._before

    def bad(self, field: str, kind: str, detail: str = "") -> None:
        """Notes a problem of this record."""
        self.problems.add(self.record, field, kind, detail)

    def get(self, record: dict[str, Any], key: str, type_: type, field: str = "") -> Any:
        """``record[key]`` if it is of the type (a bool is no int), else None and a problem."""
        value = record.get(key)
        if type(value) is type_:
            return value
        what = "is missing" if key not in record else f"is {shown(value)}"
        self.bad(f"{field}.{key}" if field else key, "wrong value", f"{what}, should be {type_.__name__}")
        return None

    def set_words(self, field: str, words: Sequence[Any]) -> None:
        """The document's words; there must be at least one, and none empty."""
        if not words:
            self.bad(field, "empty words", "the record has no words")
        self.words = self.checked_words(field, words)

    def checked_words(self, field: str, words: Sequence[Any]) -> tuple[str, ...]:
        """The words, after noting every one that is no text or only white space."""
        for i, word in enumerate(words):
            if type(word) is not str:
                self.bad(f"{field}[{i}]", "wrong value", f"is {shown(word)}, should be str")
            elif not word or word.isspace():
                self.bad(f"{field}[{i}]", "empty words", repr(word))
            elif not is_text(word):
                self.bad(f"{field}[{i}]", "wrong value", "holds half of a surrogate pair")
        return tuple(words)

    def entity(self, field: str, start: Any, end: Any, type_: Any) -> Entity | None:
        """Adds an entity (end exclusive) and gives it back; None where it is bad. A repeated one is collapsed and counted."""
        if not (type(start) is int and type(end) is int and type(type_) is str):
            self.bad(field, "wrong value", f"{shown(start)}:{shown(end)} {shown(type_)}, should be int:int str")
        elif type_ not in self.schema.entity_types:
            self.bad(field, "unknown type", f"{shown(type_)}, known are {', '.join(self.schema.entity_types)}")
        elif start >= end:
            self.bad(field, "start is not before end", f"{start}:{end}, end exclusive")
        elif start < 0 or end > len(self.words):
            self.bad(field, "offsets out of range", f"{start}:{end}, the record has {len(self.words)} words")
        else:
            entity = Entity(start, end, type_)
            if entity in self.entities:
                self.notes["repeated entities collapsed"] += 1
            self.entities[entity] = None
            return entity
        return None

    def relation(self, field: str, head: Entity | None, tail: Entity | None, type_: Any) -> None:
        """Adds a relation; a repeated one, and the second direction of a symmetric pair, are collapsed and counted."""
        if type(type_) is not str:
            self.bad(field, "wrong value", f"type is {shown(type_)}, should be str")
        elif type_ not in self.schema.relation_types:
            self.bad(field, "unknown type", f"{shown(type_)}, known are {', '.join(self.schema.relation_types) or 'none'}")
        elif head is None or tail is None:
            return  # the end's own problem is noted already
        elif head == tail:
            self.bad(field, "head = tail", f"both are words {head.start}:{head.end} {head.type}")
        elif (relation := Relation(head, tail, type_)) in self.relations:
            self.notes["repeated relations collapsed"] += 1
        elif type_ in self.schema.symmetric and Relation(tail, head, type_) in self.relations:
            self.notes["second directions of symmetric relations collapsed"] += 1
        else:
            self.relations[relation] = None

    def build(self, document_id: str, **parts: Any) -> Document | None:
        """The document, or None where the record is bad; ``parts`` are further fields of `Document`."""
        if not self.problems.new_id(self.record, document_id) or not self.ok:
            return None
        try:
            document = Document(document_id, self.words, tuple(sorted(self.entities)), tuple(self.relations), **parts)
        except InvalidDocument as error:
            for field, reason in error.problems:
                self.bad(field, reason)
            return None
        self.problems.notes += self.notes
        return document


def shown(value: Any) -> str:
    """The value for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def unique_names(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object of which no value is lost, for ``object_pairs_hook``. Raises ValueError for a name that stands twice."""
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"{shown(twice)} stands twice in one object")
    return content


def is_text(text: str) -> bool:
    """False for strings that hold lone surrogates (JSON can spell them), which no file can be written with."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
