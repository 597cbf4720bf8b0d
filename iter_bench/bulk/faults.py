"""Whose fault it is that nothing was extracted: one document's, which is set aside, or the system's, which ends the job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from iter_bench.bulk.attempts import Attempts
from iter_bench.document import Document, Extraction
from iter_bench.errors import UserError
from iter_bench.execution import reason
from iter_bench.systems import System

PLAIN = Document("plain", ("Ann", "met", "Bob", "."))  # what any system can extract from, unless it's broken


def extract(system: System, documents: Sequence[Document], batch_size: int, notes: Counter[str]) -> list[Extraction | str]:
    """An extraction a document, or the reason why there's none: what fails together is halved until it's known which."""
    if not documents:
        return []
    try:
        found = list(system.predict(documents, batch_size=batch_size))
        if len(found) != len(documents):
            raise ValueError(f"{len(found)} extractions from {len(documents)} documents")
        notes.update(system.reachable(documents).notes)
        return found
    except Exception as error:  # whatever a document does to a system, the others are to be kept
        if len(documents) == 1:
            return [reason(error)]
    middle = len(documents) // 2
    return [result for half in (documents[:middle], documents[middle:]) for result in extract(system, half, batch_size, notes)]


def judge(system: System, attempts: Attempts) -> None:
    """Counts a document that a process was killed over alone among those that do so, if it isn't the system that is broken.

    Raises:
        UserError: a plain sentence fails, or killed the process before this one.
    """
    if attempts.suspects is None:
        return
    first, count, deaths = attempts.suspects
    if count == 0:
        attempts.forget()  # the next start may find a system that is mended
        raise _broken("its process was killed")
    if count == 1 and deaths > 1:
        with attempts.at_work(first, first):
            try_plain(system)
        attempts.found(first)


def try_plain(system: System) -> None:
    """Asks, before a document is set aside, whether it was the document's fault.

    Raises:
        UserError: a plain sentence fails too.
    """
    (result,) = extract(system, [PLAIN], 1, Counter())
    if isinstance(result, str):
        raise _broken(result)


def _broken(why: str) -> UserError:
    broken = f"the system no longer extracts anything, not even from {' '.join(PLAIN.words)!r}: {why}"
    return UserError(f"{broken}; finished shards are kept, run it again")
