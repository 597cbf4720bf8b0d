"""Training in several processes is training in one: the same losses on the same global batches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = """
import json, os, sys
import torch
from iter_bench import data, systems
from iter_bench.data.synthetic import SCHEMA
from iter_bench.settings import TrainingSettings

# no dropout: its random numbers are those of a process
train = torch.nn.Module.train
torch.nn.Module.train = lambda self, mode=True: train(self, False)
documents = data.load("synthetic", "train").documents[:49]  # the last batch of 16 is one document: less than the processes
system = systems.system_class(sys.argv[1]).build(sys.argv[2], SCHEMA, documents, {}, seed=5)
history = system.fit(documents, documents[:4], TrainingSettings(epochs=2, batch_size=16), seed=5)
if os.environ.get("RANK", "0") == "0":
    open(sys.argv[3], "w").write(json.dumps(history))
"""


@pytest.mark.slow
@pytest.mark.parametrize("system", ["iter"])
def test_two_processes_train_as_one(system, tiny_encoder, tmp_path):
    pytest.importorskip("accelerate")
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    histories = []
    for name, command in (("one", [sys.executable]), ("two", launch)):
        out = tmp_path / name
        done = subprocess.run(
            [*command, tmp_path / "script.py", system, tiny_encoder, out], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]
        histories.append(json.loads(out.read_text()))
    one, two = histories
    assert len(one) == len(two) and one[-1]["loss"]
    for alone, shared in zip(one, two, strict=True):
        assert shared["loss"] == pytest.approx(alone["loss"], rel=1e-4)
        assert shared["dev"] == pytest.approx(alone["dev"], abs=0.02)
