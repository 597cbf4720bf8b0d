"""Peak memory of a stretch of work, of the process and of the GPU."""

from __future__ import annotations

import re
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Measures from its construction on; what a platform doesn't tell is None, never a guess."""

    def __init__(self) -> None:
        self._resets = False
        try:
            CLEAR.write_text("5")  # Linux: the high-water mark starts anew
            self._resets = True
        except OSError:
            pass
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def host(self) -> int | None:
        """Bytes of the process's largest resident set since then."""
        if not self._resets or not (found := re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())):
            return None
        return int(found[1]) * 1024

    def device(self) -> int | None:
        """Bytes of the largest allocation on the GPU since then."""
        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
