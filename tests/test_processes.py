"""Training in several processes is training in one: the same losses on the same global batches, one record, one message."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from iter_bench import cli, data, records, systems
from iter_bench.cluster.launched import LOST

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SYSTEMS = ("asp", "iter", "iter mean", "plmarker")
TWO = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
TRAIN = """
import gc, json, os, sys
from pathlib import Path
import torch
from iter_bench import data, systems
from iter_bench.data.synthetic import SCHEMA
from iter_bench.settings import TrainingSettings

# no dropout: its random numbers are those of a process
train = torch.nn.Module.train
torch.nn.Module.train = lambda self, mode=True: train(self, False)
first, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
documents = data.load("synthetic", "train").documents[:49]  # the last batch of 16 is one document: less than the processes
out, encoder, stop = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]

class Stopped(Exception):
    pass

def held():
    "Bytes of all tensors of this process."
    gc.collect()
    tensors = [t for t in gc.get_objects() if isinstance(t, torch.Tensor) and not hasattr(t, "to_local")]
    return sum({t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}.values())

def watched(event):
    if event.get("step") == event.get("steps", 0):
        found["bytes"] = held()
    if stop and event.get("epoch") == 0 and event.get("stage") != "ner":
        raise Stopped

for name in os.environ["SYSTEMS"].split(","):
    kind, _, reduction = name.partition(" ")
    settings = {"loss_reduction": reduction} if reduction else {}
    found = {}
    system = systems.system_class(kind).build(encoder, SCHEMA, documents, settings, seed=5)
    folder = out / name
    try:
        training = TrainingSettings(epochs=2, batch_size=16)
        found["history"] = system.fit(documents, documents[:4], training, seed=5, folder=folder / "fit", report=watched)
    except Stopped:
        continue
    if first == 0:
        system.save(folder / "system")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"process{first}.json").write_text(json.dumps(found))
    del system
