"""SpERT's JSON: one array of samples with ``tokens``, ``entities`` and ``relations``, and a types file; also ASP's variant.

Offsets are word offsets, ends exclusive; a relation names its head and tail by index into ``entities``. A sample's id is its
``id``, or else ``orig_id``, or else its place in the file. ASP's ACE05 files wrap each sentence in ``<extra_id_22>`` and
``<extra_id_23>``, count the first of these as word 0, and carry ``extended``: the wrapped sentence with words of its
neighbours around it. Here the markers are taken off, and those neighbours are read as context.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from iter_bench.data.validation import Problems, RecordBuilder, decode, is_text, read_bytes, shown, unique_names
from iter_bench.document import CONTEXT_MARKERS, Document, Entity, Extraction, Relation, Schema, with_ends
from iter_bench.errors import DataError
from iter_bench.files import whole_file

LEFT_MARKER, RIGHT_MARKER = CONTEXT_MARKERS


def read_types(path: Path) -> Schema:
    """The schema in a types file; types keep the file's order.

    Raises:
        DataError: the file can't be read or is not of this form.
    """
    content = read_json(path)
    types = {}
    for key in ("entities", "relations"):
        types[key] = content.get(key, {} if key == "relations" else None) if isinstance(content, dict) else None
        if not isinstance(types[key], dict) or not all(isinstance(entry, dict) for entry in types[key].values()):
            raise DataError(f'{path}, {key}: should be an object of types, as in {{"Loc": {{"short": "Loc"}}}}')
    symmetric = set()
    for name, entry in types["relations"].items():
        flag = entry.get("symmetric", False)
        if not isinstance(flag, bool):
            raise DataError(f"{path}, relations.{name}.symmetric: is {shown(flag)}, should be true or false")
        if flag:
            symmetric.add(name)
    return Schema(tuple(types["entities"]), tuple(types["relations"]), frozenset(symmetric))


def write_types(path: Path, schema: Schema) -> None:
    """Writes the schema as a types file, atomically."""
    entities = {name: {"short": name, "verbose": name} for name in schema.entity_types}
    relations = {
        name: {"short": name, "verbose": name, "symmetric": name in schema.symmetric} for name in schema.relation_types
    }
    write_json(path, {"entities": entities, "relations": relations})


def read(
    path: Path, schema: Schema, *, skip_bad: bool | None = False, context: int = 0
) -> tuple[list[Document], dict[str, int]]:
    """The file's documents, in its order, and the counts of what the load changed or left out.

    Args:
        path: the JSON file.
        schema: the types that may occur.
        skip_bad: leave bad records out, counted and logged, instead of stopping; None: none may be left out.
        context: so many words of ``extended`` are kept on each side of a sentence.

    Raises:
        DataError: the file can't be read or a record is bad; the message lists the first twenty problems.
    """
    problems = Problems(path, skip_bad=skip_bad)
    documents = []
    for i, sample in enumerate(_samples(path)):
        builder = RecordBuilder(problems, f"record {i}", schema)
        if (parts := _words_of(builder, sample, i, context)) is None:
            continue
        document_id, shift, around = parts
        entities = _entities(builder, sample, shift)
        for j, head, tail, type_ in _relation_ends(builder, sample, entities):
            builder.relation(f"relations[{j}]", head, tail, type_)
        if document := builder.build(document_id, **around):
            documents.append(document)
    return documents, problems.settle()


def relation_types(path: Path) -> frozenset[str]:
    """All relation types that the file names; what is no sample is passed over, since ``read`` reports it."""
    found = set()
    for sample in _samples(path):
        try:
            found.update(entry["type"] for entry in sample["relations"] if type(entry["type"]) is str)
        except (LookupError, TypeError):
            continue
    return frozenset(found)


def read_predictions(path: Path, schema: Schema, documents: Sequence[Document]) -> list[Extraction]:
    """What a system found in ``documents``, in their order.

    A prediction may say what gold can't: a relation of an entity with itself, both directions of a symmetric pair. One that
    stands twice, letter by letter, counts once. Samples are matched by ``id`` where all have one, in any order, else by
    position; words must be those of the documents.

    Raises:
        DataError: the file can't be read, a record is bad, or the samples are not those of ``documents``.
    """
    problems = Problems(path, skip_bad=None)
    extractions = []
    for i, sample, document in _matched(path, documents):
        builder = RecordBuilder(problems, f"record {i}", schema)
        if (parts := _words_of(builder, sample, i, context=0)) is None:
            continue
        _, shift, _ = parts
        if builder.words != document.words:
            builder.bad("tokens", "other words than gold's", _first_difference(builder.words, document.words))
        entities = _entities(builder, sample, shift)
        relations = {
            Relation(head, tail, type_)
            for j, head, tail, type_ in _relation_ends(builder, sample, entities)
            if _known(builder, f"relations[{j}].type", type_, schema.relation_types) and head and tail
        }
        extractions.append(Extraction(document.id, tuple(sorted(builder.entities)), tuple(sorted(relations))))
    problems.settle()
    return extractions


def write_gold(path: Path, documents: Iterable[Document]) -> None:
    """Writes documents with their gold annotation, atomically; context and sentence borders stay out."""
    write_json(path, [_sample(d.id, d.words, d.entities, d.relations) for d in documents])


def write_predictions(path: Path, documents: Sequence[Document], extractions: Sequence[Extraction]) -> None:
    """Writes what was found in ``documents`` (same order), atomically.

    An entity that only a relation names is written among the entities too, since a relation names its ends by index.

    Raises:
        ValueError: documents and extractions don't go together.
    """
    if [d.id for d in documents] != [e.id for e in extractions]:
        raise ValueError("documents and extractions have different ids")
    write_json(
        path,
        [_sample(d.id, d.words, e.entities, e.relations) for d, e in zip(documents, extractions, strict=True)],
    )


def read_json(path: Path) -> Any:
    """A JSON file's content; NaN and Infinity are no JSON. Raises DataError."""
    return parse_json(decode(read_bytes(path), path), str(path))


