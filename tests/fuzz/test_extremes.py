"""Files that want to harm: valid ones, mutated. A reader gives correct documents or a UserError, and scores are right."""

import json
import random
import time
from pathlib import Path

import pytest
from record_examples import record

from iter_bench import matrix, records, scoring
from iter_bench.bulk import count, items
from iter_bench.data import ade, columns, dygie, spert
from iter_bench.document import Document, Entity, Extraction, Relation, Schema
from iter_bench.errors import UserError
from iter_bench.settings import Settings

SCHEMA = Schema(("Drug", "Adverse-Effect"), ("Adverse-Effect", "with"), frozenset({"with"}))
SAMPLES = [
    {
        "tokens": ["<extra_id_22>", "a", "b", "<extra_id_23>"],
        "extended": ["x", "<extra_id_22>", "a", "b", "<extra_id_23>", "y"],
        "entities": [{"type": "Drug", "start": 1, "end": 2}, {"type": "Drug", "start": 1, "end": 3}],
        "relations": [{"type": "with", "head": 0, "tail": 1}],
        "id": "one",
    },
    {"tokens": ["c"], "entities": [{"type": "Drug", "start": 0, "end": 1}], "relations": [], "orig_id": 2},
]
GOLD = [
    Document("one", ("a", "b"), (Entity(0, 1, "Drug"), Entity(0, 2, "Drug"))),
    Document("2", ("c",), (Entity(0, 1, "Adverse-Effect"),)),
]
DYGIE = {
    "doc_key": "t",
    "sentences": [["a", "b"], ["c"]],
    "ner": [[[0, 0, "Drug"], [0, 1, "Drug"]], [[2, 2, "Drug"]]],
    "relations": [[[0, 0, 0, 1, "with"]], [[2, 2, 0, 0, "with"]]],
}
ADE = "7|Rash by Xol.|Rash|50|54|Drug Xol|50|58\n7|Rash by Xol.|Rash|50|54|Xol|58|61\n"
COLUMNS = "-DOCSTART- O O\n\na B-Drug O\nb I-Drug B-Drug\n\nc O B-Drug\n"
LINES = '{"id": "x", "text": "Ann met Bob."}\n{"words": ["a", "b"]}\n{"text": "é ü"}\n'
PROFILE = """description = "d"
[[group]]
system = "iter"
seeds = [1, 2]
folds = [0, 1]
data = { dataset = "ade", train = "train", dev = "none" }
training = { epochs = 2, batch_size = 16, lr_heads = 3e-4 }
model = { omega = 2 }
"""
DICTIONARY = (
    b'"', b"'", b"{", b"}", b"[", b"]", b",", b":", b"|", b"\n", b"\r", b"\t", b" ", b"\\", b"\\u0000", b"\\ud800", b"\x00",
    b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\x85", b"-1", b"0", b"1e999", b"9" * 30, b"9" * 5000, b"NaN", b"null", b"true",
    b"[" * 3000, b'{"a":' * 3000, b"B-", b"I-", b"Drug", b"<extra_id_22>", b"<extra_id_23>", b"entities", b"\x1b[31m",
)  # fmt: skip


def annotated(documents: list) -> list:
    """Checks the documents, and the scorer on them: each is its own perfect extraction, and an empty one misses all."""
    assert all(isinstance(document, Document) for document in documents)
    assert len({document.id for document in documents}) == len(documents)
    agree(documents, [Extraction(d.id, d.entities, d.relations) for d in documents])
    agree(documents, [Extraction(d.id) for d in documents])
    return documents


def agree(documents, extractions) -> None:
    """The strict counts are those of plain sets, written a second time."""
    found = {e.id: e for e in extractions}
    scores = scoring.score(documents, extractions, SCHEMA)["strict"]

    def ner(side):
        return {(e.start, e.end, e.type) for e in side.entities}

    def re_plus(side):
        return {
            (r.type, *(sorted((r.head, r.tail)) if r.type in SCHEMA.symmetric else (r.head, r.tail))) for r in side.relations
        }

    for criterion, of in (("ner", ner), ("re_plus", re_plus)):
        tp = sum(len(of(d) & of(found[d.id])) for d in documents)
        fp = sum(len(of(found[d.id]) - of(d)) for d in documents)
        fn = sum(len(of(d) - of(found[d.id])) for d in documents)
        assert [scores[criterion][name] for name in ("tp", "fp", "fn")] == [tp, fp, fn]


def predictions(path: Path, _: bool) -> None:
    extractions = spert.read_predictions(path, SCHEMA, GOLD)
    agree(GOLD, extractions)


def bulk_items(path: Path, _: bool) -> None:
    found = list(items([path]))
    assert len(found) == count([path]) and all((item.document is None) == bool(item.problem) for item in found)


def loaded_record(path: Path, _: bool) -> None:
    assert isinstance(records.load(path), records.Record)


def profile(path: Path, _: bool) -> None:
    assert all(isinstance(run, Settings) for run in matrix.load_profile(str(path)).runs())


