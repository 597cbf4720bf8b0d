"""Files that are whole or absent have the mode of any new file."""

import os
import subprocess
import sys

import pytest

WRITE = "import sys, pathlib; from iter_bench.files import whole_file\nwith whole_file(pathlib.Path(sys.argv[1])): pass"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_who_may_read_a_whole_file_is_decided_by_the_umask(tmp_path, umask):
    subprocess.run([sys.executable, "-c", WRITE, tmp_path / "whole"], check=True, umask=umask)
    subprocess.run([sys.executable, "-c", "import sys; open(sys.argv[1], 'w')", tmp_path / "plain"], check=True, umask=umask)
    assert os.stat(tmp_path / "whole").st_mode == os.stat(tmp_path / "plain").st_mode
