"""Bulk extraction: order and ids are kept, what fails is set aside with its reason, a killed job ends as if it hadn't been."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from iter_bench import bulk
from iter_bench.cli import app
from iter_bench.data.synthetic import SCHEMA
from iter_bench.errors import DataError, UserError
from iter_bench.files import only_process
from iter_bench.iter_model.system import IterSystem


@pytest.fixture(scope="module")
def system(tiny_encoder, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bulk") / "system"
    built = IterSystem.build(tiny_encoder, SCHEMA, [], {"omega": 1, "d_ff": 16}, seed=1)
    for name, weights in built.module.named_parameters():
        if built.is_head(name):
            weights.data *= 6
    built.save(folder)
    return folder


def sentence(number: int) -> str:
    names = ("Halden", "Marlow", "Ridge", "Ostrin", "Vale")
    return f"{names[number % 5]} {names[number % 3]} of {names[number % 4]} met {'old ' * (number % 7)}Ann {number}."


def json_lines(path: Path, numbers, **more) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"id": f"s{i}", "text": sentence(i), **more}) + "\n" for i in numbers))
    return path


def predict(*arguments):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def lines(folder: Path, kind: str = "extracted") -> list[dict]:
    return [json.loads(line) for path in sorted((folder / kind).glob("*")) for line in path.read_text().splitlines()]


def test_a_folder_comes_out_in_order_as_the_documents_alone_do(system, tmp_path):
    json_lines(tmp_path / "in" / "a.jsonl", range(50))
    json_lines(tmp_path / "in" / "sub" / "b.jsonl", range(50, 83))
    (tmp_path / "in" / "c.txt").write_text("".join(sentence(i) + "\n" for i in range(83, 100)))
    result = predict(system, "--file", tmp_path / "in", "--output", tmp_path / "out", "--shard-size", 16)
    assert result.exit_code == 0 and "100 documents" in result.stderr
    found = lines(tmp_path / "out")
    files = [*range(50), *range(83, 100), *range(50, 83)]  # a.jsonl, c.txt, sub/b.jsonl
    assert [line["text"] for line in found] == [sentence(i) for i in files]
    assert [line["where"] for line in found[49:67:17]] == ["a.jsonl:50", "c.txt:17"] and found[67]["where"] == "sub/b.jsonl:1"
    assert [line["id"] for line in found[:50]] == [f"s{i}" for i in range(50)] and found[50]["id"] == "50"
    assert len(list((tmp_path / "out" / "extracted").iterdir())) == 7 and not list((tmp_path / "out" / "failed").iterdir())
    alone = [json.loads(line) for line in predict(system, "--json", *map(sentence, range(10))).stdout.splitlines()]
    assert [spans(line)[1:] for line in found[:10]] == [spans(line)[1:] for line in alone]
    assert sum(len(line["entities"]) for line in found) > 50
    printed = predict(system, "--json", "--file", tmp_path / "in").stdout.splitlines()
    assert [spans(json.loads(line)) for line in printed] == list(map(spans, found))


def spans(line: dict) -> tuple:
    """All but scores, which in float32 depend a little on what else is in the batch."""
    return line["id"], [(e["type"], e["start"], e["end"]) for e in line["entities"]], len(line["relations"])


BAD = [
    b"{",
    b"[]",
    b"\xff",
    b'{"text": 3}',
    b'{"text": "a", "words": ["a"]}',
    b'{"text": "a", "text": "b"}',
    b'{"words": ["a", " "]}',
    b'{"text": "\\ud800"}',
    b'{"id": true, "text": "a"}',
    b'{"id": "\\ud800", "text": "a"}',
    b"[" * 100_000,
    b"",
]


def test_documents_that_fail_are_set_aside_with_the_reason(system, tmp_path, monkeypatch):
    good = json.dumps({"id": 7, "words": ["Ann", "met", "Bob"]}).encode()
    (tmp_path / "in.jsonl").write_bytes(b"\n".join([*BAD, good, json.dumps({"text": "a cursed text"}).encode(), good]))
    predicted = IterSystem.predict

    def cursed(self, documents, **rest):
        if any("cursed" in document.words for document in documents):
            raise ZeroDivisionError("no luck")
        return predicted(self, documents, **rest)

    monkeypatch.setattr(IterSystem, "predict", cursed)
    result = predict(system, "--file", tmp_path / "in.jsonl", "--output", tmp_path / "out")
    assert result.exit_code == 0 and f"{len(BAD) + 1} documents failed" in result.stderr
    assert [(line["id"], line["text"]) for line in lines(tmp_path / "out")] == [("7", "Ann met Bob")] * 2
    failed = lines(tmp_path / "out", "failed")
    assert [line["where"] for line in failed] == [f"in.jsonl:{i + 1}" for i in [*range(len(BAD)), len(BAD) + 1]]
    assert all(line["reason"] for line in failed) and failed[-1]["reason"] == "ZeroDivisionError: no luck"
    refused = predict(system, "--file", tmp_path / "in.jsonl")
    assert isinstance(refused.exception, DataError) and "in.jsonl:1" in str(refused.exception)


def test_a_document_that_memory_is_too_small_for_is_set_aside_and_no_other(system, tmp_path, monkeypatch):
    texts = [" ".join(["Ann"] * (40 if i == 5 else 3)) for i in range(12)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    inputs = IterSystem._inputs

    def little(self, windows, slots):
        if any(len(window.input_ids) > 20 for window in windows):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB")
        return inputs(self, windows, slots)

    monkeypatch.setattr(IterSystem, "_inputs", little)
    result = predict(system, "--file", tmp_path / "in.jsonl", "--output", tmp_path / "out", "--batch-size", 12)
    assert result.exit_code == 0 and "1 documents failed" in result.stderr
    assert [line["where"] for line in lines(tmp_path / "out")] == [f"in.jsonl:{i + 1}" for i in range(12) if i != 5]
    (failed,) = lines(tmp_path / "out", "failed")
    assert failed["where"] == "in.jsonl:6" and "out of memory with this document alone" in failed["reason"]


@pytest.mark.parametrize("shard_size", [1, 8, 4096])
def test_a_system_that_fails_on_everything_stops_the_job(system, tmp_path, monkeypatch, shard_size):
    def broken(self, documents, **rest):
        raise RuntimeError("device lost")

    monkeypatch.setattr(IterSystem, "predict", broken)
    source = json_lines(tmp_path / "in.jsonl", range(40))
    for _ in range(8):  # however often it's tried
        result = predict(system, "--file", source, "--output", tmp_path / "out", "--shard-size", shard_size)
        assert isinstance(result.exception, UserError) and "device lost; finished shards are kept" in str(result.exception)
        assert {path.parent.name for path in (tmp_path / "out").glob("*/*")} <= {"attempts"}, "nothing else, not even half"


def test_what_the_folder_holds_must_fit_together(system, tmp_path):
    arguments = (system, "--file", json_lines(tmp_path / "in.jsonl", range(8)), "--shard-size", 4, "--output", tmp_path / "out")
    predict(*arguments)
    done = tmp_path / "out" / "done" / "part-000001.json"
    done.write_text(json.dumps({**json.loads(done.read_text()), "documents": 3}))
    assert "8 documents were counted, and 7 are done" in str(predict(*arguments).exception)
    done.write_text("")
    result = predict(*arguments)
    assert isinstance(result.exception, UserError) and f"{done}: is damaged" in str(result.exception)
    done.unlink()
    assert predict(*arguments).exit_code == 0


def test_a_job_of_which_nothing_came_fails(system, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"txt": "Ann"}\n' * 3)
    for _ in range(2):
        result = predict(system, "--file", tmp_path / "in.jsonl", "--output", tmp_path / "out")
        assert "nothing was extracted" in str(result.exception) and "3 documents failed" in result.stderr


def test_output_is_never_input(system, tmp_path):
    json_lines(tmp_path / "in" / "a.jsonl", range(5))
    for out in (tmp_path / "in" / "out", tmp_path / "in"):
        assert "lies in the input" in str(predict(system, "--file", tmp_path / "in", "--output", out).exception)
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize("cut", ["write", "rename"])
def test_a_full_disk_keeps_what_is_finished_and_the_job_goes_on(system, tmp_path, monkeypatch, cut):
    source = json_lines(tmp_path / "in.jsonl", range(40))
    arguments = (system, "--file", source, "--shard-size", 8, "--output")
    predict(*arguments, tmp_path / "whole")
    real, calls = (os.fsync, os.replace)[cut == "rename"], []

    def full(*where):
        calls.append(where)
        if len(calls) > {"write": 16, "rename": 11}[cut]:  # in the third shard; a file takes two, marks of attempts none
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*where)

    monkeypatch.setattr(os, "fsync" if cut == "write" else "replace", full)
    result = predict(*arguments, tmp_path / "out")
    assert isinstance(result.exception, UserError) and "No space left on device; finished shards are kept" in str(
        result.exception
    )
    assert not list((tmp_path / "out").glob("*/.*"))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "done").iterdir()}
    assert len(kept) == 2
    monkeypatch.undo()
    result = predict(*arguments, tmp_path / "out")
    assert result.exit_code == 0 and "16 of them finished before" in " ".join(result.stderr.split())
    assert lines(tmp_path / "out") == lines(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_folder_belongs_to_one_job_and_one_process(system, tmp_path):
    source, out = json_lines(tmp_path / "in.jsonl", range(5)), tmp_path / "out"
    assert predict(system, "--file", source, "--output", out).exit_code == 0
    json_lines(source, range(6))
    assert "begun with another files, documents" in str(predict(system, "--file", source, "--output", out).exception)
    with only_process(out):
        assert "another process" in str(predict(system, "--file", source, "--output", out).exception)
    assert "no such file" in str(predict(system, "--file", tmp_path / "none", "--output", out).exception)
    assert "needs --file" in str(predict(system, "text", "--output", out).exception)


def test_parquet(system, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    (tmp_path / "in").mkdir()
    table = pyarrow.table({"id": list(range(9)), "text": [*map(sentence, range(8)), None], "other": [0.5] * 9})
    parquet.write_table(table, tmp_path / "in" / "a.parquet", row_group_size=4)
    parquet.write_table(pyarrow.table({"words": [["Ann", "met", "Bob"]]}), tmp_path / "in" / "b.parquet")
    files = bulk.files_of(tmp_path / "in")
    total, begins, _ = bulk.marks(files, 1)
    assert total == 10 and [next(bulk.items(files, begin)) for begin in begins] == list(bulk.items(files))
    assert predict(system, "--file", tmp_path / "in", "--output", tmp_path / "out", "--shard-size", 4).exit_code == 0
    assert [line["id"] for line in lines(tmp_path / "out")] == [*map(str, range(8)), "9"]
    assert [line["where"] for line in lines(tmp_path / "out", "failed")] == ["a.parquet:9"]
    for content, message in ((b"PAR1", "as Parquet"), (None, "neither a column text")):
        if content is None:
            parquet.write_table(pyarrow.table({"txt": ["a"]}), tmp_path / "bad.parquet")
        else:
            (tmp_path / "bad.parquet").write_bytes(content)
        assert message in str(predict(system, "--file", tmp_path / "bad.parquet", "--output", tmp_path / "bad").exception)


def command(system, source, out, *more):
    arguments = ["predict", str(system), "--file", str(source), "--output", str(out), *more]
    return [sys.executable, "-m", "iter_bench", *arguments]


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_killed_job_goes_on_to_the_same_files(system, tmp_path, workers):
    source, more = json_lines(tmp_path / "in.jsonl", range(3000)), ("--shard-size", "128", "--workers", workers)
    subprocess.run(command(system, source, tmp_path / "whole", *more[:2]), check=True)
    process = subprocess.Popen(command(system, source, tmp_path / "out", *more), start_new_session=True)
    while len(list((tmp_path / "out").glob("done/*"))) < 3:
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(list((tmp_path / "out").glob("done/*"))) < 24
    subprocess.run(command(system, source, tmp_path / "out", *more), check=True)
    assert not list((tmp_path / "out").glob("*/.*"))
    for kind in ("extracted", "failed"):
        files = [sorted((folder / kind).glob("*")) for folder in (tmp_path / "whole", tmp_path / "out")]
        assert [path.name for path in files[0]] == [path.name for path in files[1]]
        assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]
