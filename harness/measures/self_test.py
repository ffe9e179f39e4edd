"""How far off the harness itself is, on work whose answer is known: a pause, an allocation, a matrix product.

The pause ends at a moment of another clock than the stopwatch reads, where the system has one (CLOCK_MONOTONIC_RAW).
On CUDA it is a pause of the host between two events, which the device's queue has to reproduce. The product is 2 N^3
FLOPs; its rate stands beside the peak that this machine reached with the same kind of product when the run began.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.measures import Metric, NotApplicable, Progress, Sample
from harness.point import Point

if TYPE_CHECKING:
    from harness.bench import Bench

PAUSE_SECONDS, SPIN_SECONDS = 0.05, 0.002
ALLOCATED_BYTES = 256 * 2**20
SIZE = {"cpu": 1024, "mps": 4096, "cuda": 8192}  # N


class Measure:
    title = "Self-test"
    metrics = {
        "time_error": Metric("1", None, "measured time of a pause of 50 ms, over 50 ms, less 1"),
        "device_time_error": Metric("1", None, "the same by events on the device's queue; CUDA alone has them"),
        "memory_error": Metric("1", None, "measured peak of an allocation of 256 MiB, over 256 MiB, less 1"),
        "product_flops_per_second": Metric("FLOP/s", "higher", "of a matrix product of known FLOPs in float32"),
    }
    factors: tuple[str, ...] = ()
    trains = False
    reads_corpus = False

    def run(self, point: Point, bench: "Bench") -> Iterator[Sample | Progress]:
        import torch

        def allocate() -> None:
            torch.ones(ALLOCATED_BYTES, dtype=torch.uint8, device=point.device)

        with contextlib.suppress(NotApplicable):  # nothing counts it here: a gap, not a failure
            for repeat in range(point.repeats):
                peak = bench.peak(allocate)
                reached = peak.held_bytes
                yield Sample("memory_error", reached / ALLOCATED_BYTES - 1, repeat)
        a, b = (torch.randn(SIZE[point.device], SIZE[point.device], device=point.device) for _ in range(2))
        for repeat, seconds in enumerate(bench.time(lambda: a @ b).seconds):
            yield Sample("product_flops_per_second", 2.0 * SIZE[point.device] ** 3 / seconds, repeat)
        paused = bench.time(pause)
        for repeat, seconds in enumerate(paused.seconds):
            yield Sample("time_error", seconds / PAUSE_SECONDS - 1, repeat)
        for repeat, seconds in enumerate(paused.device_seconds):
            yield Sample("device_time_error", seconds / PAUSE_SECONDS - 1, repeat)


def pause() -> None:
    """Asleep but for the last bit, which a sleep would overrun."""
    clock = getattr(time, "CLOCK_MONOTONIC_RAW", getattr(time, "CLOCK_MONOTONIC", None))

    def now() -> float:
        return time.perf_counter() if clock is None else time.clock_gettime(clock)

    end = now() + PAUSE_SECONDS
    time.sleep(PAUSE_SECONDS - SPIN_SECONDS)
    while now() < end:
        pass
