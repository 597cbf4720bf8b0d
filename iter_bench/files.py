"""Files that are whole or absent, at any moment."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A file to write in UTF-8 that takes the place of ``path`` once it lies on the disk whole; its folder is made.

    A block that raises leaves the earlier file, or none. After a power cut a hidden ``.tmp`` may be left beside it.
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
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
