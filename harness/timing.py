"""The one stopwatch. No model and no measure has another.

A sample is the time of one call, from a device at rest to a device at rest. Calls shorter than `sample_seconds` are
repeated within a sample, so that neither the clock nor the wait for the device counts.

Warming up: calls are thrown away until three in a row are not faster than the fastest before them by more than 5%, for
`LEAST_WARM_SECONDS` at least; slow work is warm after two calls once `MOST_WARM_SECONDS` have passed.

Stopping: there are `repeats` samples at least, and then so many more at a time until the 95% interval of the median is
no wider, relative to the median, than `precision`. It also ends once `MOST_SECONDS` have been spent on samples, or
there are `MOST_SAMPLES`. Where a deadline would be missed it ends with fewer than `repeats`, but not with fewer than
`FEWEST`. `Timing.ended` says which of these it was; fewer than `FEWEST` samples are never precise.
"""

import dataclasses
import gc
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

SAMPLE_SECONDS = 0.005
QUEUED_SAMPLE_SECONDS = 0.05  # where a device works off a queue: of a GPU, start and wait take 5e-5 s
WARM_CALLS, WARM_GAIN = 3, 0.05
LEAST_WARM_SECONDS, MOST_WARM_SECONDS = 0.05, 2.0
MOST_SECONDS, MOST_SAMPLES = 2.0, 100
FEWEST = 3
RESAMPLES, LEVEL = 1000, 0.95  # of the interval of a median
ENDED = ("precision", "samples", "seconds", "deadline")  # why there are no more samples, the best first

Work = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds of one call of the work, sample by sample."""

    seconds: list[float]  # by the clock of the host, the device at rest before and after
    device_seconds: list[float]  # between two events on the device's own queue; empty off CUDA, which alone has them
    calls: int  # within one sample
    warm_calls: int  # thrown away before the first
    ended: str  # one of `ENDED`


def measure(work: Work, device: str, repeats: int, precision: float, deadline: float = math.inf) -> Timing:
    """Times `work` by the rules at the head of this file. `deadline` is a moment of `time.monotonic()`."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        best, warm_calls = warm_up(work, device, deadline)
        calls = max(1, math.ceil(sample_seconds(device) / max(best, 1e-9)))
        samples: list[tuple[float, float | None]] = []
        began, ended = time.monotonic(), None
        while ended is None:
            samples.append(_sample(work, calls, device))
            ended = _ended([host for host, _ in samples], repeats, precision, time.monotonic() - began, deadline)
    finally:
        if enabled:
            gc.enable()
    on_device = [seconds for _, seconds in samples if seconds is not None]
    return Timing([seconds for seconds, _ in samples], on_device, calls, warm_calls, ended)


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """The percentile bootstrap interval of the median, of 95%: the same for the same samples."""
    values = np.asarray(samples, dtype=float)
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(np.median(values[drawn], axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def relative_width(samples: Sequence[float]) -> float:
    """Of the median's interval, over the median."""
    low, high = median_interval(samples)
    return (high - low) / float(np.median(samples))


def sample_seconds(device: str) -> float:
    """How long one sample lasts at least."""
    return SAMPLE_SECONDS if device == "cpu" else QUEUED_SAMPLE_SECONDS


def synchronise(device: str) -> None:
    """Waits until the device has done all it was given."""
    if device != "cpu":
        import torch

        getattr(torch, device).synchronize()


def warm_up(work: Work, device: str, deadline: float) -> tuple[float, int]:
    """Warms up by the rule at the head of this file. The fastest call in seconds, and how many there were."""
    began, best, calls, steady = time.monotonic(), math.inf, 0, 0
    while True:
        seconds, _ = _sample(work, 1, device)
        calls += 1
        steady = steady + 1 if seconds > best * (1 - WARM_GAIN) else 0
        best = min(best, seconds)
        spent = time.monotonic() - began
        if time.monotonic() + (FEWEST + 1) * best > deadline:
            return best, calls
        if (steady >= WARM_CALLS and spent >= LEAST_WARM_SECONDS) or (calls > 1 and spent >= MOST_WARM_SECONDS):
            return best, calls


def window(work: Work, device: str, least_seconds: float) -> tuple[int, float]:
    """Calls one after the other until they have taken `least_seconds`: how many, and the seconds of all together."""
    synchronise(device)
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < least_seconds:
        work()
        synchronise(device)
        calls += 1
    return calls, time.perf_counter() - began


def _ended(samples: list[float], repeats: int, precision: float, spent: float, deadline: float) -> str | None:
    """Why these samples are enough; None where they are not."""
    late = len(samples) >= min(repeats, FEWEST) and time.monotonic() + 1.5 * max(samples[-3:]) > deadline
    slow, many = spent >= MOST_SECONDS, len(samples) >= max(repeats, MOST_SAMPLES)
    asked = len(samples) >= repeats and (slow or many or len(samples) % repeats == 0)
    if (asked or late) and len(samples) >= FEWEST and relative_width(samples) <= precision:
        return "precision"
    if late:
        return "deadline"
    if asked and (slow or many):
        return "seconds" if slow else "samples"
    return "samples" if asked and repeats < FEWEST else None  # as many as were asked for, too few to be precise


def _sample(work: Work, calls: int, device: str) -> tuple[float, float | None]:
    """Seconds of one call: the host's clock, and the device's own where it has one."""
    if device != "cuda":
        synchronise(device)
        began = time.perf_counter()
        for _ in range(calls):
            work()
        synchronise(device)
        return (time.perf_counter() - began) / calls, None
    import torch

    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    began = time.perf_counter()
    first.record()
    for _ in range(calls):
        work()
    last.record()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / calls, first.elapsed_time(last) / 1000 / calls
