"""What the Triton programs that take whole rows must do, as cases that give relative errors: see `tests.kernels`.

    TRITON_INTERPRET=1 python -m tests.row_kernels     every case in float32 on the CPU, as JSON

Letters: N rows, V logits of a row, D numbers of a row that is normed. Memory is poisoned before: a number that no
program writes is not a number.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.kernels import off

LOGITS = {"one block": (5, 37), "several": (3, 301), "a whole one": (4, 256), "one row": (1, 129)}
NORMS = {"RMS": (7, 40, False), "layer": (7, 40, True), "long rows": (3, 2100, True), "one row": (1, 64, False)}


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


def norm_errors(
    N: int, D: int, centred: bool, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> dict[str, float]:
    """Of a sum and its norm, and of the gradients of both and of either, whose rows are not neighbours."""
    from models._kernels.norm import add_norm

    made = torch.Generator().manual_seed(N * D)
    x, delta = (torch.randn(2, N, 2 * D, generator=made).to(device, dtype)[..., :D] for _ in range(2))
    given = [x + 0.5, delta, *(torch.randn(D, generator=made).to(device, dtype) for _ in range(1 + centred))]
    given = [each.detach().requires_grad_() for each in given]
    back = [torch.randn(2, N, D, generator=made).to(device, dtype) for _ in range(2)]

    def ours(x: Tensor, delta: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
        return add_norm(x, delta, rest[0], rest[1] if centred else None, 1e-3, centred)

    def right(x: Tensor, delta: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
        total = x + delta
        return total, (F.layer_norm if centred else F.rms_norm)(total, (D,), *rest, eps=1e-3)

    exact = [each.detach().double().requires_grad_() for each in given]
    found = {}
    with poisoned():
        for name, wanted in (("both", (0, 1)), ("sum", (0,)), ("norm", (1,))):
            told = []
            for run, inputs in ((ours, given), (right, exact)):
                outputs = run(*inputs)
                dy = [back[i].to(inputs[0].dtype) for i in wanted]
                gradients = torch.autograd.grad([outputs[i] for i in wanted], inputs, dy, allow_unused=True)
                told.append([*outputs, *(g for g in gradients if g is not None)])
            pairs = zip(("sum", "norm", "dx", "ddelta", "dweight", "dbias"), *told, strict=False)
            assert len(told[0]) == len(told[1]), "a gradient of what was not used"
            found |= {f"{each} of {name}": off(a, b) for each, a, b in pairs}
        with torch.no_grad():
            assert all(map(torch.equal, ours(*given), told[0])), "without gradients the same"
    return found


if __name__ == "__main__":
    if os.environ.get("TRITON_INTERPRET") != "1":
        sys.exit("set TRITON_INTERPRET=1: without a GPU only Triton's interpreter runs these")
    from models._kernels import cross_entropy, norm

    cross_entropy.NUMBERS = 128  # so that rows of few numbers are of several blocks
    told = {f"loss, {name}": loss_errors(*sizes) for name, sizes in LOGITS.items()}
    norm.NUMBERS, norm.EACH = 128, 2  # so that one program takes several blocks of rows
    told |= {f"norm, {name}": norm_errors(*case) for name, case in NORMS.items()}
    print(json.dumps(told | {"without a target": without_a_target()}))
