"""How fast a machine is at its best: at products of matrices, and at a copy.

What has just ended or is still being written to disk, and clocks at rest, slow a machine down for seconds. So the kinds
of work take turns in short bursts until none gets faster; on a processor, until products have had it to themselves too:
with half of it the rates are as steady, and wrong.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

BURST_SECONDS, LEAST_SECONDS = 0.02, 0.004  # of one kind in a round, and of one call: all the rest must not count
FEWEST_CALLS = 3
RISE, CALM_ROUNDS = 1.02, 3  # a round is calm where no rate has risen by as much since the last one that was not
ALONE = 0.9  # of the threads, which two that share a processor do not reach
MOST_SECONDS = 6.0

Make = Callable[[int], tuple[Callable[[], Any], float]]  # of a size: what to call, and the FLOPs or bytes of a call


@dataclasses.dataclass
class Kind:
    """One kind of work, and how long its calls took at the size that it has come to."""

    make: Make
    size: int
    wait: Callable[[], Any]  # until the device is done
    taken: list[float] = dataclasses.field(default_factory=list)
    threads: float = 0.0  # how many computed in the last burst
    missing: bool = False

    def burst(self) -> None:
        """Calls it for a while. What is over too soon is made larger first, later too: the first calls may be slow."""
        if self.missing:
            return
        try:
            if not self.taken:
                self._at(self.size)
            while sorted(self.taken)[1] <= LEAST_SECONDS:
                self._at(self.size * 2)
            self._call(BURST_SECONDS)
        except (RuntimeError, TypeError):  # the device has no such numbers
            self.missing = True

    @property
    def rate(self) -> float | None:
        """That of the second fastest call: the very fastest may be a slip of the clock."""
        return None if self.missing else self.amount / sorted(self.taken)[1]

    def _at(self, size: int) -> None:
        self.size, self.taken = size, []
        self.work, self.amount = self.make(size)
        self._call(LEAST_SECONDS)

    def _call(self, spend: float) -> None:
        first, used = time.perf_counter(), time.process_time()
        while len(self.taken) < FEWEST_CALLS or time.perf_counter() < first + spend:
            began = time.perf_counter()
            self.work()
            self.wait()
            self.taken.append(time.perf_counter() - began)
        self.threads = (time.process_time() - used) / (time.perf_counter() - first)


def settle(kinds: list[Kind], threads: int) -> None:
    """Rounds of a burst each, until enough in a row were calm; the first kind's keep `threads` busy meanwhile."""
    end = time.perf_counter() + MOST_SECONDS
    before, calm = [0.0 for _ in kinds], 0
    while calm < CALM_ROUNDS and time.perf_counter() < end:
        for kind in kinds:
            kind.burst()
        rates = [kind.rate or 0.0 for kind in kinds]
        rose = any(rate > RISE * last for rate, last in zip(rates, before, strict=True))
        if rose or kinds[0].threads < ALONE * threads:
            before, calm = rates, 0
        else:
            calm += 1


def peaks(device: str) -> dict[str, float | None]:
    """The rates of the second fastest of some calls: of matrix products, FLOP/s, and of a copy, bytes per second."""
    import torch

    source = torch.ones(2**25, device=device)  # 128 MiB: beyond the caches
    target = torch.zeros_like(source)

    def product(dtype: torch.dtype, size: int) -> tuple[Callable[[], Any], float]:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        return functools.partial(torch.mm, a, b), 2.0 * size**3

    def copies(times: int) -> tuple[Callable[[], Any], float]:
        def work() -> None:
            for _ in range(times):
                target.copy_(source)

        return work, 2.0 * source.nbytes * times

    wait = (lambda: None) if device == "cpu" else getattr(torch, device).synchronize
    kinds = {
        "peak_flops": Kind(functools.partial(product, torch.float32), 1024, wait),
        "peak_flops_bfloat16": Kind(functools.partial(product, torch.bfloat16), 256, wait),
        "peak_flops_float16": Kind(functools.partial(product, torch.float16), 256, wait),
        "peak_bytes_per_second": Kind(copies, 1, wait),
    }
    settle(list(kinds.values()), torch.get_num_threads() if device == "cpu" else 0)
    return {name: kind.rate for name, kind in kinds.items()}
