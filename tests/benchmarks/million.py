"""Memory and time of bulk extraction from generated sentences: ``million.py SYSTEM [SENTENCES [OPTIONS OF PREDICT]]``.

SYSTEM is ``rule`` (every capitalised word is an entity, which costs nothing: reading, sharding and writing are what is left)
or ``iter`` (two layers of width 32 with random weights). Printed every few seconds: seconds, documents finished, MiB that the
command and all processes below it hold (what several share counts once), processes, seconds of processor time of the command
itself. docs/scaling.md has the figures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from iter_bench.document import Entity, Extraction, Schema
from iter_bench.systems import Reachable

ENCODER = Path(__file__).parents[1] / "fixtures" / "tiny_bert"
NAMES = ("Brenton", "Tellun", "Ostrey", "Fenmar", "Karram")  # sub-tokens of the encoder
SHARD, EVERY, BATCH = 4096, 10, 64


class Capitals:
    """Finds capitalised words."""

    name = "million:Capitals"

    @classmethod
    def load(cls, folder):
        """A rule has no weights."""
        return cls()

    def predict(self, documents, *, batch_size=8):
        """One extraction a document."""
        return [
            Extraction(d.id, tuple(Entity(i, i + 1, "name") for i, word in enumerate(d.words) if word[0].isupper()))
            for d in documents
        ]

    def reachable(self, documents):
        """All of it."""
        return Reachable([Extraction(d.id, d.entities, d.relations) for d in documents], {}, {})


def save_rule(folder: Path) -> None:
    """The rule as a folder that ``predict`` can load."""
    folder.mkdir()
    (folder / "system.json").write_text(json.dumps({"system": Capitals.name, "schema_version": 1}))


def save_iter(folder: Path) -> None:
    """Likewise an ITER that decides at random."""
    from iter_bench.iter_model.system import IterSystem

    schema = Schema(("name", "place"), ("met", "of"))
    IterSystem.build(str(ENCODER), schema, [], {"omega": 1, "d_ff": 16, "link_threshold": 0.5003}, seed=1).save(folder)


SYSTEMS = {"rule": save_rule, "iter": save_iter}


def sentence(number: int) -> str:
    """The sentence of that number."""
    one, two, three = (NAMES[number % size] for size in (5, 3, 4))
    return f"{one} {two} of {three} met {'old ' * (number % 7)}Ann {number}."


def held(process: psutil.Process) -> tuple[float, int]:
    """MiB in memory of a process and all below it, and how many they are."""
    found = []
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):  # it has just ended
            found.append(one.memory_full_info().pss)
    return sum(found) / 2**20, len(found)


def main(system: str, sentences: int, *options: str) -> None:
    """Generates the sentences, extracts from them and prints what is held meanwhile."""
    with tempfile.TemporaryDirectory() as scratch:
        source, saved, out = (Path(scratch) / name for name in ("in.jsonl", "system", "out"))
        with source.open("w") as file:
            file.writelines(json.dumps({"id": f"s{i}", "text": sentence(i)}) + "\n" for i in range(sentences))
        SYSTEMS[system](saved)
        command = [sys.executable, "-m", "iter_bench", "predict", saved, "--file", source, "--output", out]
        command += ["--batch-size", str(BATCH), *options]
        paths = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
        process = psutil.Popen(command, env={**os.environ, "PYTHONPATH": paths}, stderr=subprocess.PIPE)
        started, done, used = time.perf_counter(), 0, 0.0
        while process.poll() is None:
            time.sleep(EVERY)
            try:
                done, used = len(list(out.glob("done/*"))), sum(process.cpu_times()[:2])
                memory, processes = held(process)
            except psutil.Error:
                break
            seconds = time.perf_counter() - started
            spent = f"{memory:.0f} MiB in {processes} processes, {used:.0f} s of CPU"
            print(f"{seconds:.0f} s, {done * SHARD} documents, {spent}", flush=True)
        if process.wait():
            sys.exit(process.stderr.read().decode())
        count = entities = 0
        for path in sorted((out / "extracted").iterdir()):
            for line in path.open():
                found = json.loads(line)
                assert found["id"] == f"s{count}", f"{path}: {line}"
                count += 1
                entities += len(found["entities"])
        assert count == sentences
        print(f"{count} documents in order, {entities} entities; {time.perf_counter() - started:.0f} s with this check")


if __name__ == "__main__":
    main(sys.argv[1], int((sys.argv[2:3] or [1_000_000])[0]), *sys.argv[3:])
