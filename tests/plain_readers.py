"""What a valid file says, read a second time and as plainly as can be: no checks, so only for what a reader accepted.

Of each document its words, its entities as (start, end, type), and its relations as (type, entity, entity).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from seqeval.metrics.sequence_labeling import get_entities

from iter_bench.document import CONTEXT_MARKERS, Document

Span = tuple[int, int, str]
Said = tuple[tuple[str, ...], set[Span], set[tuple[str, Span, Span]]]


def said_by(document: Document) -> Said:
    """The same of a document that a reader made."""
    relations = {(r.type, _span(r.head), _span(r.tail)) for r in document.relations}
    return document.words, set(map(_span, document.entities)), relations


def spert(data: bytes) -> list[Said]:
    found = []
    for sample in json.loads(data.decode("utf-8-sig")):
        words, shift = tuple(sample["tokens"]), 0
        if (words[0], words[-1]) == CONTEXT_MARKERS:
            words, shift = words[1:-1], 1
        spans = [(entity["start"] - shift, entity["end"] - shift, entity["type"]) for entity in sample["entities"]]
        relations = {(r["type"], spans[r["head"]], spans[r["tail"]]) for r in sample["relations"]}
        found.append((words, set(spans), relations))
    return found


def dygie(data: bytes) -> list[Said]:
    found = []
    for line in filter(str.strip, data.decode("utf-8-sig").split("\n")):
        text = json.loads(line.removeprefix("\ufeff"))
        words = tuple(word for sentence in text["sentences"] for word in sentence)
        spans = [(start, end + 1, type_) for rows in text["ner"] for start, end, type_ in rows]
        first = {span[:2]: span for span in reversed(spans)}
        relations = {(type_, first[a, b + 1], first[c, d + 1]) for rows in text["relations"] for a, b, c, d, type_ in rows}
        found.append((words, set(spans), relations))
    return found


def columns(tag_columns: int) -> Callable[[bytes], list[Said]]:
    """By seqeval's reading of tags; with ``-DOCSTART-`` a document is all up to the next one, else a sentence."""

    def read(data: bytes) -> list[Said]:
        text = "\n".join(line.strip(" \t\r") for line in data.decode("utf-8-sig", "replace").split("\n"))
        parts = re.split(r"^-DOCSTART-(?=[ \t]|$).*\n?", text, flags=re.MULTILINE)
        before = [[sentence] for sentence in re.split(r"\n\n+", parts[0].strip("\n"))]  # each is a document of its own
        documents = before + [re.split(r"\n\n+", part.strip("\n")) for part in parts[1:]]
        return [_tagged(sentences, tag_columns) for sentences in documents if any(sentences)]

    return read


def _tagged(sentences: list[str], tag_columns: int) -> Said:
    words: list[str] = []
    spans: set[Span] = set()
    for sentence in filter(None, sentences):
        rows = [re.split("[ \t]+", line) for line in sentence.split("\n")]
        for layer in range(-tag_columns, 0):
            tags = [re.sub("^L-", "E-", re.sub("^U-", "S-", row[layer])) for row in rows]
            spans |= {(start + len(words), end + 1 + len(words), type_) for type_, start, end in get_entities(tags)}
        words += [row[0] for row in rows]
    return tuple(words), spans, set()


def _span(entity) -> Span:
    return entity.start, entity.end, entity.type
