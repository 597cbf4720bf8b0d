"""Whose fault it is that nothing was extracted: one document's, which is set aside, or the system's, which ends the job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from iter_bench.document import Document, Extraction
from iter_bench.errors import UserError
from iter_bench.execution import reason
from iter_bench.systems import System

if TYPE_CHECKING:
    from iter_bench.bulk.attempts import Attempts

PLAIN = Document("plain", ("Ann", "met", "Bob", "."))  # what any system can extract from, unless it's broken
ALONE = 3  # processes that ended over one document before it's to blame: anything else may have ended one, or two


class SystemBroken(UserError):
    """Nothing can be extracted, not even from a plain sentence, and no document is to blame; its argument says why."""

    def __str__(self) -> str:
        broken = f"the system no longer extracts anything, not even from {' '.join(PLAIN.words)!r}: {self.args[0]}"
        return f"{broken}; finished shards are kept, run it again"


class ProcessBroken(SystemBroken):
    """After these documents the process can do nothing more, as after a failed assertion on a GPU; a new one may do others."""


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
    """Counts a document that processes were killed over alone among those that do so, if it isn't the system that is broken.

    Raises:
        SystemBroken: a plain sentence fails, or killed the process before this one.
    """
    if attempts.suspects is None:
        return
    first, count, deaths, why = attempts.suspects
    if count == 0:
        attempts.forget()  # the next start may find a system that is mended
        raise SystemBroken("its process was killed")
    alone = count == 1 and deaths >= ALONE
    if alone or why is not None:
        with attempts.at_work(first, first):
            problem = _fails(system)
        if problem is not None:
            raise SystemBroken(problem)
    if alone:
        attempts.found(first)


def stop_if_broken(system: System, outcome: Sequence[Extraction | str]) -> None:
    """Sees to it that no document is set aside since another one, or nothing at all, left the process unable to extract.

    Args:
        system: what extracted.
        outcome: what `extract` gave; a process that is broken fails on the last document too.

    Raises:
        ProcessBroken: the last document failed, and a plain sentence fails too.
    """
    if outcome and isinstance(outcome[-1], str) and _fails(system) is not None:
        raise ProcessBroken(outcome[-1])


def _fails(system: System) -> str | None:
    """Why nothing is extracted from a plain sentence, if so."""
    (result,) = extract(system, [PLAIN], 1, Counter())
    return result if isinstance(result, str) else None