"""


def run(*command, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, timeout=600)


def trained(out, encoder, *command, **environment):
    (out / "train.py").write_text(TRAIN)
    for stop in environment.pop("stops", [()]):
        done = run(*command, out / "train.py", out, encoder, *stop, SYSTEMS=",".join(SYSTEMS), **environment)
        assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.fixture(scope="module")
def alone(tiny_encoder, tmp_path_factory):
    return trained(tmp_path_factory.mktemp("alone"), tiny_encoder, sys.executable)


@pytest.fixture(scope="module")
def shared(tiny_encoder, tmp_path_factory):
    pytest.importorskip("accelerate")
    return trained(tmp_path_factory.mktemp("shared"), tiny_encoder, *TWO)


@pytest.fixture(scope="module")
def divided(tiny_encoder, tmp_path_factory):
    """With divided weights, stopped after an epoch and started again."""
    pytest.importorskip("accelerate")
    stops = [("stop",), ()]
    return trained(tmp_path_factory.mktemp("divided"), tiny_encoder, *TWO, ACCELERATE_USE_FSDP="true", stops=stops)


def result(folder, system, process=0):
    return json.loads((folder / system / f"process{process}.json").read_text())


@pytest.mark.parametrize("how", ["shared", "divided"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_two_processes_train_as_one(how, system, alone, request):
    ours = request.getfixturevalue(how)
    one = result(alone, system)["history"]
    assert len(one) == (4 if system == "plmarker" else 2)
    for process in (0, 1):
        two = result(ours, system, process)["history"]
        assert len(one) == len(two)
        for mine, theirs in zip(one, two, strict=True):
            assert mine["loss"] and theirs["loss"] == pytest.approx(mine["loss"], rel=1e-4)
            assert theirs["dev"] == pytest.approx(mine["dev"], abs=0.02)


@pytest.mark.parametrize("system", SYSTEMS)
def test_divided_weights_take_half_the_memory_and_are_saved_whole(system, alone, divided):
    stage = "re" if system == "plmarker" else ""
    trained = (alone / system / "fit" / stage / "last" / "model.safetensors").stat().st_size
    finished = (alone / system / "system" / "ner" / "model.safetensors").stat().st_size if stage else 0
    for process in (0, 1):  # weights, two moments and the best weights so far; stage 1 of PL-Marker is whole once it's trained
        assert 0.45 < (result(divided, system, process)["bytes"] - finished) / (4 * trained) < 0.55
    files = sorted(path.relative_to(alone / system) for path in (alone / system).rglob("*.safetensors"))
    assert files == sorted(path.relative_to(divided / system) for path in (divided / system).rglob("*.safetensors")) != []
    for file in files:
        one, two = load_file(alone / system / file), load_file(divided / system / file)
        assert {name: value.shape for name, value in one.items()} == {name: value.shape for name, value in two.items()}
    for best in (divided / system / "fit").glob("**/best/*.safetensors"):
        saved = load_file(divided / system / "system" / best.parts[-3].replace("fit", "") / best.name)
        assert all(torch.equal(value, saved[name]) for name, value in load_file(best).items())
    documents = data.load("synthetic", "train").documents[:4]
    assert len(systems.load_system(divided / system / "system").predict(documents)) == 4


SMALL = ("--set", "data.train=dev", "--set", "data.dev=none", "--set", "training.epochs=4", "--set", "model.omega=1")


def command(folder, *arguments):
    return ("-m", "iter_bench", *arguments, "--results", folder / "results", "--work", folder / "runs")


def test_the_command_in_two_processes_leaves_one_record_also_after_a_kill(tiny_encoder, tmp_path):
    pytest.importorskip("accelerate")
    arguments = ("train", "--encoder", tiny_encoder, *SMALL, "--json")
    done = run(*TWO, *command(tmp_path / "whole", *arguments))
    assert done.returncode == 0, done.stderr[-3000:]
    whole = json.loads(done.stdout)  # printed once
    assert whole["processes"] == 2 and done.stderr.count("epoch 4") == 1

    killed = [*map(str, (*TWO, *command(tmp_path / "killed", *arguments)))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(killed, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("killed/runs/*/checkpoints/last/state.json")):
        assert process.poll() is None
        time.sleep(0.05)
    psutil.Process(process.pid).children()[-1].kill()
    _, said = process.communicate(timeout=300)
    ours = said.split("torch/distributed/elastic")[0]
    # on a busy machine torchrun ends the other process before that one sees what happened
    assert process.returncode and ours.count("iter-bench: ") <= 1 and "Traceback" not in ours, said[-3000:]
    assert not list(tmp_path.glob("killed/results/runs/*"))
    done = run(*killed)
    assert done.returncode == 0 and done.stderr.count("epoch 1") == 0, done.stderr[-3000:]
    (record,) = records.load_all(tmp_path / "killed" / "results" / "runs")
    assert [epoch.loss for epoch in record.history] == [epoch["loss"] for epoch in whole["history"]]
    assert record.scores.model_dump(mode="json") == whole["scores"]


def test_a_launched_profile_does_each_run_in_both_processes_and_its_tables_once(tiny_encoder, tmp_path):
    pytest.importorskip("accelerate")
    profile = tmp_path / "small.toml"
    profile.write_text(
        f'description = "small"\n[[group]]\nencoder = "{tiny_encoder}"\nseeds = [1, 2]\ntraining = {{ epochs = 1 }}\n'
        'data = { dataset = "synthetic", train = "dev", dev = "none" }\nmodel = { omega = 1 }\n'
    )
    launch = (*TWO, *command(tmp_path, "reproduce", "--profile", profile))
    done = run(*launch)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [record.processes for record in records.load_all(tmp_path / "results" / "runs")] == [2, 2]
    assert done.stderr.count("0 of them finished before") == 1 and done.stderr.count("done synthetic") == 2
    assert (tmp_path / "results" / "tables" / "small.md").is_file()
    assert len(list((tmp_path / "results" / "examples").glob("*.json"))) == 2  # gold, and the first run's
    again = run(*launch)
    assert again.returncode == 0 and "2 of them finished before" in again.stderr, again.stderr[-3000:]


@pytest.mark.parametrize("said", LOST)
def test_a_process_that_loses_another_says_what_to_do(said, monkeypatch, capfd):
    """Whether it still can, when torchrun ends it too, is a matter of luck; that it would is not."""

    def lose(**_):
        raise RuntimeError(f"[gloo] {said} [127.0.0.1]:1234")

    monkeypatch.setattr(cli, "app", lose)
    with pytest.raises(RuntimeError):  # alone, that's a defect, whose traceback is wanted
        cli.main()
    monkeypatch.setattr(sys, "stderr", sys.stderr)  # to be put back
    monkeypatch.delenv("MASTER_ADDR", raising=False)  # there's nobody to ask who was first
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    told = capfd.readouterr().err
    assert told.startswith("iter-bench: another process") and "goes on after the last whole epoch" in told


FAILS = """
import os, sys
from iter_bench import cli
from iter_bench.errors import UserError
from iter_bench.iter_model.system import IterSystem
def fails(self, examples):
    raise UserError("it failed here")
if os.environ["RANK"] == "1":
    IterSystem.collate = fails
cli.main()
"""


@pytest.mark.parametrize("where", ["in both", "in the second"])
def test_an_error_ends_all_processes_and_is_told_once(where, tiny_encoder, tmp_path):
    pytest.importorskip("accelerate")
    arguments = [*command(tmp_path, "train", "--encoder", tiny_encoder, *SMALL)[2:]]
    if where == "in both":
        arguments, expected = [*arguments, "--set", "training.epochs=0"], "training.epochs"
    else:
        expected = "it failed here"
    (tmp_path / "fails.py").write_text(FAILS if where == "in the second" else "from iter_bench import cli\ncli.main()\n")
    done = run(*TWO, tmp_path / "fails.py", *arguments)
    said = done.stderr.split("torch/distributed/elastic")[0]  # what follows is torchrun's own report
    assert done.returncode and said.count("iter-bench: ") == 1 and said.count(expected) == 1 and "Traceback" not in said
    assert not (tmp_path / "results").exists()
