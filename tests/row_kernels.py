"""What the Triton programs that take whole rows must do, as cases that give relative errors against float64.

    TRITON_INTERPRET=1 python -m tests.row_kernels     every case in float32 on the CPU, as JSON

Letters: N rows, V logits of a row, D numbers of a row that is normed.
"""

import json
import tempfile
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from models import _rotary
from tests.cases import each, interpreted_only, off, poisoned

LOGITS = {"one block": (5, 37), "several": (3, 301), "a whole one": (4, 256), "one row": (1, 129)}
NORMS = {"RMS": (7, 40, False), "layer": (7, 40, True), "long rows": (3, 2100, True), "one row": (1, 64, False)}


@poisoned()
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
    alone, found = (cross_entropy.losses(logits, targets, wanted) for wanted in (False, True))
    assert torch.equal(alone, found), "the first did not overwrite the logits"
    return {"losses": off(found, right), "gradient": off(logits, gradient)}


def without_a_target() -> list[float]:
    """Losses of rows whose targets are none, between two that have one."""
    from models._kernels import cross_entropy

    return cross_entropy.losses(torch.zeros(4, 7), torch.tensor([0, 7, -1, 6]), False).tolist()


@poisoned()
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


@poisoned()
def turn_errors(device: str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """Of the rotation: heads after tokens, tokens after heads, positions of each sequence, and two axes."""
    from models._kernels import rotation

    found = {}
    shapes = {"BTHK": (5, 1, 12), "BHTK": (5, 12), "B1TK": (2, 1, 5, 12), "TK": (7, 12)}
    for name, shape in shapes.items():
        made = torch.Generator().manual_seed(len(name))
        x = torch.randn((7, 24) if name == "TK" else (2, 5, 3, 24), generator=made).to(device, dtype)
        x = (x.transpose(1, 2) if name in ("BHTK", "B1TK") else x).requires_grad_()
        turns = torch.polar(torch.ones(shape), torch.randn(shape, generator=made)).to(device)
        exact = x.detach().double().requires_grad_()
        y, right = rotation.turned(x, turns), _rotary.turned(exact, turns.to(torch.complex128))
        dy = torch.randn(y.shape, generator=made).to(device, dtype)
        found[name] = off(y, right)
        found[f"d{name}"] = off(*(torch.autograd.grad(a, b, dy.to(a.dtype))[0] for a, b in ((y, x), (right, exact))))
    return found


@poisoned()
def gate_errors(device: str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """Of the gate with and without a norm, its rows no neighbours, in one input by groups; of sigmoid and square."""
    from models._kernels import elementwise

    found = {}
    for eps, silu in ((None, True), (1e-3, True), (None, False)):
        made = torch.Generator().manual_seed(5)
        g, x = (torch.randn(shape, generator=made).to(device, dtype) for shape in ((3, 5, 130), (3, 5, 4, 40)))
        g, x = g[..., 40:120].unflatten(-1, (2, 40)), x[:, :, ::2]
        given = [g.detach().requires_grad_(), x.detach().requires_grad_()]
        exact = [z.detach().double().requires_grad_() for z in given]
        y = elementwise.gated(*given, eps, silu)
        opened = F.silu(exact[0]) if silu else torch.sigmoid(exact[0])
        right = opened * (exact[1] if eps is None else F.rms_norm(exact[1], (40,), None, eps))
        dy = torch.randn(y.shape, generator=made).to(device, dtype)
        got, wanted = torch.autograd.grad(y, given, dy), torch.autograd.grad(right, exact, dy.double())
        pairs = zip(("y", "dg", "dx"), (y, *got), (right, *wanted), strict=True)
        found |= {f"{name}, eps {eps}, silu {silu}": off(a, b) for name, a, b in pairs}
    y, right = elementwise.squared_relu(given[0]), exact[0].relu().square()
    got, wanted = torch.autograd.grad(y, given[0], dy), torch.autograd.grad(right, exact[0], dy.double())
    return found | {"square": off(y, right), "d square": off(*got, *wanted)}


def far_apart() -> dict[str, float]:
    """Of gates and quotients whose rows are further apart in memory than 32 bits count, beside those of neighbours."""
    from models._kernels import elementwise

    found, made = {}, torch.Generator().manual_seed(7)
    with tempfile.TemporaryDirectory() as folder:  # a file with holes: what is between the rows takes no room
        memory = torch.from_file(f"{folder}/rows", shared=True, size=2**31 + 40, dtype=torch.float16)
        far = memory.as_strided((1, 3, 40), (0, 2**30, 1)).copy_(torch.randn((1, 3, 40), generator=made))
        near = far.clone()
        for name, work in {
            "gate": lambda x: elementwise.gated(x, x, silu=False),
            "norm": lambda x: elementwise.gated(x, x, 1e-3),
            "quotient": lambda x: elementwise.quotient(x, near[..., :1].abs().float(), 0.1),
        }.items():
            inputs = [x.detach().requires_grad_() for x in (far, near)]
            outputs = [work(x) for x in inputs]
            back = [torch.autograd.grad(y, x, near)[0] for y, x in zip(outputs, inputs, strict=True)]
            found |= {name: off(*outputs), f"d {name}": off(*back)}
    return found


@poisoned()
def quotient_errors(device: str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """Of rows that are no neighbours, or of longer ones that a total of their type ends."""
    from models._kernels import elementwise

    found, made = {}, torch.Generator().manual_seed(6)
    for K, exact_total in ((40, True), (5000, False)):
        x = torch.randn(2, 3, 4, K + 1, generator=made).to(device, dtype)
        total = x[..., K:].float() if exact_total else x[..., K:]
        given = [x[:, :, ::2, :K].detach().requires_grad_(), total[:, :, ::2].abs().detach().requires_grad_()]
        exact = [z.detach().double().requires_grad_() for z in given]
        y, right = elementwise.quotient(*given, 0.1), exact[0] / (exact[1] + 0.1)
        dy = torch.randn(y.shape, generator=made).to(device, dtype)
        got, wanted = torch.autograd.grad(y, given, dy), torch.autograd.grad(right, exact, dy.double())
        pairs = zip(("y", "dx", "dtotal"), (y, *got), (right, *wanted), strict=True)
        found |= {f"{name}, {K}": off(a, b) for name, a, b in pairs}
    return found


if __name__ == "__main__":
    interpreted_only()
    from models._kernels import cross_entropy, norm

    cross_entropy.NUMBERS = 128  # so that rows of few numbers are of several blocks
    work = {f"loss, {name}": partial(loss_errors, *sizes) for name, sizes in LOGITS.items()}
    norm.NUMBERS, norm.EACH = 128, 2  # so that one program takes several blocks of rows
    work |= {f"norm, {name}": partial(norm_errors, *case) for name, case in NORMS.items()}
    work |= {"rotation": turn_errors, "gates": gate_errors, "quotients": quotient_errors, "far": far_apart}
    print(json.dumps(each(work | {"without a target": without_a_target})))
