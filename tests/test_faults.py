"""What shared machines do to jobs: nothing finished is lost, nothing half-written is taken for a result."""

import errno
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch
from record_examples import record, write_twelve
from typer.testing import CliRunner

from iter_bench import data, records, systems, tables
from iter_bench.cli import app, main
from iter_bench.data.synthetic import SCHEMA
from iter_bench.document import Schema
from iter_bench.errors import UserError
from iter_bench.execution import execute_all, processes
from iter_bench.files import only_process
from iter_bench.iter_model.system import IterSystem
from iter_bench.records import RecordError
from iter_bench.run import Folders, execute
from iter_bench.settings import DataSettings, RunSettings, TrainingSettings
from iter_bench.verify import check_record

ONE_EPOCH = TrainingSettings(epochs=1, batch_size=16, lr_heads=1e-3)  # else all spans are predicted, which takes a minute
TESTS = Path(__file__).parent


@pytest.mark.parametrize("call", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize("earlier", [False, True])
def test_power_cut_while_a_record_is_written(tmp_path, call, earlier):
    """A process that dies at any step of a write leaves the earlier record or none; the run is simply not finished."""
    if earlier:
        records.write(record(), tmp_path)
    before = records.load_all(tmp_path)
    written = "record(durations={'train': 1.0})" if earlier else "record()"
    code = f"""
import os, pathlib, signal, sys
sys.path.insert(0, {str(TESTS)!r})
from iter_bench import records
from record_examples import record
os.{call} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
records.write({written}, pathlib.Path({str(tmp_path)!r}))
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert records.load_all(tmp_path) == before
    path = records.write(record(), tmp_path)
    assert records.load_all(tmp_path) == [record()] and records.find(tmp_path, record().run_id) == records.load(path)


def test_full_disk_while_the_text_of_a_record_is_written(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("mkdir", "chmod"):
        with monkeypatch.context() as patch:
            patch.setattr(Path if name == "mkdir" else os, name, full)
            with pytest.raises(RecordError, match=r"could not be written: No space left on device"):
                records.write(record(), tmp_path / "runs")
        assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


def test_two_processes_write_into_one_results_folder(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_twelve, args=(tmp_path, which)) for which in (1, 2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = records.load_all(tmp_path)
    assert sorted(r.settings.seed for r in found) == list(range(12)) and len(list(tmp_path.iterdir())) == 12


def test_a_run_that_another_process_does_is_not_done_twice(tmp_path, tiny_encoder):
    run = RunSettings(encoder=tiny_encoder, training=ONE_EPOCH)
    folders = Folders(tmp_path / "results", tmp_path / "runs")
    with only_process(folders.work / run.run_id):
        done, failed = execute_all([run], lambda r, report: execute(r, folders), engine=processes(1), report=lambda *_: None)
    assert not done and "another process is writing there" in failed[run.run_id]


def test_a_run_that_ended_before_its_record_is_not_finished_by_the_record_that_came_with_the_clone(
    tmp_path, tiny_encoder, monkeypatch
):
    small = DataSettings(dataset="synthetic-w1", train="dev", dev=None, test="dev")
    run = RunSettings(encoder=tiny_encoder, data=small, training=ONE_EPOCH)
    cloned = record().model_copy(update={"settings": run, "run_id": run.run_id})
    folders, write = Folders(tmp_path / "results", tmp_path / "runs"), records.write
    write(cloned, folders.records)
    with monkeypatch.context() as patch, pytest.raises(RecordError):
        patch.setattr(records, "write", lambda *_: (_ for _ in ()).throw(RecordError("disk full")))
        execute(run, folders)
    assert folders.predictions(run.run_id).is_file() and folders.finished(run.run_id) is None
    own = execute(run, folders)
    assert own != cloned and records.find(folders.records, run.run_id) == own == folders.finished(run.run_id)
    write(cloned, folders.records)
    assert folders.finished(run.run_id) is None, "as after a checkout, or with another results folder"
    write(own, folders.records)
    folders.begin(run.run_id)
    assert folders.finished(run.run_id) is None, "its predictions are made anew"


def execute_but_be_killed(marker, folders, run, report):
    """Does the run; the first process that ends an epoch of seed 2 is killed there."""

    def watched(event):
        report(event)
        if "loss" in event and run.seed == 2 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return execute(run, folders, report=watched)


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_that_was_finished(tmp_path, tiny_encoder):
    """The killed run is repeated from its last epoch; the records are those of a matrix without the fault."""
    small = DataSettings(dataset="synthetic-w1", train="dev", dev=None, test="dev")
    two = ONE_EPOCH.model_copy(update={"epochs": 2})
    runs = [RunSettings(encoder=tiny_encoder, seed=seed, data=small, training=two) for seed in (1, 2, 3)]
    told = []
    marker, faulty = tmp_path / "killed", Folders(tmp_path / "results", tmp_path / "runs")
    done, failed = execute_all(
        runs,
        partial(execute_but_be_killed, marker, faulty),
        engine=processes(2),
        report=lambda run, event: told.append((run.seed, event)),
    )
    assert marker.exists() and not failed and {record.settings.seed for record in done} == {1, 2, 3}
    epochs = [event["epoch"] for seed, event in told if seed == 2 and "loss" in event]
    assert epochs == [0, 1], "told of from another process, and the first epoch is trained once"

    sound = Folders(tmp_path / "sound results", tmp_path / "sound runs")
    expected = {run.seed: execute(run, sound) for run in runs}
    for found in done:
        same = expected[found.settings.seed]
        assert (found.scores, found.documents, found.data) == (same.scores, same.documents, same.data)
        assert [epoch.loss for epoch in found.history] == [epoch.loss for epoch in same.history]


def be_killed(run, report):
    """Always kills the process of seed 1; the others take a while, so that some are beside it."""
    if run.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.5)
    return run.seed


@pytest.mark.slow
def test_a_run_that_is_always_killed_is_listed_and_stops_no_other(tiny_encoder):
    runs = [RunSettings(encoder=tiny_encoder, seed=seed) for seed in range(1, 9)]
    told = []
    done, failed = execute_all(
        runs, be_killed, engine=processes(2), report=lambda run, event: told.append(run.seed) if "killed" in event else None
    )
    assert sorted(done) == [2, 3, 4, 5, 6, 7, 8]
    assert list(failed) == [runs[0].run_id] and "was killed 3 times" in failed[runs[0].run_id]
    assert told.count(1) == 2, "begun again twice, and told of it"


def fit(tiny_encoder, documents, folder, schema=SCHEMA, epochs=1, report=None):
    system = systems.system_class("iter").build(tiny_encoder, schema, [], {"omega": 2, "d_ff": 16}, seed=5)
    training = ONE_EPOCH.model_copy(update={"epochs": epochs})
    return system.fit(documents, documents[:4], training, seed=5, folder=folder, report=report)


@pytest.fixture(scope="module")
def checkpoint(tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    documents = data.load("synthetic", "train").documents[:16]
    fit(tiny_encoder, documents, folder)
    return folder, documents


@pytest.mark.parametrize(
    "name", ["last/model.safetensors", "last/optimizer.safetensors", "last/state.json", "best/model.safetensors"]
)
@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "other"])
def test_a_corrupted_checkpoint_is_refused_by_name(checkpoint, tiny_encoder, tmp_path, name, damage):
    shutil.copytree(checkpoint[0], tmp_path / "c")
    file = tmp_path / "c" / name
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "other": b"[1]"}[damage])
    with pytest.raises(UserError, match=r"checkpoint is damaged .*; delete .* to start over"):
        fit(tiny_encoder, checkpoint[1], tmp_path / "c")


def test_a_checkpoint_of_another_schema_is_refused(checkpoint, tiny_encoder):
    fewer = Schema(SCHEMA.entity_types, SCHEMA.relation_types[:-1], frozenset())
    documents = [d for d in checkpoint[1] if all(r.type in fewer.relation_types for r in d.relations)]
    with pytest.raises(UserError, match="weights are those of another model or of other types"):
        fit(tiny_encoder, documents, checkpoint[0], fewer)


def test_a_swap_of_checkpoints_that_was_cut_off_goes_on_from_the_old_one(checkpoint, tiny_encoder, tmp_path):
    shutil.copytree(checkpoint[0], tmp_path / "c")
    (tmp_path / "c" / "last").rename(tmp_path / "c" / "last.old")
    (tmp_path / "c" / "last.new").mkdir()
    assert len(fit(tiny_encoder, checkpoint[1], tmp_path / "c")) == 1


def test_a_record_of_version_1_is_read_as_it_was_written():
    """The fixture is never written anew: it's what the first release left, and must load for ever."""
    old = records.load(TESTS / "fixtures" / "records" / "version-1.json")
    assert (old.schema_version, old.run_id, old.dataset, old.settings.seed) == (1, "900cec8752d8", "conll04", 5)
    strict = old.scores.test["strict"]["re_plus"]
    assert (strict.tp, strict.fp, strict.fn) == (224, 161, 198)
    assert not old.documents and not old.mistakes, "came later"
    assert list(check_record(old, old.file_name)) == []
    assert len(tables.runs_table([old, record()])) == 2, "beside records of today"


@pytest.mark.parametrize("version", [0, "1", None, "absent"])
def test_a_record_of_an_older_version_is_refused_by_field_not_misread(tmp_path, version):
    path = records.write(record(), tmp_path)
    content = json.loads(path.read_text())
    if version == "absent":
        del content["schema_version"]
    else:
        content["schema_version"] = version
    path.write_text(json.dumps(content))
    with pytest.raises(RecordError, match=rf"{path.name}.*schema_version"):
        records.load_all(tmp_path)


def test_a_training_batch_beyond_the_memory_is_told_and_what_was_finished_goes_on(tiny_encoder, tmp_path, monkeypatch):
    documents = data.load("synthetic", "train").documents[:16]
    uncut = fit(tiny_encoder, documents, tmp_path / "uncut", epochs=2)

    def little(self, batch, whole):
        if (tmp_path / "c" / "last").exists():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB")
        return losses(self, batch, whole)

    losses = IterSystem.losses
    with monkeypatch.context() as patch:
        patch.setattr(IterSystem, "losses", little)
        with pytest.raises(
            UserError, match=r"memory with 16 samples at once.*3 GiB.*samples_at_once lower, or training\.batch_size"
        ):
            fit(tiny_encoder, documents, tmp_path / "c", epochs=2)
    resumed = fit(tiny_encoder, documents, tmp_path / "c", epochs=2)
    assert [(e["loss"], e["dev"]) for e in resumed] == [(e["loss"], e["dev"]) for e in uncut]


@contextmanager
def files_up_to(size: int):
    """The file system refuses what makes a file longer, as a disk does that is full at that point."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # Python would leave a cut file of it where nothing fits
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        sys.dont_write_bytecode = bytecode


def test_a_full_disk_keeps_the_finished_epochs_and_training_goes_on_to_the_same_numbers(tiny_encoder, tmp_path):
    documents = data.load("synthetic", "train").documents[:16]
    whole = fit(tiny_encoder, documents, tmp_path / "whole", epochs=2)
    told = []

    with ExitStack() as stack:

        def full_after_an_epoch(event):
            told.append(event)
            if "loss" in event:
                stack.enter_context(files_up_to(2**20))

        with pytest.raises(UserError, match=r"can't be written: .*; finished epochs are kept; make room and run it again"):
            fit(tiny_encoder, documents, tmp_path / "c", epochs=2, report=full_after_an_epoch)
    assert len([event for event in told if "loss" in event]) == 1
    resumed = fit(tiny_encoder, documents, tmp_path / "c", epochs=2, report=told.append)
    assert len([event for event in told if "loss" in event]) == 2, "the first epoch isn't trained again"
    assert [(e["loss"], e["dev"]) for e in resumed] == [(e["loss"], e["dev"]) for e in whole]


@pytest.mark.slow
def test_a_system_that_a_full_disk_has_no_room_for_fails_its_run_alone(tiny_encoder, tmp_path, monkeypatch):
    small = DataSettings(dataset="synthetic-w1", train="dev", dev=None, test="dev")
    runs = [RunSettings(encoder=tiny_encoder, seed=seed, data=small, training=ONE_EPOCH) for seed in (1, 2)]
    folders, saved = Folders(tmp_path / "results", tmp_path / "runs"), IterSystem.save

    def full(self, folder):
        with files_up_to(2**20 if runs[0].run_id in folder.parts else 2**30):
            saved(self, folder)

    def execute_both():
        return execute_all(runs, lambda r, report: execute(r, folders), engine=processes(1), report=lambda *_: None)

    with monkeypatch.context() as patch:
        patch.setattr(IterSystem, "save", full)
        done, failed = execute_both()
    assert [record.settings.seed for record in done] == [2] and "its training is kept" in failed[runs[0].run_id]
    done, failed = execute_both()
    assert {record.settings.seed for record in done} == {1, 2} and not failed


def test_a_full_disk_is_no_traceback_for_any_command(tmp_path, monkeypatch, capsys):
    records.write(record(), tmp_path / "runs")
    monkeypatch.setattr(sys, "argv", ["iter-bench", "tables", "--results", str(tmp_path)])
    with files_up_to(100), pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err.splitlines() == ["iter-bench: File too large"]


@pytest.mark.slow
def test_a_training_killed_in_its_second_epoch_ends_in_the_same_numbers(tiny_encoder, tmp_path):
    arguments = ["train", "--encoder", tiny_encoder, "--dataset", "synthetic-w1", "--set", "training.epochs=3"]
    arguments += ["--set", "model.d_ff=16", "--set", "training.batch_size=64"]

    def folders(name):
        return ["--results", str(tmp_path / name / "results"), "--work", str(tmp_path / name / "runs")]

    assert CliRunner().invoke(app, [*arguments, *folders("whole")]).exit_code == 0
    command = [sys.executable, "-m", "iter_bench", *arguments, *folders("killed")]
    process = subprocess.Popen(command)
    while not list(tmp_path.glob("killed/runs/*/checkpoints/last/state.json")):
        assert process.poll() is None
    process.kill()
    process.wait()
    assert not list(tmp_path.glob("killed/results/runs/*"))
    subprocess.run(command, check=True)
    whole, resumed = (records.load_all(tmp_path / name / "results" / "runs")[0] for name in ("whole", "killed"))
    assert resumed.scores == whole.scores and resumed.documents == whole.documents
    assert [(e.loss, e.dev) for e in resumed.history] == [(e.loss, e.dev) for e in whole.history]
