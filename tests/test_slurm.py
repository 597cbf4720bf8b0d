"""The scripts for Slurm: with stand-ins for what they call, and with Ray itself on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iter_bench import matrix, records
from iter_bench.cli import app

SLURM = Path(__file__).parents[1] / "docs" / "slurm"
PROFILE = """
description = "One small run."
[[group]]
encoder = "{encoder}"
data = {{ dataset = "synthetic-w1", dev = "none" }}
training = {{ epochs = 1 }}
model = {{ d_ff = 16 }}
"""

# As srun of Slurm 22.05 and later: the cores of the job aren't those of its steps unless this says so.
SRUN = '[ "$SRUN_CPUS_PER_TASK" = "${SLURM_CPUS_PER_TASK:?}" ] || { echo "a step of one core" >&2; exit 1; }; exec "$@"'


def stand_ins(folder: Path, **commands: str) -> Path:
    """A folder with these commands, by name: what each does in bash."""
    folder.mkdir(exist_ok=True)
    for name, code in commands.items():
        (folder / name).write_text(f"#!/bin/bash\n{code}\n")
        (folder / name).chmod(0o755)
    return folder


def called(script: str, tmp_path: Path, *arguments: str, **variables: str) -> list[list[str]]:
    """The calls of iter-bench and ray that a job script makes."""
    commands = stand_ins(
        tmp_path / "commands",
        **{
            "srun": SRUN,
            "scontrol": "printf 'one\\ntwo\\n'",
            "ray": 'if [ "$1" = get-auth-token ]; then touch token; exit; fi\n'
            'while [ "$1" != -- ]; do printf "%s " "$1"; shift; done; shift; "$@"',
            "iter-bench": 'printf "%s " "$RAY_ADDRESS" "$@"; echo',
        },
    )
    environment = {"PATH": f"{commands}:{os.environ['PATH']}", "RAY_ADDRESS": "", **variables}
    done = subprocess.run(
        ["bash", SLURM / script, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_the_jobs_of_an_array_do_every_run_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = {run.run_id for run in matrix.load_profile("scierc-choices").runs()}
    planned = []
    for task in "123":
        [line] = called(
            "array.sbatch",
            tmp_path,
            "--profile",
            "scierc-choices",
            SLURM_ARRAY_TASK_ID=task,
            SLURM_ARRAY_TASK_COUNT="3",
            SLURM_CPUS_PER_TASK="8",
        )
        assert line == ["reproduce", "--share", f"{task}/3", "--profile", "scierc-choices"]
        result = CliRunner().invoke(app, [*line, "--plan", "--json"])
        assert result.exit_code == 0, result.exception
        planned += [run for group in json.loads(result.stdout)["groups"] for run in group["runs"]]
    assert sorted(planned) == sorted(whole)


def test_the_job_with_ray_starts_it_everywhere_and_the_command_once(tmp_path):
    [line] = called(
        "ray.sbatch",
        tmp_path,
        "reproduce",
        "--profile",
        "paper",
        SLURM_JOB_NODELIST="one,two",
        SLURM_JOB_NUM_NODES="2",
        SLURM_CPUS_PER_TASK="8",
    )
    expected = "symmetric-run --address one:6379 --min-nodes 2 --num-cpus 8 one:6379 reproduce --profile paper --engine ray"
    assert line == expected.split()
    assert (tmp_path / "token").exists()


@pytest.mark.slow
def test_ray_itself_does_what_the_job_asks_for(tmp_path, tiny_encoder):
    """A cluster with a token is started on this machine, does the run, and is stopped."""
    pytest.importorskip("ray", reason="Ray isn't installed: pip install 'iter-bench[ray]'")
    import psutil

    if any(process.info["name"] == "raylet" for process in psutil.process_iter(["name"])):
        pytest.skip("Ray is running on this machine, and a job would have to stop it")
    commands = stand_ins(tmp_path / "commands", srun=SRUN, scontrol="printf '127.0.0.1\\nanother\\n'")
    (tmp_path / "small.toml").write_text(PROFILE.format(encoder=tiny_encoder))
    environment = os.environ | {
        "PATH": os.pathsep.join([str(commands), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": str(tmp_path),  # where Ray looks for its token
        "RAY_raylet_start_wait_time_s": "300",  # other work may slow down its start
        "SLURM_JOB_NODELIST": "this",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_CPUS_PER_TASK": "1",
    }
    job = ["bash", SLURM / "ray.sbatch", "reproduce", "--profile", "small.toml"]
    done = subprocess.run(job, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    [record] = records.load_all(tmp_path / "results" / "runs")
    assert record.environment.threads == 1
    assert (tmp_path / ".ray" / "auth_token").exists()
