"""Valid files with gold annotation, one a format, and mutations: a reader makes a result of each, or an error for a person."""

import json
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

from iter_bench.data import ade, columns, dygie, spert
from iter_bench.document import Document, Schema
from iter_bench.errors import UserError

SCHEMA = Schema(("Drug", "Adverse-Effect"), ("Adverse-Effect", "with"), frozenset({"with"}))
SPERT = [
    {
        "tokens": ["<extra_id_22>", "a", "b", "<extra_id_23>"],
        "extended": ["x", "<extra_id_22>", "a", "b", "<extra_id_23>", "y"],
        "entities": [{"type": "Drug", "start": 1, "end": 2}, {"type": "Drug", "start": 1, "end": 3}],
        "relations": [{"type": "with", "head": 0, "tail": 1}, {"type": "with", "head": 1, "tail": 0}],
        "id": "one",
    },
    {"tokens": ["c"], "entities": [{"type": "Drug", "start": 0, "end": 1}], "relations": [], "orig_id": 2},
]
DYGIE = {
    "doc_key": "t",
    "sentences": [["a", "b"], ["c"]],
    "ner": [[[0, 0, "Drug"], [0, 1, "Drug"]], [[2, 2, "Drug"]]],
    "relations": [[[0, 0, 0, 1, "with"]], [[2, 2, 0, 0, "with"]]],
}
ADE = "7|Rash by Xol.|Rash|50|54|Drug Xol|50|58\n7|Rash by Xol.|Rash|50|54|Xol|58|61\n"
NESTED = "-DOCSTART- O O\n\na B-Drug O\nb I-Drug B-Drug\n\nc O B-Drug\n"
IOB1 = "-DOCSTART- -X- -X- O\n\na NN B I-Drug\nb NN I I-Drug\nc NN I B-Drug\n\nd NN B O\ne NN I I-Adverse-Effect\n"
BILOU = "a B-Drug\nb I-Drug\nc L-Drug\nd O\n\ne U-Adverse-Effect\n"

Reader = Callable[[Path, bool], list[Document]]
"""Takes a file, and whether bad records are to be left out."""


def _tags(scheme: str, columns_: int, tags: int) -> Reader:
    def read(path: Path, skip: bool) -> list[Document]:
        columns.has_texts(path)  # as the loader asks
        return columns.read(path, SCHEMA, scheme=scheme, columns=columns_, tag_columns=tags, skip_bad=skip)[0]

    return read


ANNOTATED: dict[str, tuple[str, Reader]] = {
    "spert.json": (json.dumps(SPERT), lambda path, skip: spert.read(path, SCHEMA, skip_bad=skip, context=2)[0]),
    "dygie.json": (json.dumps(DYGIE), lambda path, skip: dygie.read(path, SCHEMA, skip_bad=skip)[0]),
    "ade.rel": (ADE, lambda path, skip: ade.read(path, SCHEMA, skip_bad=skip)[0]),
    "nested.iob2": (NESTED, _tags("iob2", 3, 2)),
    "conll03.iob1": (IOB1, _tags("iob1", 4, 1)),
    "tags.bilou": (BILOU, _tags("bilou", 2, 1)),
}
"""Each format's file and its reader."""

DICTIONARY = (
    b'"', b"'", b"{", b"}", b"[", b"]", b",", b":", b"|", b"\n", b"\r", b"\t", b" ", b"\\", b"\\u0000", b"\\ud800", b"\x00",
    b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\x85", b"-1", b"0", b"1e999", b"9" * 30, b"9" * 5000, b"NaN", b"null", b"true",
    b"[" * 3000, b'{"a":' * 3000, b"a=[" + b"[" * 3000, b"B-", b"I-", b"L-", b"U-", b"Drug", b"<extra_id_22>",
    b"<extra_id_23>", b"entities", b"\x1b[31m",
)  # fmt: skip


EXCHANGED = ((b"0", b"1", b"2", b"3"), (b"Drug", b"Adverse-Effect", b"with"), (b"B-", b"I-", b"L-", b"U-"))
"""What may stand in the place of one another, so that a mutation often is a valid file that says something else."""


def other_value(data: bytes, rng: random.Random) -> bytes:
    """Another digit, type or prefix in the place of one."""
    if not (places := [*re.finditer(b"|".join(value for of in EXCHANGED for value in of), data)]):
        return data
    place = rng.choice(places)
    return data[: place.start()] + rng.choice(next(of for of in EXCHANGED if place[0] in of)) + data[place.end() :]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One or two other values; or one to four cuts, overwritings, insertions, repetitions or exchanges anywhere."""
    if rng.random() < 0.3:
        return other_value(other_value(data, rng), rng)
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


Read = Callable[[Path, bool], set[str] | None]
"""Takes the file, and whether bad records are to be left out. Asserts what holds of all that is accepted, and gives that."""


def fuzz(name: str, content: bytes, read: Read, folder: Path, numbers: range) -> tuple[int, int]:
    """Writes each mutation to the file of that name and reads it.

    Returns:
        How many were read without an error, and how many different things ``read`` gave of them.

    Raises:
        AssertionError: something else than a ``UserError`` came out, or a mutation took longer than ten seconds.
    """
    accepted, given = 0, set()
    (folder / name).parent.mkdir(exist_ok=True)
    for number in numbers:
        data = mutated(content, random.Random(f"{name} {number}"))
        (folder / name).write_bytes(data)
        clock = time.process_time()
        try:
            given |= read(folder / name, bool(number % 2)) or set()
            accepted += 1
        except UserError as error:
            assert str(error)
        except BaseException as error:
            raise AssertionError(f"mutation {number} of {name}, {data[:2000]!r}: {type(error).__name__}: {error}") from error
        assert time.process_time() - clock < 10, f"mutation {number} of {name}"
    return accepted, len(given)
