"""The ADE corpus as distributed: ``DRUG-AE.rel``, one relation between an adverse effect and a drug a line.

A line is ``PubMed id|sentence|effect|begin|end|drug|begin|end``; the offsets count characters of a document that is not
distributed. Lines of one PubMed id and sentence make one sample. The sentence's own place in its document is the one from
which every span of the sample finds its text; it must be the only one, and so no mention is ever guessed. Words are runs of
letters and digits, and single other characters; a word that an annotation cuts is split there, and counted.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from iter_bench.data.validation import Problems, RecordBuilder, decode, read_bytes, shown
from iter_bench.document import Document, Entity, Schema
from iter_bench.errors import DataError
from iter_bench.text import WORD

EFFECT, DRUG, RELATION = "Adverse-Effect", "Drug", "Adverse-Effect"

CharSpan = tuple[int, int, str, str]
"""Begin and end (exclusive) in the document, type, text."""

Line = tuple[int, list[CharSpan]]
"""Line number; the effect and the drug, or fewer where the line is bad."""


def read(path: Path, schema: Schema, *, skip_bad: bool = False) -> tuple[list[Document], dict[str, int]]:
    """All sentences with a relation, in file order, and the counts of what the load changed or left out.

    Raises:
        DataError: the file can't be read or a line is bad; the message lists the first twenty problems.
    """
    problems = Problems(path, skip_bad=skip_bad)
    samples: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for number, line in enumerate(read_bytes(path).split(b"\n"), start=1):
        if line.strip() and (parsed := _parse(problems, number, line)):
            key, spans = parsed
            samples[key].append((number, spans))
    seen: Counter[str] = Counter()
    documents = []
    for (pubmed, sentence), lines in samples.items():
        builder = RecordBuilder(problems, f"line {lines[0][0]}", schema)
        document_id = f"{pubmed}/{seen[pubmed]}"
        seen[pubmed] += 1
        if any(len(spans) < 2 for _, spans in lines):
            problems.notes["sentences left out because a line of theirs is bad"] += 1
            continue  # without that line's mentions the gold would be wrong
        if document := _document(builder, document_id, sentence, lines):
            documents.append(document)
    return documents, problems.settle()


def folds_of(documents: Sequence[Document], folds: int, seed: int) -> list[int]:
    """The fold of each document: folds differ by at most one in size, and depend on ids and seed alone.

    Documents are put in the order of the SHA-256 of ``seed:id`` and dealt out in turn, which no machine or version changes.
    """
    order = sorted(range(len(documents)), key=lambda i: hashlib.sha256(f"{seed}:{documents[i].id}".encode()).digest())
    fold = [0] * len(documents)
    for place, i in enumerate(order):
        fold[i] = place % folds
    return fold


def tokenise(sentence: str, borders: set[int]) -> tuple[list[tuple[int, int]], int]:
    """(begin, end) of the words, each split at the character offsets in ``borders``, and how many were split."""
    words = []
    split = 0
    for match in WORD["runs"].finditer(sentence):
        cuts = [match.start(), *(b for b in range(match.start() + 1, match.end()) if b in borders), match.end()]
        words += pairwise(cuts)
        split += len(cuts) > 2
    return words, split


def _parse(problems: Problems, number: int, line: bytes) -> tuple[tuple[str, str], list[CharSpan]] | None:
    record = f"line {number}"
    try:
        cells = decode(line, problems.file).rstrip("\r").split("|")
    except DataError:
        problems.add(record, "", "broken encoding", "is not UTF-8")
        return _without_spans(line.decode(errors="replace").split("|"))
    if len(cells) != 8:
        problems.add(record, "", "wrong column count", f"{len(cells)} cells between |, should be 8")
        return _without_spans(cells)
    pubmed, sentence, *rest = cells
    spans = []
    for i, type_ in ((0, EFFECT), (3, DRUG)):
        text, begin, end = rest[i : i + 3]
        if not (re.fullmatch("[0-9]{1,9}", begin) and re.fullmatch("[0-9]{1,9}", end)):
            problems.add(record, type_, "wrong value", f"{shown(begin)}:{shown(end)}, should be int:int")
        elif int(begin) >= int(end):
            problems.add(record, type_, "start is not before end", f"{begin}:{end}, end exclusive")
        elif int(end) - int(begin) != len(text):
            problems.add(record, type_, "offsets out of range", f"{begin}:{end} is not the length of {shown(text)}")
        else:
            spans.append((int(begin), int(end), type_, text))
    return (pubmed, sentence), spans


def _without_spans(cells: list[str]) -> tuple[tuple[str, str], list[CharSpan]] | None:
    """The sentence that a bad line belongs to, if it can be told: its gold isn't whole."""
    return ((cells[0], cells[1]), []) if len(cells) > 2 else None


def _document(builder: RecordBuilder, document_id: str, sentence: str, lines: list[Line]) -> Document | None:
    spans = {span for _, pair in lines for span in pair}
    places = [_places(sentence, span) for span in spans]
    origins = set.intersection(*places)
    if len(origins) != 1:
        what = "several places" if origins else "no place"
        builder.bad("offsets", "span not found", f"{what} in the sentence where all its {len(spans)} spans have their text")
        return None
    origin = origins.pop()
    words, split = tokenise(sentence, {offset - origin for begin, end, *_ in spans for offset in (begin, end)})
    if split:
        builder.notes["words split at the border of an entity"] += split
    builder.set_words("sentence", [sentence[begin:end] for begin, end in words])
    entities = {span: _entity(builder, words, span, origin) for span in sorted(spans)}
    for number, (effect, drug) in lines:
        builder.relation(f"line {number}", entities[effect], entities[drug], RELATION)
    return builder.build(document_id)


def _places(sentence: str, span: CharSpan) -> set[int]:
    """Every document offset at which the sentence may begin, as far as this span tells."""
    begin, _, _, text = span
    return {begin - match.start() for match in re.finditer(f"(?={re.escape(text)})", sentence)}


def _entity(builder: RecordBuilder, words: list[tuple[int, int]], span: CharSpan, origin: int) -> Entity | None:
    begin, end, type_, text = span
    covered = [i for i, (a, b) in enumerate(words) if begin - origin <= a and b <= end - origin]
    if not covered:
        builder.bad(type_, "empty words", f"{shown(text)} holds no word")
        return None
    return builder.entity(type_, covered[0], covered[-1] + 1, type_)