def parse_json(text: str, where: str) -> Any:
    """The content; a name that stands twice in one object is refused, for the first one's value would be lost.

    Raises:
        DataError: names ``where``, line and column.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(text, parse_constant=refuse, object_pairs_hook=unique_names)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: broken JSON at line {error.lineno}, column {error.colno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, too deep nesting
        raise DataError(f"{where}: broken JSON: {error}") from error


def write_json(path: Path, content: Any) -> None:
    """Writes JSON so that the file at ``path`` is always whole: the old one or the new one. Raises DataError."""
    try:
        with whole_file(path) as file:
            json.dump(content, file, ensure_ascii=False, allow_nan=False)
            file.write("\n")
    except OSError as error:
        raise DataError(f"{path}: can't be written: {error.strerror or error}") from error


def _samples(path: Path) -> list[Any]:
    content = read_json(path)
    if not isinstance(content, list):
        raise DataError(f"{path}: should be a JSON array of samples, is {type(content).__name__}")
    return content


def _matched(path: Path, documents: Sequence[Document]) -> list[tuple[int, Any, Document]]:
    """Each document with the sample that is about it, and the sample's place in the file."""
    samples = _samples(path)
    ids = [str(sample["id"]) if isinstance(sample, dict) and "id" in sample else None for sample in samples]
    if not samples or None in ids:
        if len(samples) != len(documents):
            counts = f"has {len(samples)} samples, the gold data {len(documents)}"
            raise DataError(f"{path}: {counts}; they must be the same samples")
        return [(i, sample, document) for i, (sample, document) in enumerate(zip(samples, documents, strict=True))]
    place = {identity: i for i, identity in enumerate(ids)}
    problems = {
        "stand twice": [identity for i, identity in enumerate(ids) if place[identity] != i],
        "are none of the gold data": sorted(place.keys() - {document.id for document in documents}),
        "of the gold data are missing": [document.id for document in documents if document.id not in place],
    }
    if wrong := [f"{len(found)} ids {what}, the first is {shown(found[0])}" for what, found in problems.items() if found]:
        raise DataError(f"{path}: {'; '.join(wrong)}. Predictions are about the same samples, each once")
    return [(place[document.id], samples[place[document.id]], document) for document in documents]


