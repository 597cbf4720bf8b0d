"""Documents of a million words, of empty sentences, of control characters, of ten thousand entities."""

import json
import re
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from fuzzing import SCHEMA

from iter_bench import scoring, systems
from iter_bench.bulk import items
from iter_bench.data import columns, dygie, spert
from iter_bench.document import Document, Extraction
from iter_bench.errors import UserError
from iter_bench.memory import MemoryWatch

ENCODER = str(Path(__file__).parents[1] / "fixtures" / "tiny_bert")


def scored(documents: list[Document]) -> list[Document]:
    """Checks the scorer on the documents: each is its own perfect extraction, and an empty one misses all."""
    for extractions in ([Extraction(d.id, d.entities, d.relations) for d in documents], [Extraction(d.id) for d in documents]):
        scores = scoring.score(documents, extractions, SCHEMA)["strict"]
        for criterion, kind in (("ner", "entities"), ("re_plus", "relations")):
            gold, found = (sum(len(getattr(side, kind)) for side in of) for of in (documents, extractions))
            assert [scores[criterion][name] for name in ("tp", "fp", "fn")] == [found, 0, gold - found]
    return documents


CONTROL = "".join(map(chr, [*range(1, 32), 127, *range(128, 160), 0x200B, 0x202E, 0xFEFF, 0xFFFF, 0x10FFFF]))


def large(name: str) -> dict:
    many = [{"type": "Drug", "start": i, "end": i + 1} for i in range(10_000)]
    links = [{"type": "Adverse-Effect", "head": i, "tail": i + 1} for i in range(9_999)]
    sample = {
        "million words": {"tokens": ["word"] * 1_000_000, "entities": many[:1], "relations": []},
        "control characters": {"tokens": [c for c in CONTROL if not c.isspace()] + [f"a{CONTROL}b"], "entities": many[:2]},
        "10,000 entities": {"tokens": ["w"] * 10_000, "entities": many, "relations": links},
        "no words": {"tokens": [], "entities": [], "relations": []},
    }[name]
    return {"relations": [], **sample}


def dygie_of(sample: dict) -> str:
    entities = [[e["start"], e["end"] - 1, e["type"]] for e in sample["entities"]]
    ends = [entity[:2] for entity in entities]
    relations = [[*ends[r["head"]], *ends[r["tail"]], r["type"]] for r in sample["relations"]]
    texts = ((sample["tokens"], entities, relations), (["c"], [], []))
    return "\n".join(
        json.dumps({"doc_key": str(i), "sentences": [words], "ner": [ner], "relations": [links]})
        for i, (words, ner, links) in enumerate(texts)
    )


def columns_of(sample: dict) -> str:
    """A column has no room for what parts columns, and no relations."""
    starts = {entity["start"] for entity in sample["entities"]}
    rows = (f"{word} {'B-Drug' if i in starts else 'O'}" for i, word in enumerate(sample["tokens"]))
    return "\n".join(rows) + "\n\nc O\n"


