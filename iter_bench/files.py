"""Files that are whole or absent at any moment, and folders that one process at a time writes into."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from iter_bench.errors import UserError

UMASK = os.umask(0)  # can only be read by setting it
os.umask(UMASK)


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A file to write in UTF-8 that takes the place of ``path`` once it lies on the disk whole; its folder is made.

    A block that raises leaves the earlier file, or none. After a power cut a hidden ``.tmp`` may be left beside it; a file that
    was finished is still there.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # beside the target, for renaming is atomic only within one file system
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}-", suffix=".tmp")
        with open(handle, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~UMASK)  # as of any new file; mkstemp lets only the owner read
        os.replace(temporary, path)
        _sync_names(path.parent)
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def _sync_names(folder: Path) -> None:
    """Brings the folder's names to the disk: a renamed file would else have its earlier content after a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems, of networks above all, have no such thing
            os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex digits, as sha256sum prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def told_if_refused(path: Path, then: str) -> Iterator[None]:
    """For whatever writes below ``path``: where the file system refuses, it is said, with what to do ``then``.

    Raises:
        UserError: the disk is full, or the like.
    """
    from safetensors import SafetensorError  # here, for commands that touch no weights

    try:
        yield
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: can't be written: {getattr(error, 'strerror', None) or error}; {then}") from error


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Holds the folder, made where missing, against other processes; the lock ends with the process, however that ends.

    Raises:
        UserError: another process is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{folder}: another process is writing there; wait for it, or use another folder") from None
        yield
