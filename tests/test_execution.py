"""Where runs go on: shares of a matrix, GPUs of a machine, machines of a cluster as Ray describes them, jobs of Slurm."""

import os
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from record_examples import record
from typer.testing import CliRunner

from iter_bench import execution, matrix
from iter_bench.bulk.on_ray import shares
from iter_bench.cli import app
from iter_bench.cluster import on_ray
from iter_bench.cluster.ray_connection import connected
from iter_bench.errors import SettingsError, UserError
from iter_bench.matrix import Resources
from iter_bench.run import Folders
from iter_bench.settings import RunSettings


def test_shares_hold_every_run_once_and_what_starts_from_a_run_beside_it():
    first = [RunSettings(seed=seed) for seed in range(5)]
    started = [RunSettings(seed=run.seed, encoder=f"trained:{run.run_id}") for run in first]
    elsewhere = RunSettings(encoder="trained:0123456789ab")  # no run of the profile
    runs = [*first, elsewhere, *started]
    for of in (1, 2, 3, 9):
        parts = [matrix.share(runs, part, of) for part in range(1, of + 1)]
        assert sorted(run.run_id for part in parts for run in part) == sorted(run.run_id for run in runs)
        for part in parts:
            assert {run.seed for run in part if run in started} == {run.seed for run in part if run in first}
    for wrong in ("0/2", "3/2", "2", "a/b"):
        result = CliRunner().invoke(app, ["reproduce", "--share", wrong])
        assert isinstance(result.exception, SettingsError) and "I/N" in str(result.exception)


def test_resources_are_no_part_of_a_run_and_can_be_changed_for_all(tmp_path):
    group = '[[group]]\nsystem = "asp"\n[[group]]\nresources = { cpus = 2, gpus = 0.5, memory = 8 }\n'
    (tmp_path / "a.toml").write_text(f'description = "x"\n{group}')
    (tmp_path / "b.toml").write_text('description = "x"\ninclude = "a.toml"\n[change]\nresources = { cpus = 4 }\n')
    (tmp_path / "c.toml").write_text('description = "x"\n[[group]]\nresources = { gpus = 1.5 }\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        plain, changed = matrix.load_profile("a.toml"), matrix.load_profile("b.toml")
        with pytest.raises(SettingsError, match=r"resources\.gpus: should be a part of one GPU, or a whole number"):
            matrix.load_profile("c.toml")
    assert plain.runs() == changed.runs() == [RunSettings(system="asp"), RunSettings()]
    assert list(plain.resources().values()) == [Resources(), Resources(cpus=2, gpus=0.5, memory=8)]
    assert list(changed.resources().values()) == [Resources(cpus=4), Resources(cpus=4, gpus=0.5, memory=8)]


def its_gpu():
    return os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.mark.slow
def test_each_worker_has_a_gpu_of_its_own_where_there_are_as_many(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,3")
    for worker, gpu in enumerate(("5", "3", "5")):
        with execution.pool_of_one(worker, 3) as process:
            assert process.submit(its_gpu).result() == gpu
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert execution.visible_gpus() == ["0", "1"]


def test_any_failure_of_a_run_is_listed_and_the_others_go_on():
    def execute(run, report):
        if run.seed == 1:
            raise MemoryError("no more")
        return record(run.seed)

    runs = [RunSettings(seed=seed) for seed in (1, 2)]
    done, failed = execution.execute_all(runs, execute, engine=execution.processes(1), report=lambda *_: None)
    assert done == [record(2)] and failed == {runs[0].run_id: "MemoryError: no more"}


MACHINES = [{"CPU": 8, "memory": 16 * 2**30}, {"CPU": 6, "GPU": 2, "memory": 8 * 2**30}]


@pytest.mark.parametrize(
    ("asked", "gpus"),
    [
        (Resources(), 1.0),
        (Resources(cpus=8, gpus=0), 0),
        (Resources(cpus=6, gpus=2, memory=8), 2),
        (Resources(cpus=8, gpus=1), None),  # each is there, but not together
        (Resources(memory=17, gpus=0), None),
    ],
)
def test_what_no_machine_has_is_refused(asked, gpus):
    if gpus is None:
        with pytest.raises(UserError, match=r"run abc asks for . cores, . GPUs .* no machine of the cluster has"):
            on_ray.options("abc", asked, MACHINES)
    else:
        assert on_ray.options("abc", asked, MACHINES)["num_gpus"] == gpus


@pytest.mark.parametrize(
    ("machines", "workers", "expected"),
    [
        (MACHINES, 1, (6, 1)),  # only one machine has GPUs
        (MACHINES, 2, (3, 1)),
        (MACHINES, 3, (2, 1 / 2)),
        (MACHINES, 6, (1, 1 / 3)),
        (MACHINES, 7, None),
        ([{"CPU": 8}, {"CPU": 6}], 1, (8, 0)),
        ([{"CPU": 8}, {"CPU": 6}], 3, (4, 0)),
        ([{"CPU": 8}, {"CPU": 6}], 14, (1, 0)),
        ([{"CPU": 8, "GPU": 1}, {"CPU": 2, "GPU": 4}], 3, (1, 1)),
    ],
)
def test_workers_of_a_bulk_extraction_fit_on_the_machines(machines, workers, expected):
    if expected is None:
        with pytest.raises(UserError, match="7 workers are too many for 6 cores on 1 machines"):
            shares(machines, workers)
    else:
        assert shares(machines, workers) == expected


def test_a_record_from_a_machine_with_a_disk_of_its_own_is_written_here_and_is_finished(tmp_path):
    folders = Folders(tmp_path / "results", tmp_path / "runs")
    assert on_ray.gathered(folders, record(3), "[]") == record(3) == folders.finished(record(3).run_id)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    on_ray.gathered(folders, record(3), "[]")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == written


def test_what_keeps_a_cluster_from_being_reached_is_told(monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray isn't installed: pip install 'iter-bench[ray]'")
    monkeypatch.setenv("RAY_ADDRESS", "far:6379")
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)

    def refused(*_, **__):
        raise ConnectionError("nobody answers")

    monkeypatch.setattr(ray, "init", refused)
    with pytest.raises(UserError, match=r"RAY_ADDRESS: far:6379\).*nobody answers; if .* RAY_AUTH_MODE=token"), connected():
        pass
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with pytest.raises(UserError, match=r"nobody answers$"), connected():
        pass


def wait_for_the_other(folder, run, report):
    """Seed 1 tells its process and ends; seed 2 waits until that is gone."""
    told, seconds = folder / "pid", 0
    if run.seed == 1:
        (folder / "pid.part").write_text(str(os.getpid()))
        (folder / "pid.part").rename(told)
        return 1
    while not told.exists() or Path(f"/proc/{told.read_text()}").exists():
        if (seconds := seconds + 0.1) > 60:
            raise TimeoutError("its process is still there")
        time.sleep(0.1)
    return 2


@pytest.mark.slow
def test_a_process_that_has_no_further_run_gives_its_memory_to_the_others(tmp_path, tiny_encoder):
    runs = [RunSettings(encoder=tiny_encoder, seed=seed) for seed in (1, 2)]
    wait = partial(wait_for_the_other, tmp_path)
    done, failed = execution.execute_all(runs, wait, engine=execution.processes(2), report=lambda *_: None)
    assert sorted(done) == [1, 2], failed
