"""The protocol under a clock that the test moves: who is called when, what is timed, and which runs are VALID."""

from itertools import chain, count, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iter_bench.throughput.protocol import measure, problems, rates
from iter_bench.throughput.settings import Rules


class Machine:
    """Time passes only where it's told to."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def spend(self, name, seconds):
        def call():
            self.log.append(name)
            self.now += seconds

        return call

    def measure(self, seconds, rules, **options):
        calls = [self.spend(name, duration) for name, duration in seconds.items()]
        return measure(calls, rules, **{"synchronize": lambda: None, "clock": lambda: self.now, **options})


def test_warm_up_then_rounds_in_alternating_order():
    machine = Machine()
    samples = machine.measure({"a": 1, "b": 2, "c": 4}, Rules(warm_up=5, repetitions=4, seconds=0))
    warm_up = "".join(machine.log)[:10]
    assert warm_up == "aaaaabbbcc", "5 seconds of each, but two calls at least"
    assert "".join(machine.log)[10:] == "abccbaabccba"
    assert samples == [[1.0] * 4, [2.0] * 4, [4.0] * 4]


def test_repetitions_and_seconds_are_both_reached():
    rules = Rules(warm_up=0.1, repetitions=4, seconds=2)
    fast, slow = Machine().measure({"fast": 0.125, "slow": 3}, rules)
    assert len(slow) == 4 and len(fast) == 16 and sum(fast) == 2
    assert not problems(fast, rules) and not problems(slow, rules)


def test_only_the_call_and_the_wait_after_it_are_timed():
    machine = Machine()
    waits = machine.spend("wait", 0.5)
    (samples,) = machine.measure(
        {"a": 1}, Rules(repetitions=3, seconds=0), synchronize=waits, before=machine.spend("before", 7)
    )
    assert samples == [1.5] * 3
    assert machine.log[:4] == ["before", "wait", "a", "wait"]


def test_a_run_that_is_cut_off_is_invalid():
    rules = Rules(warm_up=0.1, repetitions=10, seconds=20, limit=25)
    (samples,) = Machine().measure({"a": 10}, rules)
    assert len(samples) == 3
    assert problems(samples, rules) == ["too few samples: 3, not 10"]
    assert problems([1.0] * 10, rules) == ["too few samples: 10.00 s, not 20 s"]


def test_rounds_go_on_while_samples_drift_and_end_at_the_limit():
    rules = Rules(warm_up=0.1, repetitions=6, seconds=0, drift=0.05, limit=1000)
    machine = Machine()

    def call(durations):
        return lambda: machine.spend("a", next(durations))()

    settling = call(chain([2.0] * (2 + 5), repeat(1.0)))  # two of them warm up
    (samples,) = measure([settling], rules, synchronize=lambda: None, clock=lambda: machine.now)
    assert len(samples) == 33 and not problems(samples, rules), "five slow calls are fewer than half of the first eleven"
    (samples,) = measure([call(count(1.0))], rules, synchronize=lambda: None, clock=lambda: machine.now)
    assert sum(samples[:-1]) < 1000 <= sum(samples) and problems(samples, rules)


def test_drift_is_invalid_and_noise_is_not():
    rules = Rules(repetitions=9, seconds=1, drift=0.05)
    assert problems([1, 1, 1, 1, 1, 1, 1.06, 1.06, 1.06], rules) == [
        "drift: the first and last third differ by 6.0%, not 5.0% at most"
    ]
    assert not problems([1, 1, 1, 1, 1, 1, 1.04, 1.04, 1.04], rules)
    assert not problems([1, 9, 1, 1, 9, 1, 1, 9, 1], rules), "a slow call in each third is no drift"


@given(st.lists(st.floats(0.01, 10), min_size=3, max_size=40), st.floats(0.1, 10))
def test_drift_knows_no_unit(samples, factor):
    rules = Rules(repetitions=3, seconds=0, drift=0.0500000001)
    scaled = problems([factor * sample for sample in samples], rules)
    thirds = len(samples) // 3
    middle = lambda values: (sorted(values)[(len(values) - 1) // 2] + sorted(values)[len(values) // 2]) / 2  # noqa: E731
    drift = abs(middle(samples[-thirds:]) - middle(samples[:thirds])) / middle(samples)
    if abs(drift - 0.05) > 1e-6:
        assert bool(scaled) == (drift > 0.05)


def test_rates_are_percentiles_of_rates():
    assert rates([1.0, 2.0, 4.0], documents=8) == pytest.approx((4.0, 2.2, 7.6))
