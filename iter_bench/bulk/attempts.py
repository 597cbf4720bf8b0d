"""Which documents of a shard a process is at work on, in a file that outlives it: so those that kill their process are found.

A process that is killed leaves the file, and so does one that can do nothing more after these documents, as on a GPU that an
assertion ended. The next one does the documents that the file names as before, since anything may have killed the first. Those
that two processes were killed over are done in eighths, and so on, until one document is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from iter_bench.bulk.faults import ProcessBroken
from iter_bench.errors import UserError

PARTS = 8
DEATHS = 5  # until it's known which of 512 documents it is: over all of them twice, then over 64, 8 and 1


Count = Annotated[int, Field(ge=0)]


def damaged(path: Path, error: ValidationError, then: str) -> UserError:
    """What to say of a file of a bulk job that can't be read, and what to do ``then``."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return UserError(f"{path}: is damaged ({f'{where}: ' if where else ''}{first['msg']}); {then}")


class Range(NamedTuple):
    """Documents that a process is, or was, at work on.

    Attributes:
        first: number of the first in its shard, from 0.
        count: how many; 0: none yet, but a plain sentence, before ``first`` is set aside.
        deaths: how many processes are known to have been killed over them, alone or with others.
        why: what the last of them said, if it could still say something.
    """

    first: Count
    count: Count
    deaths: Count
    why: str | None = None


class _Left(BaseModel):
    """What the file holds: numbers of documents that are known to kill, with why; and what a process is at work on."""

    model_config = ConfigDict(extra="forbid", strict=True)

    killers: dict[Count, str | None]
    at_work: Range | None


class Attempts:
    """What is known of a shard's documents that kill their process.

    Attributes:
        killers: numbers in the shard of those that are found, each with what the process said, if it did.
        suspects: what a process was killed over, if one was.

    Raises:
        UserError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.killers: dict[int, str | None] = {}
        self.suspects: Range | None = None
        try:
            left = _Left.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return
        except ValidationError as error:
            raise damaged(path, error, "delete it and run again") from None
        self.killers = left.killers
        if left.at_work is not None:
            self.suspects = left.at_work._replace(deaths=left.at_work.deaths + 1)

    @property
    def progress(self) -> tuple[int, ...]:
        """Grows with each process that is killed, as long as the documents are to blame."""
        if self.suspects is None:
            return (len(self.killers),)
        return (len(self.killers), self.suspects.first, -self.suspects.count, self.suspects.deaths)

    def ranges(self, documents: int, size: int) -> list[tuple[int, int]]:
        """What is to be done in one call each, of a shard of so many documents: (first, end), at most ``size`` apart."""
        cuts = {*range(0, documents, size), documents}
        if self.suspects is not None:
            first, count, deaths, _ = self.suspects
            cuts |= {*range(first, first + count, -(-count // PARTS) if deaths > 1 else count), first + count}
        return list(pairwise(sorted(cuts)))

    @contextmanager
    def at_work(self, first: int, end: int) -> Iterator[None]:
        """While these documents are at work; only a process that is killed or broken leaves behind that they are."""
        suspects, left = self.suspects, None
        known = suspects is not None and suspects.first <= first and end <= suspects.first + suspects.count
        now = Range(first, end - first, suspects.deaths if known else 0)
        self._write(now)
        try:
            yield
        except ProcessBroken as error:
            left = now._replace(why=error.args[0])
            raise
        finally:
            self._write(left)

    def found(self, number: int) -> None:
        """This document, the only suspect, kills its process."""
        self.killers[number] = self.suspects.why
        self.forget()

    def forget(self) -> None:
        """Nothing is suspected any longer; those that are found stay so."""
        self.suspects = None
        self._write(None)

    def end(self) -> None:
        """The shard is done."""
        self._path.unlink(missing_ok=True)

    def _write(self, at_work: Range | None) -> None:
        if at_work is None and not self.killers:
            self._path.unlink(missing_ok=True)
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{self._path.name}.tmp")
        # not synchronised with the disk, which takes as long as many documents: it has to outlive a process, not a power cut
        temporary.write_text(_Left(killers=self.killers, at_work=at_work).model_dump_json(), encoding="utf-8")
        temporary.replace(self._path)
