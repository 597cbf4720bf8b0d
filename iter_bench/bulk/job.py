"""A folder that a bulk extraction fills shard by shard; what is finished stays, whatever happens to the rest.

``extracted/part-N.jsonl`` holds one line a document, in order; ``failed/part-N.jsonl`` those that failed, with the reason;
``done/part-N.json`` is written last and makes the shard finished, while its other files are there. ``attempts/part-N.json`` is
there while documents of the shard are at work, or some are known to kill their process. ``where`` tells documents apart, as ids
needn't.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from iter_bench import __version__, hub
from iter_bench.bulk.attempts import Attempts, Count, damaged
from iter_bench.bulk.faults import extract, judge, stop_if_broken
from iter_bench.bulk.inputs import Item, Mark, files_of, items, marks, names
from iter_bench.document import Extraction
from iter_bench.errors import UserError
from iter_bench.files import sha256_of, whole_file
from iter_bench.systems import System, load_system, word_rule
from iter_bench.text import WordRule, as_json

JOB = "job.json"
KINDS = ("extracted", "failed", "done", "attempts")  # folders, with a file a shard
CHUNK = 512  # documents in memory at a time
KILLED = "its process was killed over this document alone, by a fault of native code or for want of memory"


@dataclass
class Done:
    """What came of one or several shards.

    Attributes:
        documents: read, those that failed with them.
        failed: that are in ``failed/``.
        seconds: of the shards, added up.
        notes: what tokenising changed or left out, counted by what it was.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    documents: Count = 0
    failed: Count = 0
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    notes: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, path: Path) -> Done:
        """What `write` left.

        Raises:
            UserError: the file is damaged.
        """
        try:
            return _DONE.validate_json(path.read_bytes())
        except ValidationError as error:
            raise damaged(path, error, "delete it and run again, and its shard is done anew") from None

    def write(self, path: Path) -> None:
        """Writes the file, whole or not at all."""
        with whole_file(path) as file:
            file.write(_DONE.dump_json(self).decode())

    def __add__(self, other: Done) -> Done:
        notes = self.notes + Counter(other.notes)
        return Done(self.documents + other.documents, self.failed + other.failed, self.seconds + other.seconds, notes)


_DONE = TypeAdapter(Done)


