"""A folder that a bulk extraction fills shard by shard; what is finished stays, whatever happens to the rest.

``extracted/part-N.jsonl`` holds one line a document, in order; ``failed/part-N.jsonl`` those that failed, with the reason;
``done/part-N.json`` is written last and makes the shard finished.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

from iter_bench import __version__
from iter_bench.bulk.inputs import Item, Mark, files_of, items, marks, names
from iter_bench.document import Document, Extraction
from iter_bench.errors import UserError
from iter_bench.files import whole_file
from iter_bench.systems import System, load_system
from iter_bench.text import as_json

JOB = "job.json"
CHUNK = 512  # documents in memory at a time
HOPELESS = 10  # more documents of a chunk than this, all failing, are no fault of the documents


@dataclass
class Done:
    """What came of one or several shards.

    Attributes:
        documents: read, those that failed with them.
        failed: that are in ``failed/``.
        seconds: of the shards, added up.
        notes: what tokenising changed or left out, counted by what it was.
    """

    documents: int = 0
    failed: int = 0
    seconds: float = 0.0
    notes: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Done) -> Done:
        notes = self.notes + Counter(other.notes)
        return Done(self.documents + other.documents, self.failed + other.failed, self.seconds + other.seconds, notes)


@dataclass(frozen=True)
class Job:
    """One extraction of everything below ``source`` with ``system`` (a folder or hub name) into ``folder``."""

    system: str
    source: Path
    folder: Path
    shard_size: int = 4096

    def start(self) -> int:
        """Claims the folder for this job, new or begun before; gives the number of documents.

        Raises:
            UserError: it holds the output of another job, of another system or of other input.
        """
        documents, shards, digests = marks(self.files, self.shard_size)
        described = {
            "version": __version__,
            "system": _fingerprint(self.system),
            "files": [list(file) for file in zip(names(self.files), digests, strict=True)],
            "shard_size": self.shard_size,
            "documents": documents,
            "shards": [list(mark) for mark in shards],
        }
        path = self.folder / JOB
        if path.exists():
            try:
                begun = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise UserError(f"{path}: can't be read ({error}); use another folder") from None
            if begun != described:
                differing = [name for name in described if not isinstance(begun, dict) or begun.get(name) != described[name]]
                raise UserError(f"{self.folder} was begun with another {', '.join(differing)}; use another folder")
        else:
            with whole_file(path) as file:
                json.dump(described, file)
        self.sweep()
        return documents

    def sweep(self) -> None:
        """Deletes what processes that were killed left half-written; to be called while none is at work."""
        for left in self.folder.glob("*/.*.tmp"):
            left.unlink(missing_ok=True)

    @cached_property
    def files(self) -> list[Path]:
        """The input's. Raises as `files_of` does."""
        return files_of(self.source)

    @cached_property
    def shards(self) -> list[Mark]:
        """Where each shard begins, as `start` left it in the folder."""
        return [Mark(*mark) for mark in json.loads((self.folder / JOB).read_text(encoding="utf-8"))["shards"]]

    def finished(self) -> Done:
        """The sum over all finished shards."""
        total = Done()
        for path in (self.folder / "done").glob("part-*.json"):
            total += _done(path)
        return total

    def unfinished(self) -> list[int]:
        """The numbers of the shards that are left."""
        return [number for number in range(len(self.shards)) if not self._path("done", number).exists()]

    def run(self, shards: Sequence[int], *, batch_size: int, report: Callable[[Done], None]) -> None:
        """Does the shards of these numbers; ``report`` is told of each. Raises as `shard` does."""
        system = load_system(self.system)
        for number in shards:
            report(self.shard(system, number, batch_size))

    def shard(self, system: System, number: int, batch_size: int) -> Done:
        """Does one shard, unless it's finished.

        Raises:
            UserError: a file can't be read or written, or nothing can be extracted from any document.
        """
        if (done := self._path("done", number)).exists():
            return _done(done)
        try:
            return self._shard(system, islice(items(self.files, self.shards[number]), self.shard_size), number, batch_size)
        except OSError as error:
            raise UserError(f"{self.folder}: {error.strerror or error}; finished shards are kept, run it again") from error

    def _path(self, kind: str, number: int) -> Path:
        return self.folder / kind / f"part-{number:06d}.json{'' if kind == 'done' else 'l'}"

    def _shard(self, system: System, stream: Iterator[Item], number: int, batch_size: int) -> Done:
        clock, done = time.perf_counter(), Done()
        with whole_file(self._path("extracted", number)) as extracted, whole_file(self._path("failed", number)) as failed:
            while chunk := list(islice(stream, CHUNK)):
                usable = [item.document for item in chunk if item.document is not None]
                outcome = dict(enumerate(_predict(system, usable, batch_size, done.notes)))
                place = 0
                for item in chunk:
                    result = item.problem
                    if item.document is not None:
                        result, place = outcome[place], place + 1
                    if isinstance(result, Extraction):
                        extracted.write(as_json(item.text, item.document, item.offsets, result) + "\n")
                    else:
                        failure = {"id": item.id, "where": item.where, "reason": result}
                        failed.write(json.dumps(failure, ensure_ascii=False) + "\n")
                        done.failed += 1
                done.documents += len(chunk)
        done.seconds = round(time.perf_counter() - clock, 3)
        if not done.failed:
            self._path("failed", number).unlink()
        with whole_file(self._path("done", number)) as file:
            json.dump(asdict(done), file)
        return done


def _done(path: Path) -> Done:
    return Done(**json.loads(path.read_text(encoding="utf-8")))


def _predict(
    system: System, documents: Sequence[Document], batch_size: int, notes: Counter[str], *, part: bool = False
) -> list[Extraction | str]:
    """An extraction a document, or the reason why there's none: what fails together is halved until it's known which."""
    try:
        found = system.predict(documents, batch_size=batch_size)
        notes.update(system.reachable(documents).notes)
        return list(found)
    except Exception as error:  # whatever a document does to a system, the others are to be kept
        if len(documents) == 1:
            return [str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"]
    middle = len(documents) // 2
    halves = [_predict(system, half, batch_size, notes, part=True) for half in (documents[:middle], documents[middle:])]
    results = halves[0] + halves[1]
    if not part and len(results) > HOPELESS and all(isinstance(result, str) for result in results):
        raise UserError(f"nothing could be extracted from {len(results)} documents on end; of the last one: {results[-1]}")
    return results


def _fingerprint(system: str) -> str:
    """The system's name, and the SHA-256 over the files of its folder."""
    digest = hashlib.sha256()
    for path in sorted(p for p in Path(system).rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(system)).encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"{Path(system).name} {digest.hexdigest()}"