READERS = {
    "spert": (lambda sample: json.dumps([sample, {"tokens": ["c"], "entities": [], "relations": []}]), spert.read),
    "dygie": (dygie_of, dygie.read),
    "columns": (columns_of, partial(columns.read, scheme="iob2", columns=2)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["million words", "control characters", "10,000 entities"])
def test_large_and_strange_documents_are_read_and_scored(tmp_path, name, reader):
    path, (as_text, read), sample = tmp_path / "file", READERS[reader], large(name)
    if reader == "columns":
        sample |= {"tokens": [re.sub(r"[ \t\r\n]", "", word) for word in sample["tokens"]], "relations": []}
    path.write_text(as_text(sample), newline="")
    documents, notes = read(path, SCHEMA, skip_bad=False)
    assert [document.words for document in scored(documents)] == [tuple(sample["tokens"]), ("c",)] and not notes
    assert len(documents[0].entities) == len(sample["entities"]) and len(documents[0].relations) == len(sample["relations"])


def test_bulk_reads_a_million_words_and_control_characters(tmp_path):
    million, strange = (large(name)["tokens"] for name in ("million words", "control characters"))
    (tmp_path / "x.jsonl").write_text("".join(json.dumps({"words": words}) + "\n" for words in (million, strange, ["c"])))
    found = list(items([tmp_path / "x.jsonl"]))
    assert [item.document.words for item in found] == [tuple(million), tuple(strange), ("c",)]


@pytest.mark.parametrize("reader", [spert, dygie])
def test_empty_sentences_are_named_or_left_out_and_counted(tmp_path, reader):
    path = tmp_path / "file"
    sentences = {"doc_key": "t", "sentences": [[], ["a"], []], "ner": [[], [], []], "relations": [[], [], []]}
    path.write_text(json.dumps(sentences if reader is dygie else [large("no words"), {**large("no words"), "tokens": ["a"]}]))
    with pytest.raises(UserError, match="empty words"):
        reader.read(path, SCHEMA, skip_bad=False)
    documents, notes = reader.read(path, SCHEMA, skip_bad=True)
    assert len(scored(documents)) == (reader is spert) and sum(notes.values()) >= 1


@pytest.fixture(scope="module", params=sorted(systems.REGISTRY))
def system(request, tiny_encoder):
    small = {"iter": {"omega": 1, "d_ff": 8}, "asp": {"hidden": 8}, "plmarker": {"max_span_words": 2}}
    return systems.system_class(request.param).build(tiny_encoder, SCHEMA, [], small[request.param], seed=1)


EXTREMES = {
    "six hundred words": ("word",) * 600,
    "one long word": ("word" * 25_000,),
    "control characters": tuple(large("control characters")["tokens"]),
    "words that are nothing": ("\u200b", "\u00ad") * 50,
    "other scripts": ("\U0001f600" * 50, "\u0627\u0644", "\ud55c\uad6d", "e\u0301" * 30) * 10,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXTREMES)
def test_strange_documents_are_extracted_from_beside_a_plain_one(system, name):
    words = EXTREMES[name]
    if system.name == "plmarker" and len(words) > 500:
        pytest.skip("random weights call every span an entity, and stage 2 marks every two of a window of 512 sub-tokens")
    plain = Document("plain", ("Ann", "met", "Bob"))
    clock = time.process_time()
    found, beside = system.predict([Document("d", words), plain])
    seconds = time.process_time() - clock
    assert found.id == "d" and all(0 <= e.start < e.end <= len(words) for e in found.entities)
    assert {end for r in found.relations for end in (r.head, r.tail)} <= set(found.entities)
    assert beside == system.predict([plain])[0]
    notes = system.reachable([Document("d", words)]).notes
    whole = ("one long word", "other scripts")  # WordPiece makes one unknown sub-token of a word of 100,000 letters
    assert bool(notes) == (name not in whole), "what was split or left out is counted"
    print(f"{system.name}, {name}: {seconds:.1f} s of processor time")


def finds_much(name: str, document: Document):
    """A system with the first random weights that find entities and relations all over the document, though not everywhere."""
    small = {"iter": {"omega": 1, "d_ff": 8, "link_threshold": 0.999}, "asp": {"hidden": 8}, "plmarker": {"max_span_words": 2}}
    for seed in range(100):
        system = systems.system_class(name).build(ENCODER, SCHEMA, [], small[name], seed=1)
        system.module.double()  # so that company changes nothing, as everywhere in float64
        torch.manual_seed(seed)
        for weight, values in system.module.named_parameters():
            if values.dim() > 1 and "encoder" not in weight:
                values.data += 0.3 * torch.randn_like(values)
        (found,) = system.predict([document])
        tenths = {10 * entity.start // len(document.words) for entity in found.entities}
        if len(tenths) == 10 and 0.1 < len(found.entities) / len(document.words) < 0.9 and len(found.relations) > 10:
            return system
    raise AssertionError("none of a hundred")


WORDS = {"iter": 1_000_000, "asp": 10_000, "plmarker": 10_000}
"""Of one document. ASP writes it sub-token by sub-token, PL-Marker marks every span and reads the text once an entity."""


@pytest.mark.slow
@pytest.mark.parametrize("name", WORDS)
def test_a_very_long_document_is_extracted_from_as_its_beginning_is(name):
    """Windows are cut from the beginning on, so nine tenths of a tenth of the document are found as in that tenth alone.

    Ten times the words take ten times the time, not a hundred times, and memory for what is read and found alone.
    """
    vocabulary = "the tellun of brenton and ostrey in stores hadrin works".split()
    words = tuple(vocabulary[(i * i + i // 7) % 10] for i in range(WORDS[name]))
    system = finds_much(name, Document("d", words[:1000]))
    found, seconds = [], []
    for part in (words[: len(words) // 10], words):
        peak, clock = MemoryWatch(), time.process_time()
        found += system.predict([Document("d", part)])
        seconds.append(time.process_time() - clock)
    print(f"{name}: {len(words)} words, {seconds[1]:.1f} s of processor time, at most {peak.host() / 2**20:.0f} MiB")
    border = 9 * len(words) // 100
    short, long = ({e for e in of.entities if e.end < border} for of in found)
    assert short == long and len(long) > border / 20
    short, long = ({r for r in of.relations if max(r.head.end, r.tail.end) < border} for of in found)
    assert short == long and len(long) > border / 200
    assert found[1].entities[-1].end > 0.99 * len(words), "to the end"
    assert seconds[1] < 25 * seconds[0]
