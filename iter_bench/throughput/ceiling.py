"""What the hardware can do at best, measured in the same run: large matrix products, and copies within memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch

from iter_bench.devices import synchronize
from iter_bench.throughput.schema import Ceiling

MATRICES = {"cuda": (4096, 8192, 16384), "cpu": (512, 1024, 2048)}
COPIED = {"cuda": 2**30, "cpu": 2**28}  # bytes, more than caches hold
REPETITIONS = 5


def measure_ceiling(device: torch.device, dtype: str) -> Ceiling:
    """Medians of repeated products, of the fastest of several sizes, and of copies; takes a few seconds."""
    of = getattr(torch, dtype)
    best, matrix = 0.0, 0
    for rows in MATRICES[device.type]:
        a, b = torch.randn(rows, rows, device=device, dtype=of), torch.randn(rows, rows, device=device, dtype=of)
        out = torch.empty_like(a)
        rate = 2 * rows**3 / _seconds(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), device)
        if rate > best:
            best, matrix = rate, rows
    source = torch.ones(COPIED[device.type], device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    return Ceiling(
        dtype=dtype,
        flops=best,
        matrix=matrix,
        copy_rate=2 * source.numel() / _seconds(lambda: target.copy_(source), device),
    )


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Median seconds of one call; a GPU gets several calls before each wait, which alone costs microseconds."""
    calls = 10 if device.type == "cuda" else 1
    samples = []
    for repetition in range(REPETITIONS + 1):
        synchronize(device)
        start = time.perf_counter()
        for _ in range(calls):
            work()
        synchronize(device)
        if repetition:  # the first one warms up
            samples.append((time.perf_counter() - start) / calls)
    return median(samples)
