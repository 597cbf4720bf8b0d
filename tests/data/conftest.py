"""Files made up here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def make(tmp_path: Path) -> Callable[[object], Path]:
    """Writes a file and gives its path: bytes and strings as they are, anything else as JSON."""

    def write(content: object) -> Path:
        path = tmp_path / "file"
        text = content if isinstance(content, str) else json.dumps(content) if not isinstance(content, bytes) else ""
        path.write_bytes(content if isinstance(content, bytes) else text.encode())
        return path

    return write