def _words_of(builder: RecordBuilder, sample: Any, index: int, context: int) -> tuple[str, int, dict[str, Any]] | None:
    """Sets the builder's words; gives the sample's id, how far its offsets are to be moved, and its context for `Document`."""
    if not isinstance(sample, dict):
        builder.bad("", "wrong value", f"is {shown(sample)}, should be an object")
        return None
    key = "id" if "id" in sample else "orig_id"
    identity = sample.get(key, index)
    if type(identity) not in (int, str) or not is_text(str(identity)):
        builder.bad(key, "wrong value", f"is {shown(identity)}, should be a string or an integer")
        return None
    if (words := builder.get(sample, "tokens", list)) is None:
        return None
    marked = words[:1] == [LEFT_MARKER] and words[-1] == RIGHT_MARKER
    builder.set_words("tokens", words[1:-1] if marked else words)
    return str(identity), -1 if marked else 0, _context(builder, sample, context)


def _context(builder: RecordBuilder, sample: dict[str, Any], context: int) -> dict[str, Any]:
    """The words around the sentence in ``extended``; where no marker stands in it, it must be the sentence alone."""
    if not context or "extended" not in sample or (extended := builder.get(sample, "extended", list)) is None:
        return {}
    start = extended.index(LEFT_MARKER) + 1 if LEFT_MARKER in extended else 0
    end = start + len(builder.words)
    before, after = extended[: max(0, start - 1)], extended[end:]
    if after[:1] == [RIGHT_MARKER]:  # files lack it where the sentence is the text's last
        after = after[1:]
    if tuple(extended[start:end]) != builder.words or (LEFT_MARKER not in extended and after):
        builder.bad("extended", "wrong value", f"does not hold the words of tokens after {LEFT_MARKER}")
    before, after = before[max(0, len(before) - context) :], after[:context]
    return {
        "context_before": builder.checked_words("extended (before the sentence)", before),
        "context_after": builder.checked_words("extended (after the sentence)", after),
    }


def _entities(builder: RecordBuilder, sample: dict[str, Any], shift: int) -> list[Entity | None]:
    entities = []
    for i, entry in enumerate(builder.get(sample, "entities", list) or ()):
        if isinstance(entry, dict):
            start, end = (x + shift if type(x := entry.get(key)) is int else x for key in ("start", "end"))
            entities.append(builder.entity(f"entities[{i}]", start, end, entry.get("type")))
        else:
            builder.bad(f"entities[{i}]", "wrong value", f"is {shown(entry)}, should be an object")
            entities.append(None)
    return entities


def _relation_ends(
    builder: RecordBuilder, sample: dict[str, Any], entities: list[Entity | None]
) -> Iterable[tuple[int, Entity | None, Entity | None, Any]]:
    """(index, head, tail, type) of each relation; only a data set without relation types may leave ``relations`` out."""
    if "relations" not in sample and not builder.schema.relation_types:
        return
    for i, entry in enumerate(builder.get(sample, "relations", list) or ()):
        if not isinstance(entry, dict):
            builder.bad(f"relations[{i}]", "wrong value", f"is {shown(entry)}, should be an object")
            continue
        ends = []
        for name in ("head", "tail"):
            index = builder.get(entry, name, int, f"relations[{i}]")
            if index is not None and not 0 <= index < len(entities):
                builder.bad(f"relations[{i}].{name}", "offsets out of range", f"entity {index} of {len(entities)}")
                index = None
            ends.append(None if index is None else entities[index])
        yield i, ends[0], ends[1], entry.get("type")


def _known(builder: RecordBuilder, field: str, type_: Any, known: tuple[str, ...]) -> bool:
    if type(type_) is not str or type_ not in known:
        builder.bad(field, "unknown type", f"{shown(type_)}, known are {', '.join(known) or 'none'}")
        return False
    return True


def _sample(
    document_id: str, words: Sequence[str], entities: Iterable[Entity], relations: Sequence[Relation]
) -> dict[str, Any]:
    index = {entity: i for i, entity in enumerate(with_ends(entities, relations))}
    return {
        "id": document_id,
        "tokens": list(words),
        "entities": [_with_score({"type": e.type, "start": e.start, "end": e.end}, e.score) for e in index],
        "relations": [_with_score({"type": r.type, "head": index[r.head], "tail": index[r.tail]}, r.score) for r in relations],
    }


def _with_score(entry: dict[str, Any], score: float | None) -> dict[str, Any]:
    return entry if score is None else {**entry, "score": score}


def _first_difference(words: Sequence[str], gold: Sequence[str]) -> str:
    for i, (ours, theirs) in enumerate(zip(words, gold, strict=False)):
        if ours != theirs:
            return f"word {i} is {shown(ours)}, gold has {shown(theirs)}"
    return f"{len(words)} words, gold has {len(gold)}"