@dataclass(frozen=True)
class Job:
    """One extraction of everything below ``source`` with ``system`` (a folder or hub name) into ``folder``.

    Raises:
        UserError: the folder lies in the source or in the system's folder, and would become part of it when the job goes on.
    """

    system: str
    source: Path
    folder: Path
    shard_size: int = 4096

    def __post_init__(self) -> None:
        if self.folder.resolve().is_relative_to(self.source.resolve()):
            raise UserError(f"{self.folder} lies in the input, {self.source}, and would be read as such; use another folder")
        if Path(self.system).is_dir() and self.folder.resolve().is_relative_to(Path(self.system).resolve()):
            raise UserError(f"{self.folder} lies in {self.system}, the system's folder, and would change it; use another")

    def start(self) -> int:
        """Claims the folder for this job, new or begun before; gives the number of documents.

        Raises:
            UserError: it holds the output of another job, of another system or of other input, or there is no such system.
        """
        documents, shards, digests = marks(self.files, self.shard_size)
        described = {
            "version": __version__,
            "system": _fingerprint(self.system),
            "word rule": word_rule(self.system),
            "files": [list(file) for file in zip(names(self.files), digests, strict=True)],
            "shard_size": self.shard_size,
            "documents": documents,
            "shards": [list(mark) for mark in shards],
        }
        path = self.folder / JOB
        if path.exists():
            try:
                begun = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError) as error:
                raise UserError(f"{path}: can't be read ({error}); use another folder") from None
            if begun != described:
                was = begun if isinstance(begun, dict) else {}
                differing = [name for name in described if was.get(name) != described[name]]
                pinned = "system" in differing and hub.NAME.fullmatch(str(was.get("system")))
                advice = f"name {was['system']} to go on, or " if pinned else ""
                raise UserError(f"{self.folder} was begun with another {', '.join(differing)}; {advice}use another folder")
        else:
            with whole_file(path) as file:
                json.dump(described, file)
        self.sweep()
        return documents

    def sweep(self) -> None:
        """Deletes what processes of this job that were killed left half-written; to be called while none is at work."""
        own = (f".{JOB}-*.tmp", *(f"{kind}/.part-*.tmp" for kind in KINDS))  # the folder may hold other programs' files too
        for left in (path for pattern in own for path in self.folder.glob(pattern)):
            left.unlink(missing_ok=True)

    @cached_property
    def files(self) -> list[Path]:
        """The input's. Raises as `files_of` does."""
        return files_of(self.source)

    @cached_property
    def word_rule(self) -> WordRule:
        """How the system's folder says that texts are divided into words."""
        return word_rule(self._pinned)

    @cached_property
    def shards(self) -> list[Mark]:
        """Where each shard begins, as `start` left it in the folder."""
        return [Mark(*mark) for mark in self._begun["shards"]]

    @cached_property
    def _begun(self) -> dict[str, Any]:
        return json.loads((self.folder / JOB).read_text(encoding="utf-8"))

    def finished(self) -> Done:
        """The sum over all finished shards."""
        return sum(filter(None, map(self._finished, range(len(self.shards)))), Done())

    def unfinished(self) -> list[int]:
        """The numbers of the shards that are left, those last that a process was killed over."""
        left = [number for number in range(len(self.shards)) if self._finished(number) is None]
        return sorted(left, key=self.progress)

    def progress(self, number: int) -> tuple[int, ...]:
        """How far it's known which documents of a shard kill their process (`Attempts.progress`)."""
        return self._attempts(number).progress

    def load(self) -> System:
        """The system, as `load_system`."""
        return load_system(self._pinned)

    @property
    def _pinned(self) -> str:
        """The system, of the hub with the commit that the job began with."""
        begun = self._begun["system"]
        return begun if hub.NAME.fullmatch(begun) else self.system

    def run(self, shards: Sequence[int], *, batch_size: int, report: Callable[[Done], None]) -> None:
        """Does the shards of these numbers; ``report`` is told of each. Raises as `shard` does."""
        system = self.load()
        for number in shards:
            report(self.shard(system, number, batch_size))

    def shard(self, system: System, number: int, batch_size: int) -> Done:
        """Does one shard, unless it's finished.

        Raises:
            UserError: a file can't be read or written, the input isn't what it was when the job began, or the system is broken.
        """
        if (done := self._finished(number)) is not None:
            return done
        begin = self.shards[number]
        expected = min(self.shard_size, self._begun["documents"] - begin.number)
        stream = islice(items(self.files, begin, self.word_rule), expected)
        try:
            return self._shard(system, stream, expected, number, batch_size)
        except OSError as error:
            raise UserError(f"{self.folder}: {error.strerror or error}; finished shards are kept, run it again") from error

    def _finished(self, number: int) -> Done | None:
        """What came of a shard; None before it's finished, or when a file of it has been lost since."""
        path = self._path("done", number)
        if not path.exists():
            return None
        done = Done.read(path)
        kinds = ("extracted", "failed") if done.failed else ("extracted",)
        return done if all(self._path(kind, number).exists() for kind in kinds) else None

    def _attempts(self, number: int) -> Attempts:
        return Attempts(self._path("attempts", number))

    def _path(self, kind: str, number: int) -> Path:
        return self.folder / kind / f"part-{number:06d}.json{'' if kind in ('done', 'attempts') else 'l'}"

    def _shard(self, system: System, stream: Iterator[Item], expected: int, number: int, batch_size: int) -> Done:
        clock, done, attempts = time.perf_counter(), Done(), self._attempts(number)
        judge(system, attempts)
        with whole_file(self._path("extracted", number)) as extracted, whole_file(self._path("failed", number)) as failed:
            for first, end in attempts.ranges(expected, CHUNK):
                chunk = list(islice(stream, end - first))
                for killer in attempts.killers.keys() & range(first, first + len(chunk)):
                    why = attempts.killers[killer]
                    problem = KILLED if why is None else f"after this document alone nothing more was extracted: {why}"
                    chunk[killer - first] = replace(chunk[killer - first], document=None, problem=problem)
                usable = [item.document for item in chunk if item.document is not None]
                with attempts.at_work(first, end):
                    outcome = extract(system, usable, batch_size, done.notes)
                    stop_if_broken(system, outcome)
                results = iter(outcome)
                for item in chunk:
                    result = item.problem if item.document is None else next(results)
                    if isinstance(result, Extraction):
                        extracted.write(as_json(item.text, item.document, item.offsets, result, item.where) + "\n")
                    else:
                        failure = {"id": item.id, "where": item.where, "reason": result}
                        failed.write(json.dumps(failure, ensure_ascii=False) + "\n")
                        done.failed += 1
                done.documents += len(chunk)
            if done.documents != expected:
                changed = f"had {expected} documents for shard {number} and now has {done.documents}"
                raise UserError(f"{self.source}: {changed}; was it changed meanwhile? Begin again in another folder")
        done.seconds = round(time.perf_counter() - clock, 3)
        if not done.failed:
            self._path("failed", number).unlink()
        done.write(self._path("done", number))
        attempts.end()
        return done


def _fingerprint(system: str) -> str:
    """What tells the system from others: the SHA-256 over the files of its folder, or its name on the hub with the commit."""
    folder, digest = hub.folder_of(system), hashlib.sha256()
    if not Path(system).is_dir():
        return f"{hub.split(system)[0]}@{folder.name}"
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(bytes.fromhex(sha256_of(path)))
    return digest.hexdigest()
