"""The set-up of `make`, with a stand-in for Python that notes what it's asked to do: no package is installed here."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

STAND_IN = """#!/bin/sh
echo "$*" >>"$LOG"
case "$*" in
    "-c "*) exit "${REFUSE:-0}" ;;
    *"-m venv "*) for folder; do :; done; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python"; touch "$folder/pyvenv.cfg" ;;
    *"-r requirements.lock") [ ! -e broken-network ] ;;
esac
"""


@pytest.fixture
def project(tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "python").write_text(STAND_IN)
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def make(folder: Path, *arguments: str, **variables: str) -> tuple[int, str, list[str]]:
    """Exit status, all output, and what the stand-ins for Python were called with."""
    log = folder / "log"
    log.write_text("")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment |= {"LOG": str(log)} | variables
    command = ["make", "PYTHON=./python", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout, log.read_text().splitlines()


def test_make_alone_explains_every_target(project):
    status, output, calls = make(project)
    targets = (ROOT / "Makefile").read_text().split(".PHONY:")[1].splitlines()[0].split()
    assert status == 0
    assert not calls
    assert {line.split()[0] for line in output.splitlines() if line.startswith("  ")} == set(targets)


def test_second_set_up_installs_nothing_until_a_pin_moves(project):
    status, output, calls = make(project, "setup")
    assert status == 0, output
    assert any(call.endswith("-r requirements.lock") for call in calls)
    assert make(project, "setup")[2] == []
    os.utime(project / "requirements.lock", (2**32, 2**32))
    calls = make(project, "setup")[2]
    assert any(call.endswith("-r requirements.lock") for call in calls)
    assert not any("-m venv" in call for call in calls), "a working environment is kept"


def test_interrupted_set_up_is_repeated(project):
    (project / "broken-network").touch()
    assert make(project, "test")[0] != 0
    (project / "broken-network").unlink()
    status, _, calls = make(project, "test")
    assert status == 0
    assert any(call.endswith("-r requirements.lock") for call in calls)
    assert any(call.startswith("-m pytest") for call in calls)


def test_broken_environment_is_made_afresh_but_no_other_folder_is_cleared(project):
    assert make(project, "setup")[0] == 0
    shutil.rmtree(project / ".venv" / "bin")
    (project / ".venv" / ".installed").unlink()
    assert any(call == "-m venv --clear .venv" for call in make(project, "setup")[2])
    (project / "precious").mkdir()
    assert any(call == "-m venv precious" for call in make(project, "setup", "VENV=precious")[2])


def test_unsuitable_python_is_named_with_what_to_do(project):
    for python in ("./python", "python-that-is-not-there"):
        status, output, _ = make(project, "setup", f"PYTHON={python}", REFUSE="1")
        assert status != 0
        assert f"needs Python 3.11 or later, and '{python}' isn't" in output
        assert "make PYTHON=" in output


def test_verify_does_the_committed_run_anew_unless_told_not_to(project):
    for arguments, options in (([], "--rerun quick "), (["RERUN="], ""), (["RERUN=mine.toml"], "--rerun mine.toml ")):
        _, output, _ = make(project, "--dry-run", "verify", *arguments)
        texts = "README.md baselines/*/README.md"
        assert " ".join(output.splitlines()[-1].split()) == f".venv/bin/iter-bench verify {options}{texts}"
