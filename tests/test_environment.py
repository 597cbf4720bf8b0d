"""The environment names versions and hardware, and nothing that identifies the machine or its user."""

import getpass
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from iter_bench import environment


def git(folder, *arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_git_state_is_that_of_the_checkout_that_tracks_the_file(tmp_path, monkeypatch):
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    code = tmp_path / "package" / "code.py"
    installed = tmp_path / ".venv" / "code.py"
    for file in (code, installed):
        file.parent.mkdir()
        file.write_text("x = 1\n")
    assert environment.git_state(code) is None
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "package")
    git(tmp_path, "commit", "-qm", "first")
    installed.unlink()
    assert environment.git_state(code) == environment.Git(commit=git(tmp_path, "rev-parse", "HEAD"), dirty=False)

    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "run.json").write_text("{}")
    assert not environment.git_state(code).dirty
    installed.write_text("x = 1\n")
    assert environment.git_state(installed) is None, "lies in a checkout that does not track it"
    installed.unlink()
    code.write_text("x = 2\n")
    assert environment.git_state(code).dirty
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert environment.git_state(code).dirty, "as inside a hook of another repository"


def test_describe_tells_versions_and_nothing_private(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/opt/env/bin/iter-bench", "train", "--data-dir=/srv/corpora", "--x", "/home/me/enc"])
    described = environment.describe()
    assert described.command == "iter-bench train --data-dir=…/corpora --x …/enc"
    assert described.packages["numpy"] == numpy.__version__
    text = described.model_dump_json()
    assert not re.search(r'[" =]/\w', text), "an absolute path"
    words = set(re.findall(r"[\w.-]+", text))
    assert platform.node() not in words and str(Path.home()) not in text
    assert getpass.getuser() not in words - {"root"}
    assert described.usable_cores >= 1 and described.memory > 2**28


def test_command_line_keeps_addresses_and_relative_paths():
    argv = ["/env/iter_bench/__main__.py", "score", "a/b.json", "https://example.org/a/b", '["/x/y", "/x/z/"]', "~/data"]
    assert environment.command_line(argv) == (
        'python -m iter_bench score a/b.json https://example.org/a/b ["…/y", "…/z"] …/data'
    )


def test_without_torch_and_outside_git(tmp_path):
    """In an interpreter that can import neither torch nor pynvml, and finds no git."""
    program = (
        "import sys; sys.modules.update(torch=None, pynvml=None); from iter_bench import environment as e; d = e.describe();"
        "assert (d.git, d.threads, d.gpus) == (None, None, []), d; print(d.hardware('cpu'))"
    )
    root = Path(environment.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PATH": str(tmp_path), "PYTHONPATH": str(root)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("cores)")


def test_hardware_names_the_gpu_only_where_it_was_used():
    gpu = environment.Gpu(name="Fast GPU", memory=1, driver="1", cuda="13.0")
    known = {"gpus": [gpu, gpu], "cpu": "Some CPU", "usable_cores": 4, "threads": 8}
    described = environment.describe().model_copy(update=known)
    assert described.hardware("cuda:0") == "Fast GPU, Some CPU (4 cores)"
    assert described.hardware("cpu") == "Some CPU (4 cores)"
    assert described.model_copy(update={"gpus": []}).hardware("cuda") == "unknown GPU, Some CPU (4 cores)", "no CPU's records"


@pytest.mark.parametrize(
    ("usable", "threads", "named"),
    [(2, 1, "1 core"), (1, 1, "1 core"), (2, 2, "2 cores"), (2, 8, "2 cores"), (4, None, "4 cores"), (None, None, "? cores")],
)
def test_a_cpu_counts_the_cores_that_the_run_could_keep_busy(usable, threads, named):
    """Whatever the affinity allowed: two runs of one thread each ran on the same hardware."""
    described = environment.describe().model_copy(update={"cpu": "Some CPU", "usable_cores": usable, "threads": threads})
    assert described.hardware("cpu") == f"Some CPU ({named})"
