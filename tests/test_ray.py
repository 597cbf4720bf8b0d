"""Ray, with two workers on this machine: what they do, and what it costs when one is killed."""

import json
import os
import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iter_bench import matrix, records
from iter_bench.cli import app
from iter_bench.data.synthetic import SCHEMA
from iter_bench.document import Entity, Extraction
from iter_bench.errors import UserError
from iter_bench.execution import execute_all
from iter_bench.iter_model.system import IterSystem
from iter_bench.run import Folders, execute
from iter_bench.systems import Reachable

PROFILE = """
description = "Small runs, one of which can't be done, and one that starts from another."
[[group]]
encoder = "{encoder}"
seeds = [{seeds}]
data = {{ dataset = "conll04", dev = "none" }}
training = {{ epochs = {epochs}, batch_size = 4 }}
model = {{ omega = 1, d_ff = 16 }}
resources = {{ cpus = {cpus}, gpus = 0, memory = 0.1 }}
"""
STARTED_AND_WRONG = """
[[group]]
start = "conll04"
encoder = "{encoder}"
seeds = [1]
data = {{ dataset = "conll04", dev = "none" }}
training = {{ epochs = 1, batch_size = 4 }}
resources = {{ gpus = 0 }}
[[group]]
encoder = "{encoder}"
data = {{ dataset = "conll04", dev = "none" }}
model = {{ omega = 0 }}
resources = {{ gpus = 0 }}
"""


@pytest.fixture(scope="module")
def cluster():
    """A cluster that is there before the command, of two cores; RAY_ADDRESS names it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_raylet_start_wait_time_s", "300")  # other work may slow down its start
        patch.setenv("RAY_worker_niceness", "0")  # Ray gives way to other work otherwise
        pytest.importorskip("ray", reason="Ray isn't installed: pip install 'iter-bench[ray]'")  # reads these
        from ray.cluster_utils import Cluster

        machine = {"num_cpus": 2, "object_store_memory": 100 * 2**20, "include_dashboard": False}
        started = Cluster(initialize_head=True, head_node_args=machine)
        patch.setenv("RAY_ADDRESS", started.address)
        yield
        started.shutdown()


@pytest.fixture(scope="module")
def few_documents(tmp_path_factory) -> Path:
    """A folder of data sets with a CoNLL04 of eight documents a split, so that runs take seconds."""
    folder = tmp_path_factory.mktemp("data")
    entities = [{"type": "Peop", "start": 0, "end": 2}, {"type": "Org", "start": 4, "end": 5}]
    relations = [{"type": "Work_For", "head": 0, "tail": 1}]
    (folder / "conll04").mkdir()
    for split in ("train", "dev", "test"):
        words = [["Ann", f"{split}{i}", "works", "for", "Halden", *["now"] * (i % 3), "."] for i in range(8)]
        documents = [{"tokens": w, "entities": entities, "relations": relations, "orig_id": i} for i, w in enumerate(words)]
        (folder / "conll04" / f"conll04_{split}.json").write_text(json.dumps(documents))
    return folder


def profile(path: Path, encoder: str, more: str = "", *, epochs: int = 2, seeds: str = "1", cpus: int = 1) -> matrix.Profile:
    path.write_text((PROFILE + more).format(encoder=encoder, epochs=epochs, seeds=seeds, cpus=cpus))
    return matrix.load_profile(str(path))


def execute_but_be_killed(marker, folders, data_dir, run, report):
    """Does the run; that of seed 2 is killed after its first epoch, once another run is finished."""

    def watched(event):
        report(event)
        if "loss" in event and run.seed == 2 and not marker.exists():
            for _ in range(600):
                if kept := {str(path): path.stat().st_mtime_ns for path in folders.records.glob("*.json")}:
                    marker.write_text(json.dumps(kept))
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(0.2)
            raise AssertionError("no other run was finished")

    return execute(run, folders, data_dir=data_dir, report=watched)


def compared(record: records.Record) -> dict:
    """A record without what a clock says, and without peak memory: of a resumed run it isn't known."""
    dumped = record.model_dump(mode="json", exclude={"durations", "started", "finished", "prediction", "peak_memory"})
    for epoch in dumped["history"]:
        del epoch["seconds"], epoch["train_seconds"]
    return dumped


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_that_was_finished(cluster, tmp_path, tiny_encoder, few_documents):
    """The killed run is repeated from its last epoch; the records are those of a matrix without the fault, and without Ray."""
    from iter_bench.cluster import on_ray

    wanted = profile(tmp_path / "p.toml", tiny_encoder, seeds="1, 2")
    marker, folders, told = tmp_path / "killed", Folders(tmp_path / "results", tmp_path / "runs"), []
    with on_ray.engine(folders, wanted.resources()) as engine:
        done, failed = execute_all(
            wanted.runs(),
            partial(execute_but_be_killed, marker, folders, few_documents),
            engine=engine,
            report=lambda run, event: told.append((run.seed, event)),
        )
    assert not failed and {record.settings.seed for record in done} == {1, 2}
    kept = json.loads(marker.read_text())
    assert kept and {path: os.stat(path).st_mtime_ns for path in kept} == kept
    assert [seed for seed, event in told if "killed" in event] == [2]
    assert [event["epoch"] for seed, event in told if seed == 2 and "loss" in event] == [0, 1], "each is trained once"
    assert {seed for seed, event in told if "step" in event} == {1, 2}
    assert [record.settings.seed for record in done if record.peak_memory.host is None] == [2], "the one that was gone on with"

    sound = Folders(tmp_path / "sound results", tmp_path / "sound runs")
    for run in wanted.runs():
        execute(run, sound, data_dir=few_documents)
    expected = {record.run_id: compared(record) for record in records.load_all(sound.records)}
    assert {record.run_id: compared(record) for record in records.load_all(folders.records)} == expected
    assert {record.run_id: compared(record) for record in done} == expected


