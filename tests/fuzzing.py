"""Valid files, mutated at random; what a reader may make of them is a result, or an error for a person."""

import random
import time
from collections.abc import Callable
from pathlib import Path

from iter_bench.errors import UserError

DICTIONARY = (
    b'"', b"'", b"{", b"}", b"[", b"]", b",", b":", b"|", b"\n", b"\r", b"\t", b" ", b"\\", b"\\u0000", b"\\ud800", b"\x00",
    b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\x85", b"-1", b"0", b"1e999", b"9" * 30, b"9" * 5000, b"NaN", b"null", b"true",
    b"[" * 3000, b'{"a":' * 3000, b"a=[" + b"[" * 3000, b"B-", b"I-", b"L-", b"U-", b"Drug", b"<extra_id_22>",
    b"<extra_id_23>", b"entities", b"\x1b[31m",
)  # fmt: skip


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


def fuzz(name: str, content: bytes, read: Callable[[Path, bool], None], folder: Path, numbers: range) -> int:
    """Writes each mutation to the file of that name and reads it; how many were read without an error.

    Args:
        read: takes the file, and whether bad records are to be left out; what it asserts holds of what was accepted.

    Raises:
        AssertionError: something else than a ``UserError`` came out, or a mutation took longer than ten seconds.
    """
    accepted = 0
    (folder / name).parent.mkdir(exist_ok=True)
    for number in numbers:
        data = mutated(content, random.Random(f"{name} {number}"))
        (folder / name).write_bytes(data)
        clock = time.process_time()
        try:
            read(folder / name, bool(number % 2))
            accepted += 1
        except UserError as error:
            assert str(error)
        except BaseException as error:
            raise AssertionError(f"mutation {number} of {name}, {data[:2000]!r}: {type(error).__name__}: {error}") from error
        assert time.process_time() - clock < 10, f"mutation {number} of {name}"
    return accepted
