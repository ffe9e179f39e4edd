"""Work that no revision changes, to tell a change of the code from one of the machine.

It runs in the checkout that the gate runs in, whichever side it stands for: a matrix product, as most of a model's time
is, and element-wise operations over more than a cache holds, as most of the rest is.
"""

from collections.abc import Iterator

from harness import worker
from harness.errors import UserError

WIDTH, ELEMENTS = 384, 2**20
REPEATS = 9
LIMIT_SECONDS = 60.0


def measure(device: str) -> list[float]:
    """Milliseconds of the work, sample by sample, in a fresh process. Raises UserError where it cannot run at all."""
    outcome = worker.start(timed, (device,), LIMIT_SECONDS, None)
    if outcome.status != "ok":
        raise UserError(f"the control cannot run on {device}: {outcome.reason}\n{outcome.output}".rstrip())
    return [1000 * seconds for seconds in outcome.rows]


def timed(device: str) -> Iterator[float]:
    """Seconds of one piece of work, sample by sample."""
    import torch

    from harness import timing

    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(WIDTH, WIDTH, generator=generator).to(device)
    numbers = torch.randn(ELEMENTS, generator=generator).to(device)

    def work() -> None:
        for _ in range(4):
            torch.sigmoid(matrix @ matrix)
        torch.exp(numbers).mul_(numbers).sum()

    yield from timing.measure(work, device, REPEATS, precision=1.0).seconds
