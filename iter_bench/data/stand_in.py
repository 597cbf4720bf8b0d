"""Generated texts in a licensed corpus's own schema and file formats, so that all that reads it can be run without it.

They are the embedded corpus under ACE05's types, made for running and not for scores: names decide between GPE, LOC and FAC by
nothing that a reader could know. Whatever is loaded from them is marked (`MARK`), so that no table takes it for ACE05.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

from iter_bench.data import catalogue, context, spert
from iter_bench.data.synthetic import SPLITS, CorpusSettings, generate
from iter_bench.document import Document, Entity, Relation
from iter_bench.errors import SettingsError
from iter_bench.files import whole_file

MARK = "stand-in-"
"""First letters of the ids of generated texts."""
NOTE = "generated samples, which stand in for the data set"
"""Under this a load counts them."""

ENTITIES = {
    "person": ("PER",),
    "role": ("PER",),
    "organization": ("ORG",),
    "location": ("GPE", "LOC", "FAC"),
    "product": ("VEH", "WEA"),
}
"""Type in the embedded corpus → what it becomes, by the name's letters; the other types are left out."""
RELATIONS = {
    "works_for": "ORG-AFF",
    "supplies": "ORG-AFF",
    "merged_with": "ORG-AFF",
    "born_in": "GEN-AFF",
    "located_in": "GEN-AFF",
    "acquired": "PART-WHOLE",
    "produces": "ART",
    "borders": "PHYS",
    "taught": "PER-SOC",
    "child_of": "PER-SOC",
    "spouse_of": "PER-SOC",
    "rival_of": "PER-SOC",
}
BETWEEN_ORGANIZATIONS = {"rival_of": "ORG-AFF"}
BETWEEN_LOCATIONS = {"located_in": "PART-WHOLE"}
SENTENCES, WORDS = 3, {"train": 128, "dev": 256, "test": 256}
"""ASP's context: so many sentences on each side, so many words with the sentence."""


def write_ace05(folder: Path, texts: int = 351) -> list[Path]:
    """Writes ``ace05/`` (DyGIE++ JSON lines) and ``ace05_asp/`` (ASP's JSON) into ``folder``; the same texts in both.

    Args:
        folder: what ``--data-dir`` names later.
        texts: of train, as many as ACE05 has by default; dev and test have a quarter of it each.

    Returns:
        The files.

    Raises:
        SettingsError: a file is there that may not be a stand-in's.
    """
    settings = CorpusSettings(
        name=f"{MARK}ace05", train=texts, dev=max(1, texts // 4), test=max(1, texts // 4), omega=1, words=(60, 240)
    )
    dygie, asp = (catalogue.entry(name) for name in ("ace05", "ace05_asp"))
    places = {split: (folder / dygie.folder / dygie.files[split], folder / asp.folder / asp.files[split]) for split in SPLITS}
    for path in (path for pair in places.values() for path in pair):
        if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace")[:200]:
            raise SettingsError(f"{path} is there already and is no stand-in; name another folder by --output")
    for split, (lines, samples) in places.items():
        made = [_under_ace05(text) for text in generate(settings, split)]
        with whole_file(lines) as file:
            file.writelines(json.dumps(_dygie(text)) + "\n" for text in made)
        spert.write_json(samples, [sample for text in made for sample in _asp(text, WORDS[split])])
    return [path for pair in places.values() for path in pair]


def _under_ace05(text: Document) -> Document:
    """The text under ACE05's types; relations across sentences, which ACE05 doesn't have, are left out."""
    moved: dict[Entity, Entity] = {}
    for entity in text.entities:
        if types := ENTITIES.get(entity.type):
            name = " ".join(text.words[entity.start : entity.end])
            moved[entity] = replace(entity, type=types[crc32(name.encode()) % len(types)])
    relations = []
    for relation in text.relations:
        special = {"organization": BETWEEN_ORGANIZATIONS, "location": BETWEEN_LOCATIONS}.get(relation.head.type, {})
        kind = special.get(relation.type, RELATIONS.get(relation.type))
        if kind and relation.head in moved and relation.tail in moved and _together(text, relation):
            relations.append(Relation(moved[relation.head], moved[relation.tail], kind))
    return replace(text, entities=tuple(sorted(moved.values())), relations=tuple(sorted(relations)))


def _together(text: Document, relation: Relation) -> bool:
    ends = (relation.head, relation.tail)
    return any(all(start <= end.start and end.end <= stop for end in ends) for start, stop in text.sentences)


def _dygie(text: Document) -> dict[str, Any]:
    def in_sentence(start: int, stop: int, entity: Entity) -> bool:
        return start <= entity.start < stop

    return {
        "doc_key": text.id,
        "dataset": f"{MARK}ace05",
        "sentences": [list(text.words[start:stop]) for start, stop in text.sentences],
        "ner": [[[e.start, e.end - 1, e.type] for e in text.entities if in_sentence(*s, e)] for s in text.sentences],
        "relations": [
            [
                [r.head.start, r.head.end - 1, r.tail.start, r.tail.end - 1, r.type]
                for r in text.relations
                if in_sentence(*s, r.head)
            ]
            for s in text.sentences
        ],
    }


def _asp(text: Document, words: int) -> Iterator[dict[str, Any]]:
    """The text's sentences between markers, with whole sentences around each until ``words`` are reached."""
    for i, sentence in enumerate(context.by_sentence(text)[0]):
        first, last = i, i
        for step in range(1, SENTENCES + 1):
            for new_first, new_last in ((max(0, i - step), last), (first, min(len(text.sentences) - 1, i + step))):
                if text.sentences[new_last][1] - text.sentences[new_first][0] <= words:
                    first, last = min(first, new_first), max(last, new_last)
        start, stop = text.sentences[i]
        before, after = text.words[text.sentences[first][0] : start], text.words[stop : text.sentences[last][1]]
        marked = _marked(sentence.words)
        closed = marked if after else marked[:-1]  # ASP's files lack the second marker at a text's end
        index = {entity: j for j, entity in enumerate(sentence.entities)}
        yield {
            "orig_id": sentence.id,
            "tokens": marked,
            "extended": [*before, *closed, *after],
            "entities": [{"type": e.type, "start": e.start + 1, "end": e.end + 1} for e in sentence.entities],
            "relations": [{"type": r.type, "head": index[r.head], "tail": index[r.tail]} for r in sentence.relations],
        }


def _marked(words: Sequence[str]) -> list[str]:
    return [spert.LEFT_MARKER, *words, spert.RIGHT_MARKER]
