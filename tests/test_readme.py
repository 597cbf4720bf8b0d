"""The README's commands do what they say.

Every fenced ``bash`` block of README.md is run by bash, all in order in one empty folder, with `iter-bench` being this
checkout's; `make` only shows that its targets exist. A block after the line ``<!-- readme-test: skip-run REASON -->`` (it
needs real data, a GPU or hours) is only parsed: its `iter-bench` commands get ``--help`` added, which still rejects an
unknown command or option.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"(?:<!-- readme-test: skip-run (?P<reason>.+?) -->\n+)?^```bash\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)

STAND_INS = {
    "iter-bench": f'exec "{sys.executable}" -m iter_bench "$@" $README_ONLY_PARSE',
    "make": f'exec make -C "{ROOT}" --dry-run --silent "$@" >/dev/null',
}


@pytest.fixture
def commands(tmp_path):
    """A folder that holds the stand-ins; those for programs call the real ones by the path behind it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in STAND_INS.items():
        (folder / name).write_text(f'#!/bin/bash\nPATH="{os.environ["PATH"]}"\n{body}\n')
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.slow
def test_every_command_of_the_readme_runs(commands, tmp_path):
    blocks = list(BLOCK.finditer((ROOT / "README.md").read_text()))
    assert blocks, "README.md has no ```bash block"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment |= {"PATH": f"{commands}:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "ITER_BENCH_HOME": str(ROOT)}
    for block in blocks:
        only_parse = {"README_ONLY_PARSE": "--help" if block["reason"] else ""}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block["code"]],
            cwd=scratch,
            env=environment | only_parse,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{block['code']}\nprinted\n{done.stdout}"