FORMATS = {
    "spert.json": (json.dumps(SAMPLES), lambda path, skip: annotated(spert.read(path, SCHEMA, skip_bad=skip, context=2)[0])),
    "dygie.json": (json.dumps(DYGIE), lambda path, skip: annotated(dygie.read(path, SCHEMA, skip_bad=skip)[0])),
    "ade.rel": (ADE, lambda path, skip: annotated(ade.read(path, SCHEMA, skip_bad=skip)[0])),
    "columns.tsv": (
        COLUMNS,
        lambda path, skip: annotated(
            columns.read(path, SCHEMA, scheme="iob2", columns=3, tag_columns=2, skip_bad=skip)[0],
        ),
    ),
    "predictions.json": (json.dumps(SAMPLES), predictions),
    "lines.jsonl": (LINES, bulk_items),
    "lines.txt": ("Ann met Bob.\n\n\té\n", bulk_items),
    "record.json": (json.dumps(record().model_dump(mode="json", by_alias=True)), loaded_record),
    "profile.toml": (PROFILE, profile),
}


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to four edits: cut, overwrite, insert, repeat or exchange."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, length = rng.randrange(len(data) + 1), min(rng.randrange(1, 60), rng.randrange(1, 60))
        piece = data[at : at + length]
        data = rng.choice(
            (
                lambda: data[:at] + data[at + length :],  # noqa: B023 (called at once)
                lambda: data[:at] + rng.randbytes(rng.randrange(1, 4)) + data[at + 1 :],  # noqa: B023
                lambda: data[:at] + rng.choice(DICTIONARY) + data[at + rng.randrange(4) :],  # noqa: B023
                lambda: data[:at] + piece * 2 + data[at + length :],  # noqa: B023
                lambda: data[:at] + data[at + length : at + 2 * length] + piece + data[at + 2 * length :],  # noqa: B023
                lambda: data[:at] if rng.random() < 0.2 else data[:at] + data[at + 1 :],  # noqa: B023
            )
        )()
    return data


def fuzz(name: str, folder: Path, numbers: range, seconds: float = float("inf")) -> tuple[int, int]:
    """Reads so many mutations, or as many as the time allows; (tried, of these read without an error)."""
    text, read = FORMATS[name]
    path, accepted, started, tried = folder / name, 0, time.monotonic(), 0
    for number in numbers:
        if time.monotonic() - started > seconds:
            break
        data = mutated(text.encode(), random.Random(f"{name} {number}"))
        path.write_bytes(data)
        tried += 1
        try:
            read(path, bool(number % 2))
            accepted += 1
        except UserError as error:
            assert str(error)
        except BaseException as error:
            raise AssertionError(f"mutation {number} of {name}, {data[:2000]!r}: {type(error).__name__}: {error}") from error
    return tried, accepted


@pytest.mark.parametrize("name", FORMATS)
def test_a_sample_of_mutations(name, tmp_path):
    tried, accepted = fuzz(name, tmp_path, range(150))
    assert tried == 150 and accepted > 0


@pytest.mark.slow
def test_100_000_mutations(tmp_path):
    each = -(-100_000 // len(FORMATS))
    tried = {name: fuzz(name, tmp_path, range(1000, 1000 + each)) for name in FORMATS}
    print(tried)
    assert sum(count for count, _ in tried.values()) >= 100_000


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


@pytest.mark.parametrize("name", ["million words", "control characters", "10,000 entities"])
def test_large_and_strange_documents_are_read_and_scored(tmp_path, name):
    path = tmp_path / "file"
    sample = large(name)
    path.write_text(json.dumps([sample, {"tokens": ["c"], "entities": [], "relations": []}]))
    documents, notes = spert.read(path, SCHEMA, skip_bad=False)
    assert [len(document.words) for document in annotated(documents)] == [len(sample["tokens"]), 1] and not notes
    assert len(documents[0].entities) == len(sample["entities"]) and len(documents[0].relations) == len(sample["relations"])


@pytest.mark.parametrize("reader", [spert, dygie])
def test_empty_sentences_are_named_or_left_out_and_counted(tmp_path, reader):
    path = tmp_path / "file"
    sentences = {"doc_key": "t", "sentences": [[], ["a"], []], "ner": [[], [], []], "relations": [[], [], []]}
    path.write_text(json.dumps(sentences if reader is dygie else [large("no words"), {**large("no words"), "tokens": ["a"]}]))
    with pytest.raises(UserError, match="empty words"):
        reader.read(path, SCHEMA, skip_bad=False)
    documents, notes = reader.read(path, SCHEMA, skip_bad=True)
    assert len(annotated(documents)) == (reader is spert) and sum(notes.values()) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["million words", "control characters", "10,000 entities", "no words"])
def test_large_and_strange_documents_are_extracted_from(tiny_encoder, name):
    from iter_bench.iter_model.system import IterSystem

    system = IterSystem.build(tiny_encoder, SCHEMA, [], {"omega": 1, "d_ff": 8}, seed=1)
    words = tuple(large(name)["tokens"])
    words = words[: 100_000 if len(words) > 100_000 else None]
    (found,) = system.predict([Document("d", words)])
    assert all(0 <= e.start < e.end <= len(words) for e in found.entities)
    assert all(isinstance(r, Relation) for r in found.relations)
