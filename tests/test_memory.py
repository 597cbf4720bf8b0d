"""Peak memory is that of what is measured, not of what the process did before."""

import subprocess
import sys

SCRIPT = """
import torch
from iter_bench.memory import MemoryWatch, keep_freed

keep_freed()  # for as long as the process lives
before = MemoryWatch().host()
memory = MemoryWatch()
blocks = [torch.ones(2**21) for _ in range(40)]  # 320 MiB in pieces that glibc would map and unmap one by one
last = torch.ones(8)  # lies above them, so that the heap can't simply shrink
del blocks
print(before, memory.host(), MemoryWatch().host())
"""


def test_what_was_freed_before_is_not_counted():
    printed = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    before, during, after = (int(size) / 2**20 for size in printed.split())
    assert during - before > 300, "what was freed while it was measured does count"
    assert after - before < 60
