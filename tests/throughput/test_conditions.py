"""What is asked of a GPU, of one that is made up: when it's looked at, and which calls its joules are of."""

import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from throughput_examples import Echo

from iter_bench.throughput import cells, conditions
from iter_bench.throughput.conditions import Watch, measure_power
from iter_bench.throughput.schema import WINDOW
from iter_bench.throughput.settings import CellSettings, Rules, Subject
from iter_bench.throughput.workloads import documents_of, of_length
from iter_bench.tokenization import forget_words

CUDA = torch.device("cuda")
IDLE, POWER_CAP, HOT = 1, 4, 32


class Gpu:
    """Fast and hot while ``busy``, else at rest; NVML's functions that are asked of it."""

    class NVMLError(Exception):
        pass

    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2
    nvmlClocksEventReasonSwPowerCap = POWER_CAP
    nvmlClocksThrottleReasonHwSlowdown = 8
    nvmlClocksThrottleReasonHwThermalSlowdown = 64
    nvmlClocksThrottleReasonHwPowerBrakeSlowdown = 128
    nvmlClocksThrottleReasonSwThermalSlowdown = HOT

    def __init__(self):
        self.busy, self.looks, self.joules = False, 0, 100.0

    def nvmlInit(self):
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid):
        assert uuid == "GPU-12"

    def nvmlDeviceGetClockInfo(self, handle, kind):
        self.looks += 1
        return 2000 if self.busy else 300

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):
        return HOT | POWER_CAP if self.busy else IDLE

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        raise self.NVMLError("not permitted")

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return 1000 * self.joules


@pytest.fixture
def gpu(monkeypatch):
    made = Gpu()
    monkeypatch.setitem(sys.modules, "pynvml", made)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="12"))
    return made


def test_a_gpu_is_looked_at_while_it_computes(gpu, monkeypatch):
    monkeypatch.setattr(conditions, "LOOK", 0.005)
    watch = Watch(CUDA)
    with watch.looking():
        time.sleep(0.02)
        gpu.busy = True
        time.sleep(0.05)
        gpu.busy = False
    looks = gpu.looks
    seen = watch.seen()
    assert seen.sm_clock[0] == 300 and seen.sm_clock[2] == seen.memory_clock[2] == 2000
    assert seen.slowed == ("thermal slowdown",) and 0 < seen.power_limited < 1 and seen.gpu_processes is None
    time.sleep(0.02)
    assert gpu.looks == looks, "nobody looks any more"


@pytest.mark.parametrize("refused", ["nvmlInit", "nvmlDeviceGetHandleByUUID"])
def test_without_nvml_nothing_is_known_of_the_gpu_and_measuring_goes_on(refused, gpu, monkeypatch):
    """The driver's library is missing, or doesn't know the GPU."""

    def refuse(*_):
        raise Gpu.NVMLError("not found")

    monkeypatch.setattr(Gpu, refused, refuse)
    watch = Watch(CUDA)
    with watch.looking():
        pass
    seen = watch.seen()
    assert seen.sm_clock is seen.memory_clock is seen.power_limited is seen.gpu_processes is None and seen.slowed == ()
    assert seen.problems(Rules(others=1)) == []
    assert measure_power(refuse, 4, CUDA, synchronize=refuse, before=refuse) is None


def test_a_short_measurement_is_looked_at_too_and_what_a_look_raises_is_told(gpu, monkeypatch):
    watch = Watch(CUDA)
    with watch.looking():
        pass
    assert watch.seen().sm_clock == (300, 300, 300)
    monkeypatch.delattr(Gpu, "nvmlDeviceGetClockInfo")
    with pytest.raises(AttributeError, match="nvmlDeviceGetClockInfo"), watch.looking():
        pass


def test_joules_are_of_calls_like_those_timed(gpu, monkeypatch):
    """Words are forgotten before each; a call takes 3 seconds and 60 joules, 10 more where it finds words it knows."""
    now, log = [0.0], []
    monkeypatch.setattr(conditions.time, "perf_counter", lambda: now[0])

    def call():
        now[0] += 3
        gpu.joules += 60 if log[-1] == "before" else 70
        log.append("call")

    power = measure_power(call, 4, CUDA, synchronize=lambda: log.append("wait"), before=lambda: log.append("before"))
    assert log == ["wait", *["before", "call", "wait"] * 4] and power.seconds == 12 >= WINDOW
    assert (power.watts, power.joules_per_sample) == (20, 15)
    monkeypatch.setattr(Gpu, "nvmlDeviceGetTotalEnergyConsumption", Gpu.nvmlDeviceGetComputeRunningProcesses)
    assert measure_power(call, 4, CUDA, synchronize=call, before=call) is None, "not every driver counts it"


def test_a_cell_is_looked_at_while_it_is_timed(monkeypatch):
    log = []

    class Watched(Watch):
        @contextmanager
        def looking(self):
            log.append("begin")
            yield
            log.append("end")

    monkeypatch.setattr(cells, "Watch", Watched)
    monkeypatch.setattr(cells, "measure", lambda *_, before, **__: log.append(before) or [[1.0, 1.0, 1.0]])
    monkeypatch.setattr(cells, "measure_power", lambda *_, before, **__: log.append(before))
    subject, workload = Subject(system="throughput_examples:Echo"), of_length(16, 2)
    settings = CellSettings(
        subject=subject, lineup=(subject,), workload=workload, batch_size=2, rules=Rules(), hardware="made up"
    )
    list(cells.run_cell([Echo()], [settings], documents_of(workload)[0], lambda dtype: None))
    assert log == ["begin", forget_words, "end", forget_words]