@pytest.mark.slow
def test_a_profile_runs_unchanged_and_tells_what_failed(cluster, tmp_path, tiny_encoder, few_documents, monkeypatch):
    monkeypatch.chdir(tmp_path)
    profile(tmp_path / "p.toml", tiny_encoder, STARTED_AND_WRONG, epochs=1)
    result = CliRunner().invoke(app, ["reproduce", "--profile", "p.toml", "--engine", "ray", "--data-dir", str(few_documents)])
    assert isinstance(result.exception, UserError)
    assert "1 of 3 runs failed" in str(result.exception) and "omega" in str(result.exception)
    found = records.load_all(tmp_path / "results" / "runs")
    assert {record.settings.encoder.split(":")[0] for record in found} == {tiny_encoder, "trained"}
    assert {record.environment.threads for record in found} == {1}
    assert (tmp_path / "results" / "tables" / "p.md").is_file() and result.stderr.count("epoch 1") == 2
    profile(tmp_path / "p.toml", tiny_encoder, cpus=4096)
    arguments = ["--profile", "p.toml", "--engine", "ray", "--data-dir", str(few_documents)]
    refused = CliRunner().invoke(app, ["reproduce", *arguments])
    assert isinstance(refused.exception, UserError) and "4096 cores" in str(refused.exception)


class Fragile:
    """An ITER whose process is killed by the word `fatal`, unless the file is there that `marker` in its folder names."""

    name = "test_ray:Fragile"

    def __init__(self, folder):
        self.inner, self.marker = IterSystem.load(folder / "inner"), Path((folder / "marker").read_text())

    @classmethod
    def load(cls, folder):
        return cls(folder)

    def predict(self, documents, **rest):
        if not self.marker.exists() and any("fatal" in document.words for document in documents):
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inner.predict(documents, **rest)

    def reachable(self, documents):
        return self.inner.reachable(documents)


