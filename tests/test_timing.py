"""The stopwatch: on a clock of its own, where every rule can be seen, and on a real one."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

from harness import timing


class Clock:
    """Stands still but for the work, which takes the next of some durations, and then the last one again and again."""

    def __init__(self, *durations):
        self.now, self.durations, self.calls = 0.0, list(durations), 0

    def read(self):
        return self.now

    def work(self):
        self.now += self.durations[min(self.calls, len(self.durations) - 1)]
        self.calls += 1


@pytest.fixture
def clock(monkeypatch):
    def make(*durations):
        made = Clock(*durations)
        monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=made.read, monotonic=made.read))
        return made

    return make


def measured(clock, repeats=5, precision=0.01, deadline=float("inf"), device="cpu"):
    return timing.measure(clock.work, device, repeats, precision, deadline)


def test_calls_before_it_is_warm_are_thrown_away(clock):
    found = measured(clock(0.9, 0.3, 0.2, 0.1, 0.101, 0.102, 0.1))
    assert found.seconds == pytest.approx([0.1] * 5)
    assert found.warm_calls == 7


def test_warming_up_ends_for_slow_work(clock):
    found = measured(clock(30.0, 9.0, 3.0), repeats=3)
    assert found.warm_calls == 2
    assert found.seconds == pytest.approx([3.0] * 3)


def test_quick_work_is_warmed_up_for_a_while_and_repeated_within_a_sample(clock):
    quick = clock(2**-13)
    found = measured(quick)
    assert found.warm_calls * 2**-13 >= timing.LEAST_WARM_SECONDS
    assert found.calls == 41  # 41 / 8192 of a second is the first that is long enough
    assert found.seconds == pytest.approx([2**-13] * 5)
    assert quick.calls == found.warm_calls + 5 * found.calls


def test_samples_are_longer_where_a_queue_is_started_and_waited_for(clock, monkeypatch):
    monkeypatch.setattr(timing, "synchronise", lambda device: None)
    assert measured(clock(2**-13), device="mps").calls == 410  # 410 / 8192 of a second
    assert measured(clock(0.06), device="mps").calls == 1


@pytest.mark.parametrize(
    ("durations", "told", "ended"),
    [
        ((0.05,), {}, "precision"),
        (tuple(0.05 * (1 + index % 2) for index in range(1000)), {}, "seconds"),
        (tuple(0.006 * (1 + index % 2) for index in range(5000)), {}, "samples"),
        ((0.05,), {"repeats": 2}, "samples"),
        (tuple(1.0 + index % 2 for index in range(50)), {"repeats": 20, "deadline": 9.0}, "deadline"),
    ],
)
def test_it_is_told_why_sampling_ended(clock, durations, told, ended):
    assert measured(clock(*durations), **told).ended == ended


def test_a_window_lasts_as_long_as_it_has_to(clock):
    work = clock(0.3).work
    assert timing.window(work, "cpu", 1.0) == (4, pytest.approx(1.2))


def test_steady_work_has_as_many_samples_as_asked_for(clock):
    assert len(measured(clock(0.05), repeats=7).seconds) == 7


def test_unsteady_work_has_more_until_the_interval_is_narrow(clock):
    noisy = [0.05, *(0.02 * factor for factor in (1, 1, 1, 1) + (1.3, 0.8, 1.2, 0.7, 1.1) + (1,) * 100)]
    found = measured(clock(*noisy), precision=0.01)
    assert 5 < len(found.seconds) < timing.MOST_SAMPLES
    assert timing.relative_width(found.seconds) <= 0.01
    assert timing.relative_width(found.seconds[:5]) > 0.01


def test_unsteady_work_ends_when_its_time_is_up(clock):
    forever = [0.05 * (1 + index % 2) for index in range(1000)]
    found = measured(clock(*forever))
    assert timing.MOST_SECONDS <= sum(found.seconds) < timing.MOST_SECONDS + 0.5
    assert timing.relative_width(found.seconds) > 0.01


def test_samples_are_never_more_than_a_table_should_hold(clock):
    assert len(measured(clock(*(0.006 * (1 + index % 2) for index in range(5000)))).seconds) == timing.MOST_SAMPLES


def test_a_deadline_cuts_repeats_but_not_below_the_fewest(clock):
    assert len(measured(clock(1.0), repeats=20, deadline=8.0).seconds) == 6 - 1  # two calls to warm up, one not begun
    assert len(measured(clock(1.0), repeats=20, deadline=0.0).seconds) == timing.FEWEST
    assert len(measured(clock(1.0), repeats=2, deadline=0.0).seconds) == 2


def test_every_sample_waits_for_the_device_before_and_after(clock, monkeypatch):
    told = []
    monkeypatch.setattr(timing, "synchronise", told.append)
    found = timing.measure(clock(0.1).work, "mps", 4, 1.0)
    assert told == ["mps"] * 2 * (found.warm_calls + 4)


def test_a_sleep_takes_as_long_as_it_takes():
    found = timing.measure(lambda: time.sleep(0.02), "cpu", 15, 0.001)
    assert min(found.seconds) == pytest.approx(0.02, rel=0.05)
    assert min(found.seconds) >= 0.02


def test_a_sleep_too_short_for_a_sample_is_right_too():
    found = timing.measure(lambda: time.sleep(0.001), "cpu", 15, 0.001)
    assert found.calls > 1
    assert 0.001 <= min(found.seconds) < 0.0013  # the system itself adds a twentieth of a millisecond


def test_collecting_garbage_is_put_off_and_taken_up_again():
    import gc

    states = []
    timing.measure(lambda: (states.append(gc.isenabled()), time.sleep(0.01)), "cpu", 3, 1.0)
    assert states
    assert not any(states)
    assert gc.isenabled()


def test_the_interval_covers_the_true_median_as_often_as_it_says():
    generator = np.random.default_rng(3)
    draws = generator.exponential(size=(400, 25))
    intervals = [timing.median_interval(draw) for draw in draws]
    covered = np.mean([low <= np.log(2) <= high for low, high in intervals])
    assert 0.92 <= covered <= 0.99


def test_the_interval_is_the_same_every_time_and_narrows():
    values = np.random.default_rng(4).normal(5, 1, 160)
    assert timing.median_interval(values) == timing.median_interval(list(values))
    assert timing.relative_width(values) < timing.relative_width(values[:10]) / 2
    low, high = timing.median_interval(values)
    assert low < np.median(values) < high
    assert timing.median_interval([2.0, 2.0, 2.0]) == (2.0, 2.0)
