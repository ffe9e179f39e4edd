"""What the Triton programs of linear attention's running sums must do, as cases that give relative errors.

    TRITON_INTERPRET=1 python -m tests.totals_kernels     every case in float32 on the CPU, as JSON

Letters: B batch, T tokens, H heads, F features of one, L tokens of a segment. The oracle is torch's running sum in
float64.
"""

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from models import _kernels, _sums
from tests.cases import each, interpreted_only, off, poisoned


@dataclasses.dataclass(frozen=True)
class Case:
    """Sizes all different, and no segment, no number of tokens on their way and no tile of features divides them."""

    B: int = 1
    T: int = 63
    H: int = 3
    F: int = 24
    L: int | None = None
    state: bool = True
    keep: bool = True  # whether the last z is kept, and has gradients
    apart: bool = False  # whether queries and keys stand by themselves, with heads before tokens


CASES = {
    "one segment": Case(),
    "one token": Case(T=1, F=10),
    "one token, no state": Case(T=1, F=10, state=False, keep=False),
    "whole reads": Case(T=64, B=2),
    "segments": Case(L=16),
    "segments, no state": Case(L=16, T=41, state=False, keep=False),
    "segments that end in z": Case(L=16, T=33, B=2, state=False),
    "segments from a state": Case(L=16, T=47, keep=False),
    "whole segments": Case(L=32, T=64, F=40),
    "longer segments": Case(B=2, T=200, L=48, F=16, H=9),
    "many segments": Case(T=150, L=16, H=1, F=5),
    "features in parts": Case(B=2, T=19, H=2, F=130, L=16),
    "heads before tokens": Case(B=2, T=21, L=16, apart=True),
}


def inputs(case: Case, device: str, dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
    """q and k, parts of one tensor as a feature map leaves them, and z; and the gradients of totals and the last z."""
    made = torch.Generator().manual_seed(case.T * case.F)
    B, T, H, F = case.B, case.T, case.H, case.F
    phi = torch.rand(B, T, 2 * H, F, generator=made).to(device, dtype)
    q, k = phi.chunk(2, 2)
    if case.apart:
        q, k = (x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k))
    z = [torch.rand(B, H, F, generator=made).to(device)] if case.state else []
    back = [torch.randn(shape, generator=made).to(device) for shape in ((B, T, H, 1), (B, H, F))]
    return [x.detach().requires_grad_() for x in (q, k, *z)], back


def results(run: Callable[..., Any], case: Case, given: list[Tensor], back: list[Tensor]) -> dict[str, Tensor]:
    """Totals, the last z where it is kept, and the gradient of everything that was given."""
    q, k, *z = given
    total, last = run(q, k, z[0] if z else None, case.keep)
    assert (last is not None) == case.keep
    outcomes = [total, last] if case.keep else [total]
    backs = [x.to(out.dtype) for x, out in zip(back, outcomes, strict=False)]
    gradients = torch.autograd.grad(outcomes, given, backs)
    return dict(zip(("total", "z"), outcomes, strict=False)) | dict(zip(("dq", "dk", "dz"), gradients, strict=False))


def right(
    q: Tensor, k: Tensor, z: Tensor | None, keep: bool, implementation: str = "torch"
) -> tuple[Tensor, Tensor | None]:
    state = {} if z is None else {"z": z}
    total = _sums.totals(q, k, keep, state, implementation)
    return total, state["z"] if keep else None


def oracle(case: Case, given: list[Tensor], back: list[Tensor]) -> dict[str, Tensor]:
    return results(right, case, [x.detach().double().requires_grad_() for x in given], back)


@poisoned()
def errors(case: Case, device: str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """Of totals, the last z and each gradient; of totals without gradients; and of gradients of either alone."""
    from models._kernels import totals

    def run(q: Tensor, k: Tensor, z: Tensor | None, keep: bool) -> tuple[Tensor, Tensor | None]:
        if case.L is not None:
            return totals.totals(q, k, z, keep, case.L)
        with mock.patch.object(_kernels, "usable", return_value=True):  # also where there is no GPU
            return right(q, k, z, keep, "auto")

    given, back = inputs(case, device, dtype)
    got, wanted = results(run, case, given, back), oracle(case, given, back)
    assert all(got[f"d{x}"].dtype == each.dtype for x, each in zip("qkz", given, strict=False))
    with torch.no_grad():
        got["total alone"], _ = run(given[0], given[1], given[2] if case.state else None, False)
    wanted["total alone"] = wanted["total"]
    if case.keep:  # nobody asks for the totals
        exact = [x.detach().double().requires_grad_() for x in given]
        for found, way, each in ((got, run, given), (wanted, right, exact)):
            _, last = way(*each[:2], each[2] if case.state else None, True)
            (found["dk of z"],) = torch.autograd.grad(last, each[1], back[1].to(last.dtype))
    return {name: off(got[name], wanted[name]) for name in wanted}


if __name__ == "__main__":
    interpreted_only()
    from models._kernels import totals

    totals.ROWS = 4  # so that few segments are carried in several blocks
    print(json.dumps(each({name: partial(errors, case) for name, case in CASES.items()})))