@pytest.mark.slow
def test_ray_data_writes_the_files_of_one_process_though_a_worker_is_killed(cluster, tmp_path, tiny_encoder):
    built = IterSystem.build(tiny_encoder, SCHEMA, [], {"omega": 1, "d_ff": 16}, seed=1)
    for name, weights in built.module.named_parameters():
        if built.is_head(name):
            weights.data *= 6
    built.save(tmp_path / "system" / "inner")
    marker = tmp_path / "killed"
    (tmp_path / "system" / "marker").write_text(str(marker))
    (tmp_path / "system" / "system.json").write_text(json.dumps({"system": Fragile.name, "schema_version": 1}))
    lines = [json.dumps({"id": f"s{i}", "text": f"Halden {i} met {'old ' * (i % 7)}Ann of Vale."}) for i in range(300)]
    lines[40], lines[170] = "{", json.dumps({"text": "This is fatal to Ann of Vale."})
    (tmp_path / "in.jsonl").write_text("\n".join(lines))

    def predict(out, *more):
        arguments = [tmp_path / "system", "--file", tmp_path / "in.jsonl", "--output", tmp_path / out, "--shard-size", 32]
        return CliRunner().invoke(app, ["predict", *map(str, [*arguments, *more])])

    def files(out):
        found = [path for kind in ("extracted", "failed") for path in sorted((tmp_path / out / kind).iterdir())]
        return {(path.parent.name, path.name): path.read_bytes() for path in found}

    ray = predict("ray", "--engine", "ray", "--workers", 2)
    assert ray.exit_code == 0, ray.exception
    assert marker.exists() and "1 documents failed" in ray.stderr
    assert predict("plain").exit_code == 0
    assert len(files("ray")) == 11 and files("ray") == files("plain")
    (tmp_path / "ray" / "done" / "part-000003.json").unlink()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "ray" / "extracted").iterdir()}
    again = predict("ray", "--engine", "ray", "--workers", 2)
    assert again.exit_code == 0 and "268 of them finished before" in " ".join(again.stderr.split())
    changed = [path.name for path, when in kept.items() if path.stat().st_mtime_ns != when]
    assert changed == ["part-000003.jsonl"] and files("ray") == files("plain")


class Defective:
    """Finds an entity behind the end of each document, which is a defect of the code."""

    name = "test_ray:Defective"

    @classmethod
    def load(cls, folder):
        return cls()

    def predict(self, documents, **_):
        return [Extraction(document.id, (Entity(1000, 1001, "x"),)) for document in documents]

    def reachable(self, documents):
        return Reachable([], Counter(), Counter())


@pytest.mark.slow
def test_a_document_that_kills_each_worker_is_found(cluster, tmp_path):
    import deadly  # workers that import this module find none beside it

    arguments = ["--file", deadly.documents(tmp_path / "in.txt", 16, {5}), "--output", tmp_path / "out", "--shard-size", 8]
    system = deadly.system(tmp_path / "system")
    result = CliRunner().invoke(app, ["predict", *map(str, [system, *arguments, "--engine", "ray"])])
    assert result.exit_code == 0, result.exception
    deadly.assert_set_aside(tmp_path / "out", 16, {5})


@pytest.mark.slow
def test_a_defect_is_not_taken_for_a_killed_worker(cluster, tmp_path):
    (tmp_path / "system").mkdir()
    (tmp_path / "system" / "system.json").write_text(json.dumps({"system": Defective.name, "schema_version": 1}))
    (tmp_path / "in.txt").write_text("Ann met Bob.\n")
    arguments = [tmp_path / "system", "--file", tmp_path / "in.txt", "--output", tmp_path / "out", "--engine", "ray"]
    result = CliRunner().invoke(app, ["predict", *map(str, arguments)])
    assert not isinstance(result.exception, UserError) and "IndexError" in str(result.exception)
