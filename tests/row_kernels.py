"""What the Triton programs that take whole rows must do, as cases that give relative errors: see `tests.kernels`.

    TRITON_INTERPRET=1 python -m tests.row_kernels     every case in float32 on the CPU, as JSON

Letters: N rows, V logits of a row. Memory is poisoned before: a number that no program writes is not a number.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator

import torch
from torch.nn import functional as F

from tests.kernels import off

LOGITS = {"one block": (5, 37), "several": (3, 301), "a whole one": (4, 256), "one row": (1, 129)}


@contextlib.contextmanager
def poisoned() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)  # fills what is allocated and not written with what is not a number
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def loss_errors(N: int, V: int, device: str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """Of the losses of rows, and of their gradients, whose rows are not neighbours; targets at both ends."""
    from models._kernels import cross_entropy

    made = torch.Generator().manual_seed(N * V)
    logits = (3 * torch.randn(N, 2, V, generator=made)).to(device, dtype)[:, 1]
    logits[0, :2] += 90.0  # no exponential of it is a float16, and of the rest nothing is left
    targets = torch.randint(0, V, (N,), generator=made).to(device)
    targets[0], targets[-1] = 1, V - 1
    exact = logits.double().requires_grad_()
    right = F.cross_entropy(exact, targets, reduction="none")
    (gradient,) = torch.autograd.grad(right.sum(), exact)
    with poisoned():
        alone, found = (cross_entropy.losses(logits, targets, wanted) for wanted in (False, True))
    assert torch.equal(alone, found), "the first did not overwrite the logits"
    return {"losses": off(found, right), "gradient": off(logits, gradient)}


def without_a_target() -> list[float]:
    """Losses of rows whose targets are none, between two that have one."""
    from models._kernels import cross_entropy

    return cross_entropy.losses(torch.zeros(4, 7), torch.tensor([0, 7, -1, 6]), False).tolist()


if __name__ == "__main__":
    if os.environ.get("TRITON_INTERPRET") != "1":
        sys.exit("set TRITON_INTERPRET=1: without a GPU only Triton's interpreter runs these")
    from models._kernels import cross_entropy

    cross_entropy.NUMBERS = 128  # so that rows of few numbers are of several blocks
    told = {f"loss, {name}": loss_errors(*sizes) for name, sizes in LOGITS.items()}
    print(json.dumps(told | {"without a target": without_a_target()}))
