"""A machine's peaks, on made-up machines that are slow at first, shared or never at rest, by a made-up clock."""

import math
import types
from collections.abc import Callable

import pytest
import torch

from harness import machine, peaks

RATES = {torch.float32: 1e11, torch.bfloat16: 2e11, torch.float16: 4e9}  # FLOP/s
BYTES_PER_SECOND = 5e10
STARTING = 1e-4  # of every call
QUIET_SECONDS = 0.7  # what the peaks of a quiet machine take


class Clock:
    """What a machine's calls take: `speed` gives, of a moment, the share of its rates that it reaches."""

    def __init__(self) -> None:
        self.now, self.used, self.calls = 0.0, 0.0, 0
        self.speed: Callable[[float], float] = lambda now: 1.0
        self.threads: Callable[[float], float] = lambda now: 2.0  # that compute
        self.waiting: Callable[[float], float] = lambda now: 0.0  # in every call
        self.slips: set[int] = set()  # calls that seem to take a tenth
        self.missing: set[torch.dtype] = set()

    def spend(self, seconds: float) -> None:
        taken = (seconds / self.speed(self.now) + self.waiting(self.now) + STARTING) * (
            1 + 0.005 * math.sin(self.calls)
        )
        taken *= 0.1 if self.calls in self.slips else 1
        self.calls += 1
        self.used += taken * self.threads(self.now)
        self.now += taken


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    told = Clock()

    def product(a: torch.Tensor, b: torch.Tensor) -> None:
        if a.dtype in told.missing:
            raise RuntimeError("not implemented")
        told.spend(2 * len(a) ** 3 / RATES[a.dtype])

    def copy(target: torch.Tensor, source: torch.Tensor) -> None:
        told.spend(2 * 2**27 / BYTES_PER_SECOND)

    monkeypatch.setattr(torch, "mm", product)
    monkeypatch.setattr(torch.Tensor, "copy_", copy)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    asked = types.SimpleNamespace(perf_counter=lambda: told.now, process_time=lambda: told.used)
    monkeypatch.setattr(peaks, "time", asked)
    return told


def is_right(found: dict[str, float | None]) -> bool:
    """Whether all are within a few per cent of what the machine reaches, and of what no call of it does."""
    rates = {f"peak_flops_{str(dtype).removeprefix('torch.')}": rate for dtype, rate in RATES.items()}
    wanted = {"peak_flops": rates.pop("peak_flops_float32"), **rates, "peak_bytes_per_second": BYTES_PER_SECOND}
    return found == {name: pytest.approx(rate, rel=0.035) for name, rate in wanted.items()}


def test_a_quiet_machine_is_measured_soon(clock: Clock) -> None:
    assert is_right(machine.peaks("cpu"))
    assert clock.now < QUIET_SECONDS


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.0, 4.0])
def test_a_machine_that_gets_faster_is_waited_for(clock: Clock, seconds: float) -> None:
    """As after an installation, while the disk is still written to."""
    clock.speed = lambda now: 0.6 + 0.4 * min(now / seconds, 1)
    assert is_right(machine.peaks("cpu"))
    assert clock.now < seconds + QUIET_SECONDS


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.0, 4.0])
def test_a_machine_that_others_compute_on_is_waited_for(clock: Clock, seconds: float) -> None:
    """Its rates are steady, and wrong: both threads have one processor, and wait for each other in every call."""
    clock.speed = lambda now: 0.5 if now < seconds else 1.0
    clock.waiting = lambda now: 8e-3 if now < seconds else 0.0  # for which small products seem large enough
    clock.threads = lambda now: 1.0 if now < seconds else 2.0
    assert is_right(machine.peaks("cpu"))
    assert seconds < clock.now < seconds + 1.5 * QUIET_SECONDS


def test_a_machine_that_is_never_at_rest_is_measured_all_the_same(clock: Clock) -> None:
    clock.speed, clock.threads = lambda now: 0.5, lambda now: 1.2
    assert machine.peaks("cpu")["peak_flops"] == pytest.approx(5e10, rel=0.035)
    assert clock.now == pytest.approx(peaks.MOST_SECONDS, abs=0.3)


def test_a_machine_that_gets_ever_faster_is_not_waited_for_for_ever(clock: Clock) -> None:
    clock.speed = lambda now: math.exp(now / 2)
    assert machine.peaks("cpu")
    assert clock.now == pytest.approx(peaks.MOST_SECONDS, abs=0.3)


@pytest.mark.parametrize("slip", [0, 2, 7, 20, 40])
def test_a_slip_of_the_clock_is_no_peak(clock: Clock, slip: int) -> None:
    clock.slips = {slip}
    assert is_right(machine.peaks("cpu"))


def test_a_format_that_the_device_lacks_has_no_peak(clock: Clock) -> None:
    clock.missing = {torch.float16}
    found = machine.peaks("cpu")
    assert found["peak_flops_float16"] is None
    assert found["peak_bytes_per_second"] == pytest.approx(BYTES_PER_SECOND, rel=0.035)


def test_the_threads_of_a_process_beside_a_gpu_say_nothing(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host waits there: nobody needs its processors."""
    clock.threads = lambda now: 0.1
    one = peaks.Kind(lambda size: ((lambda: clock.spend(0.01)), 1.0), 1, lambda: None)
    peaks.settle([one], 0)
    assert clock.now < QUIET_SECONDS
    assert one.rate == pytest.approx(100, rel=0.035)
