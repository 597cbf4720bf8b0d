"""The machine while it measures: clocks, what slows them, other processes, energy. What it doesn't tell is None, no guess."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median
from threading import Event
from typing import Any

import psutil
import torch

from iter_bench.environment import usable_cores
from iter_bench.throughput.schema import WINDOW, Conditions, Power

_SLOWING = {
    "HwSlowdown": "hardware slowdown",
    "HwThermalSlowdown": "hardware thermal slowdown",
    "HwPowerBrakeSlowdown": "power brake",
    "SwThermalSlowdown": "thermal slowdown",
}
"""NVML's reasons that make a run INVALID. The board's own power limit doesn't: it is how the board is sold."""


LOOK = 0.1
"""Seconds between two looks at a GPU."""


class Watch:
    """Looks at the machine from its construction on.

    Args:
        device: that is measured on; on a CPU, and without NVML, nothing of a GPU is asked.
    """

    def __init__(self, device: torch.device):
        self._gpu = _gpu(device)
        self._cores = usable_cores()
        self._begin = (time.perf_counter(), *self._cpu())

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Within it a thread notes clocks and processes of the GPU, every ``LOOK`` seconds: once it waits, it rests already."""
        if self._gpu is None:
            yield
            return
        ended = Event()
        with ThreadPoolExecutor(1) as thread:
            looks = thread.submit(self._look_until, ended)
            try:
                yield
            finally:
                ended.set()
            looks.result()  # raises what a look did

    def _look_until(self, ended: Event) -> None:
        self._gpu.look()
        while not ended.wait(LOOK):
            self._gpu.look()

    def seen(self) -> Conditions:
        """What was noted since the construction."""
        start, busy, own = self._begin
        now_busy, now_own = self._cpu()
        spent = (time.perf_counter() - start) * len(self._cores)
        others = min(1.0, max(0.0, (now_busy - busy) - (now_own - own)) / spent)
        return Conditions(others=others, **(self._gpu.seen() if self._gpu is not None else {}))

    def _cpu(self) -> tuple[float, float]:
        """Seconds that the usable cores were busy, and that this process was."""
        every = psutil.cpu_times(percpu=True)
        # guest time is part of user time already
        busy = sum(t.user + t.system + getattr(t, "nice", 0) + getattr(t, "irq", 0) for t in (every[i] for i in self._cores))
        own = psutil.Process().cpu_times()
        return busy, own.user + own.system


def measure_power(
    call: Callable[[], object],
    documents: int,
    device: torch.device,
    *,
    synchronize: Callable[[], None],
    before: Callable[[], None],
) -> Power | None:
    """Mean power and joules a document while ``call`` (``documents`` documents) repeats for ``WINDOW`` seconds.

    None on a CPU, without NVML, and on a GPU whose driver counts no energy. ``synchronize`` and ``before`` are those of
    `protocol.measure`.
    """
    if (gpu := _gpu(device)) is None or gpu.energy() is None:
        return None
    synchronize()
    start, joules, calls = time.perf_counter(), gpu.energy(), 0
    while time.perf_counter() - start < WINDOW:
        before()
        call()
        synchronize()
        calls += 1
    seconds, joules = time.perf_counter() - start, gpu.energy() - joules
    return Power(watts=joules / seconds, joules_per_sample=joules / (calls * documents), seconds=seconds)


def _gpu(device: torch.device) -> _Gpu | None:
    """None on a CPU, and where NVML is missing or doesn't know the GPU: then nothing is known of it."""
    if device.type != "cuda":
        return None
    import pynvml

    try:
        return _Gpu(device)
    except pynvml.NVMLError:
        return None


class _Gpu:
    """One GPU through NVML; what its driver refuses to tell stays out."""

    def __init__(self, device: torch.device):
        import pynvml

        self._nvml = pynvml
        pynvml.nvmlInit()
        uuid = str(torch.cuda.get_device_properties(device).uuid)
        self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith(("GPU", "MIG")) else f"GPU-{uuid}")
        self._clocks: dict[str, list[int]] = {"sm_clock": [], "memory_clock": []}
        self._reasons: list[int] = []
        self._processes: list[int] = []

    def look(self) -> None:
        nvml = self._nvml
        for name, kind in (("sm_clock", nvml.NVML_CLOCK_SM), ("memory_clock", nvml.NVML_CLOCK_MEM)):
            _append(self._clocks[name], self._ask("nvmlDeviceGetClockInfo", kind))
        _append(self._reasons, self._ask("nvmlDeviceGetCurrentClocksEventReasons"))
        processes = self._ask("nvmlDeviceGetComputeRunningProcesses")
        _append(self._processes, None if processes is None else len(processes))

    def seen(self) -> dict[str, Any]:
        nvml, reasons = self._nvml, self._reasons
        found: dict[str, Any] = {name: (min(of), round(median(of)), max(of)) for name, of in self._clocks.items() if of}
        if reasons:
            limited = nvml.nvmlClocksEventReasonSwPowerCap
            found["power_limited"] = sum(bool(reason & limited) for reason in reasons) / len(reasons)
            bits = {what: getattr(nvml, f"nvmlClocksThrottleReason{name}") for name, what in _SLOWING.items()}
            found["slowed"] = tuple(what for what, bit in bits.items() if any(reason & bit for reason in reasons))
        if self._processes:
            found["gpu_processes"] = max(self._processes)
        return found

    def energy(self) -> float | None:
        """Joules since the driver was loaded."""
        millijoules = self._ask("nvmlDeviceGetTotalEnergyConsumption")
        return None if millijoules is None else millijoules / 1000

    def _ask(self, function: str, *arguments: Any) -> Any:
        try:
            return getattr(self._nvml, function)(self._handle, *arguments)
        except self._nvml.NVMLError:
            return None


def _append(values: list[int], value: int | None) -> None:
    if value is not None:
        values.append(value)
