"""The protocol of timing: warm-up, then systems in alternating order until each has enough steady samples; when a run counts.

The timed region is one call: a list of documents in, extractions as Python objects out, host and device synchronised at both
ends. Every call reads words that it hasn't tokenised before (``before`` forgets them), as a user's first call would.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import count
from statistics import median

import numpy as np

from iter_bench.throughput.settings import Rules


def measure(
    calls: Sequence[Callable[[], object]],
    rules: Rules,
    *,
    synchronize: Callable[[], None],
    before: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[list[float]]:
    """Seconds of the timed calls of each system, in their order.

    A round gives every system a block of calls that lasts its share of ``rules.seconds``; every other round goes through
    the systems backwards, so that a machine that slows down steadily slows all of them alike. There are ``rules.repetitions``
    rounds; while a system's samples still drift, more follow, until ``rules.limit``: a machine whose speed comes and goes
    needs longer to show its median.

    Args:
        calls: what is timed, one a system.
        rules: how much of it.
        synchronize: waits for the device.
        before: called before every call, untimed.
        clock: seconds.
    """

    def once(call: Callable[[], object]) -> float:
        before()
        synchronize()
        start = clock()
        call()
        synchronize()
        return clock() - start

    for call in calls:
        spent, done = 0.0, 0
        while done < 2 or spent < rules.warm_up:
            spent, done = spent + once(call), done + 1
    samples: list[list[float]] = [[] for _ in calls]
    begin = clock()
    for number in count():
        wanted = number < rules.repetitions or any(drift(of) > rules.drift for of in samples)
        if not wanted or (number and clock() - begin >= rules.limit):
            break
        for i in range(len(calls))[:: 1 if number % 2 == 0 else -1]:
            spent = 0.0
            while not spent or spent < rules.seconds / rules.repetitions:
                samples[i].append(once(calls[i]))
                spent += samples[i][-1]
    return samples


def problems(samples: Sequence[float], rules: Rules) -> list[str]:
    """Why samples don't make a VALID run; the conditions of the machine aside (`conditions`)."""
    found = []
    if len(samples) < rules.repetitions:
        found.append(f"too few samples: {len(samples)}, not {rules.repetitions}")
    # a sum of blocks that each reached their share can miss the whole by rounding
    if sum(samples) < rules.seconds * (1 - 1e-9):
        found.append(f"too few samples: {sum(samples):.2f} s, not {rules.seconds:g} s")
    if (change := drift(samples)) > rules.drift:
        found.append(f"drift: the first and last third differ by {change:.1%}, not {rules.drift:.1%} at most")
    return found


def drift(samples: Sequence[float]) -> float:
    """By how much the medians of the first and last third of the samples differ, relative to the median of all."""
    third = len(samples) // 3
    return abs(median(samples[-third:]) - median(samples[:third])) / median(samples) if third else 0.0


def rates(samples: Sequence[float], documents: int) -> tuple[float, float, float]:
    """Documents a second: median, 5th and 95th percentile over the samples."""
    of = documents / np.asarray(samples)
    return tuple(float(value) for value in np.percentile(of, (50, 5, 95)))
