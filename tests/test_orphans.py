"""A command that is killed alone, without its workers: they end too, and the same command again does what was left."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import deadly
import psutil
import pytest

from iter_bench import records

PROFILE = """description = "Hardly trained."
[[group]]
encoder = "{encoder}"
seeds = [1, 2]
data = {{ dataset = "synthetic-w1", train = "dev", dev = "none", test = "dev" }}
training = {{ epochs = 6, batch_size = 16 }}
model = {{ d_ff = 16 }}
"""


def assert_workers_end_with_the_command(arguments: list[str], folder: Path, at_work: Callable[[], object]) -> None:
    """Kills the command once it's ``at_work``, sees its workers end, and lets the same command finish."""
    command = [sys.executable, "-m", "iter_bench", *arguments]
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    options = {"cwd": folder, "env": os.environ | {"PYTHONPATH": paths}}
    process = subprocess.Popen(command, **options, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    workers = []
    try:
        while not at_work():
            assert process.poll() is None
            time.sleep(0.02)
        workers = psutil.Process(process.pid).children()
        assert len(workers) >= 2
        process.kill()
        process.wait()
        _, left = psutil.wait_procs(workers, 20)
        assert not left
    finally:
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()
    done = subprocess.run(command, **options, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_trainings_side_by_side_end_with_their_command(tmp_path, tiny_encoder):
    (tmp_path / "tiny.toml").write_text(PROFILE.format(encoder=tiny_encoder))
    assert_workers_end_with_the_command(
        ["reproduce", "--profile", "tiny.toml", "--workers", "2"],
        tmp_path,
        lambda: len(list(tmp_path.glob("runs/*/checkpoints/last"))) == 2,
    )
    assert {record.settings.seed for record in records.load_all(tmp_path / "results" / "runs")} == {1, 2}


@pytest.mark.slow
def test_workers_of_a_bulk_extraction_end_with_their_command(tmp_path):
    system, source, out = deadly.system(tmp_path / "system"), tmp_path / "in.txt", tmp_path / "out"
    deadly.documents(source, 600, set())
    arguments = ["--file", source, "--output", out, "--shard-size", 1, "--workers", 2]
    assert_workers_end_with_the_command(
        ["predict", str(system), *map(str, arguments)], tmp_path, lambda: len(list(out.glob("done/*.json"))) >= 2
    )
    deadly.assert_set_aside(out, 600, set())
