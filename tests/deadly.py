"""A system that some documents kill, and what must come of these; other processes import it, so it imports little."""

import json
import os
import signal
from collections import Counter
from pathlib import Path

from iter_bench.bulk.faults import PLAIN
from iter_bench.document import Extraction
from iter_bench.systems import Reachable

MODE = "DEADLY_MODE"  # names what else kills the process: `load`, or a `plain` sentence


class Deadly:
    """Finds nothing; the word `deadly` kills its process, and after the word `fatal` its process finds nothing any more."""

    name = "deadly:Deadly"
    broken = False

    @classmethod
    def load(cls, folder):
        if os.environ.get(MODE) == "load":
            os.kill(os.getpid(), signal.SIGKILL)
        return cls()

    def predict(self, documents, **_):
        plain = os.environ.get(MODE) == "plain" and PLAIN in documents
        if plain or any("deadly" in document.words for document in documents):
            os.kill(os.getpid(), signal.SIGKILL)
        self.broken |= any("fatal" in document.words for document in documents)
        if self.broken:
            raise RuntimeError("device-side assert triggered")
        return [Extraction(document.id) for document in documents]

    def reachable(self, documents):
        return Reachable([], Counter(), Counter())


def system(folder: Path) -> Path:
    folder.mkdir()
    (folder / "system.json").write_text(json.dumps({"system": Deadly.name, "schema_version": 1}))
    return folder


def documents(path: Path, count: int, deadly: set[int], word: str = "deadly") -> Path:
    path.write_text("".join(f"Ann {i} is {word if i in deadly else 'kind'}.\n" for i in range(count)))
    return path


def lines(out: Path, kind: str) -> list[dict]:
    return [json.loads(line) for path in sorted((out / kind).glob("part-*")) for line in path.read_text().splitlines()]


def assert_set_aside(out: Path, count: int, deadly: set[int], reason: str = "killed over this document alone") -> None:
    """These are in ``failed/`` with the reason, all others are extracted in order, and nothing else is left."""
    failed = lines(out, "failed")
    assert [line["where"] for line in failed] == [f"in.txt:{i + 1}" for i in sorted(deadly)]
    assert all(reason in line["reason"] for line in failed)
    assert [line["id"] for line in lines(out, "extracted")] == [str(i) for i in range(count) if i not in deadly]
    assert not list((out / "attempts").iterdir()) and not list(out.glob("*/.*"))
