"""Files that are whole or absent have the mode of any new file, and lie on the disk by name, too."""

import errno
import os
import stat
import subprocess
import sys

import pytest

from iter_bench.files import whole_file

WRITE = "import sys, pathlib; from iter_bench.files import whole_file\nwith whole_file(pathlib.Path(sys.argv[1])): pass"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_who_may_read_a_whole_file_is_decided_by_the_umask(tmp_path, umask):
    subprocess.run([sys.executable, "-c", WRITE, tmp_path / "whole"], check=True, umask=umask)
    subprocess.run([sys.executable, "-c", "import sys; open(sys.argv[1], 'w')", tmp_path / "plain"], check=True, umask=umask)
    assert os.stat(tmp_path / "whole").st_mode == os.stat(tmp_path / "plain").st_mode


@pytest.mark.parametrize("refuses", [False, True])
def test_content_is_brought_to_the_disk_before_the_name_and_the_name_after_it(refuses, tmp_path, monkeypatch):
    steps, sync, replace = [], os.fsync, os.replace

    def synced(handle):
        steps.append("names" if stat.S_ISDIR(os.fstat(handle).st_mode) else "content")
        if refuses and steps[-1] == "names":
            raise OSError(errno.EINVAL, "Invalid argument")  # a network's file system
        sync(handle)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda *paths: steps.append("replace") or replace(*paths))
    with whole_file(tmp_path / "whole") as file:
        file.write("all of it")
    assert steps == ["content", "replace", "names"] and (tmp_path / "whole").read_text() == "all of it"
