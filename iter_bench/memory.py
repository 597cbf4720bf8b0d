"""Peak memory of a stretch of work, of the process and of the GPU; and how the process keeps what it has freed."""

from __future__ import annotations

import ctypes
import gc
import re
from pathlib import Path

import torch

NO_OWN_MAPPINGS, NO_TRIMMING = (-4, 0), (-1, -1)  # M_MMAP_MAX and M_TRIM_THRESHOLD of <malloc.h>
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class MemoryWatch:
    """Measures from its construction on; what a platform doesn't tell is None, never a guess.

    What earlier work in this process has freed is given back first (see `keep_freed`), so that it doesn't count.
    """

    def __init__(self) -> None:
        gc.collect()
        _libc("malloc_trim", 0)
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


def keep_freed() -> None:
    """Lets this process keep the memory that it frees, for its next step of training to use.

    glibc would give large pieces back and get them anew, page by page, in every step. Other libraries of C are left alone.
    """
    _libc("mallopt", *NO_OWN_MAPPINGS)
    _libc("mallopt", *NO_TRIMMING)


def _libc(name: str, *arguments: int) -> None:
    """Calls a function of glibc's; libraries that haven't got it do nothing."""
    if (function := getattr(ctypes.CDLL(None), name, None)) is not None:
        function(*arguments)
