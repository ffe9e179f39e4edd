"""What the Triton programs of RWKV must do, as cases that give relative errors: interpreted on a CPU, and on a GPU.

    TRITON_INTERPRET=1 python -m tests.wkv_kernels     every case in float32 on the CPU, as JSON

Letters: B batch, T tokens, C channels, L tokens of a segment. The oracle is WKV's definition, step by step, in float64.
"""

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from models import _token_shift, _wkv
from tests.cases import each, interpreted_only, off, poisoned

NAMES = ("y", "p", "q", "dk", "dv", "dw", "du", "dm", "dp", "dq")


@dataclasses.dataclass(frozen=True)
class Case:
    """Sizes all different, and no segment, no number of tokens on their way and no block of channels divides them.

    Keys are `spread` times normal, around `offset`; the first `padded` of every second sequence are no keys at all.
    """

    B: int = 1
    T: int = 37
    C: int = 21
    L: int | None = None
    spread: float = 2.0
    offset: float = 0.0
    padded: int = 0
    state: bool = True
    slow: float = 1.0  # by which every decay is multiplied
    ends: bool = True  # whether the last state has gradients
    rates: bool = True  # else w = u = 0 and neither has gradients: AFT-simple


CASES = {
    "one segment": Case(),
    "one token": Case(T=1, C=7),
    "one token, no state": Case(T=1, C=7, state=False, ends=False),
    "segments": Case(L=16),
    "segments, no state": Case(L=16, T=41, state=False, ends=False),
    "whole segments": Case(L=16, T=48, C=9),
    "longer segments": Case(L=32, T=70, C=5),
    "blocks of channels": Case(B=2, T=18, C=70, L=16),
    "padding": Case(B=2, T=43, L=16, padded=20, state=False),
    "keys of fifty": Case(L=16, spread=50.0),
    "keys around a thousand": Case(L=16, T=53, offset=1000.0, slow=1e-2),
    "no decay": Case(L=16, slow=0.0),
    "AFT-simple": Case(B=2, L=16, state=False, rates=False),
}


def inputs(case: Case, device: str, dtype: torch.dtype) -> list[Tensor]:
    """k, v, w, u and the state. k and v are parts of one tensor, as a projection leaves them."""
    made = torch.Generator().manual_seed(case.T * case.C)
    B, T, C = case.B, case.T, case.C

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=made)

    fused = random(B, T, 3 * C)
    k, v, _ = fused.chunk(3, -1)
    k.mul_(case.spread).add_(case.offset)
    k[::2, : case.padded] = _wkv.NOTHING
    k, v, _ = fused.to(device, dtype).chunk(3, -1)
    w, u = -torch.exp(2 * random(C)) * case.slow, random(C)
    state = [x.cpu() for x in _wkv.empty(B, C, v.float())]
    if case.state:
        state = [random(B, C) + case.offset, random(B, C), 0.1 + torch.rand(B, C, generator=made)]
    if not case.rates:
        w, u = torch.zeros(2, C)
    given = [x.detach().to(device).requires_grad_() for x in (k, v, w, u, *state)]
    return given if case.rates else [x.requires_grad_(x is not given[2] and x is not given[3]) for x in given]


def results(run: Callable[..., Any], case: Case, given: list[Tensor], unit: Tensor) -> list[Tensor]:
    """Outputs, the last state in units of e^unit, and the gradient of everything that was given, or zeros."""
    made = torch.Generator().manual_seed(case.T)
    y, (m, p, q) = run(*given[:4], tuple(given[4:]))
    y = torch.where(given[0] > _wkv.NOTHING / 2, y, 0)  # what is not a key has an output, but nobody asks for it
    dy, dp, dq = (torch.randn(x.shape, generator=made).to(x.device, x.dtype) for x in (y, p, q))
    scale = (m.detach().double() - unit).exp()
    outcomes, back = ((y, p, q), (dy, dp * scale.to(p.dtype), dq * scale.to(q.dtype))) if case.ends else ((y,), (dy,))
    learned = [x for x in given if x.requires_grad]
    found = dict(zip(learned, torch.autograd.grad(outcomes, learned, back, materialize_grads=True), strict=True))
    return [y, p * scale, q * scale, *(found.get(x, torch.zeros_like(x)) for x in given)]


def oracle(case: Case, given: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    """The results of the definition in float64, and the unit of its last state."""
    exact = [x.detach().double().requires_grad_(x.requires_grad) for x in given]

    def run(*arguments: Any) -> Any:
        return _wkv.wkv(*arguments, "recurrent")

    unit = run(*exact[:4], tuple(exact[4:]))[1][0].detach()
    return results(run, case, exact, unit), unit


@poisoned()
def errors(case: Case, device: str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """Relative error of the outputs, the last state and each gradient; and of outputs where no gradients are wanted."""
    from models._kernels import wkv

    given = inputs(case, device, dtype)
    right, unit = oracle(case, given)
    got = results(lambda *arguments: wkv.wkv(*arguments, case.L), case, given, unit)
    with torch.no_grad():
        alone, _ = wkv.wkv(*given[:4], tuple(given[4:]), case.L)
        alone = torch.where(given[0] > _wkv.NOTHING / 2, alone, 0)
    pairs = zip((*NAMES, "y alone"), (*got, alone), (*right, right[0]), strict=True)
    return {name: off(a, b) for name, a, b in pairs if a.any() or b.any()}


@poisoned()
def shift_errors(device: str = "cpu", dtype: torch.dtype = torch.float32, D: int = 300) -> dict[str, float]:
    """Of token shift: the blends, and the gradients of tokens, of the ones before them and of the shares."""
    from models._kernels import token_shift

    found = {}
    for B, T, N in ((2, 19, 3), (1, 1, 2), (3, 11, 2)):
        made = torch.Generator().manual_seed(T)
        shapes = (B, T, D), (B, D), (N, D)
        given = [torch.randn(shape, generator=made).to(device, dtype).requires_grad_() for shape in shapes]
        exact = [x.detach().double().requires_grad_() for x in given]
        dy = [torch.randn(B, T, D, generator=made).to(device, dtype) for _ in range(N)]
        y = token_shift.blend(*given)
        got = torch.autograd.grad(y, given, dy)
        right = _token_shift.Blend.apply(*exact)
        wanted = torch.autograd.grad(right, exact, [x.double() for x in dy])
        names = (*(f"blend {n}" for n in range(N)), "dx", "dfirst", "dmix")
        pairs = zip(names, (*y, *got), (*right, *wanted), strict=True)
        found |= {f"{name}, {T} tokens": off(a, b) for name, a, b in pairs}
    return found


if __name__ == "__main__":
    interpreted_only()
    work = {name: partial(errors, case) for name, case in CASES.items()}
    print(json.dumps(each(work | {"token shift": shift_errors})))
