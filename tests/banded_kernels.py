"""What the Triton programs of AFT's windows must do, as cases that give relative errors: interpreted, and on a GPU.

    TRITON_INTERPRET=1 python -m tests.banded_kernels     every case in float32 on the CPU, as JSON

Letters: B batch, T tokens, H heads, D channels, W window, L tokens of a segment. The oracle is the definition, one
token after the other, in float64.
"""

import dataclasses
import json
from functools import partial
from unittest import mock

import torch
from torch import Tensor

from models import _kernels, _window, _wkv
from models._biases import Biases
from models._state import Call
from tests.cases import each, interpreted_only, off, poisoned


@dataclasses.dataclass(frozen=True)
class Case:
    """Sizes all different, and no block, segment or tile of channels divides them, but where a case says so.

    Keys are `spread` times normal, around `offset`, and grow by `rise` a token; the first `padded` of every second
    sequence are no keys at all. `seen`: tokens before these, given as a state.
    """

    B: int = 2
    T: int = 75
    H: int = 3
    D: int = 60
    W: int = 12
    L: int | None = None
    spread: float = 2.0
    offset: float = 0.0
    rise: float = 0.0
    padded: int = 0
    seen: int | None = None


CASES = {
    "one segment": Case(),
    "two tokens": Case(T=2, D=21),
    "a window of one": Case(W=1, T=37),
    "a window of a block": Case(W=16, T=41, B=1),
    "a window of two blocks": Case(W=32, T=101, D=18),
    "a long window": Case(W=50, T=150, B=1, D=9),
    "segments": Case(L=16),
    "segments, a block more": Case(L=32, T=74, B=1),
    "whole segments": Case(L=32, T=64, D=12, H=2),
    "segments, a window of two blocks": Case(W=27, L=64, T=230, B=1, D=9),
    "a block": Case(T=16, B=1, D=9),
    "two blocks": Case(T=32, B=1, D=9),
    "all tokens and channels there": Case(T=32, D=64, H=1),
    "all there in segments": Case(T=96, D=128, H=2, B=1, W=20, L=32),
    "tiles of channels": Case(T=40, D=150, H=2, L=16),
    "padding": Case(padded=37, L=16),
    "keys of ten": Case(spread=10.0, L=16),
    "keys that rise": Case(rise=0.7, L=16, T=150, B=1),
    "keys that fall": Case(rise=-0.7, L=16, T=150, B=1),
    "keys around a thousand": Case(offset=1000.0, L=16),
    "goes on": Case(seen=40, L=16),
    "goes on from few": Case(seen=3, T=30),
    "goes on from nothing": Case(seen=0, T=30, L=16),
    "goes on by whole segments": Case(seen=9, T=53, D=64, H=1, L=32),
    "goes on by one token": Case(seen=20, T=1),
}


def inputs(case: Case, device: str, dtype: torch.dtype) -> list[Tensor]:
    """k, v and the table, of what was seen before too. k and v are parts of one tensor, as a projection leaves them."""
    made = torch.Generator().manual_seed(case.T * case.W)
    length = case.T + (case.seen or 0)
    fused = torch.randn(case.B, length, 3 * case.D, generator=made)
    k = fused[..., case.D : 2 * case.D]
    k.mul_(case.spread).add_(case.offset).add_(case.rise * torch.arange(length)[:, None])
    k[::2, : case.padded] = _wkv.NOTHING
    _, k, v = fused.to(device, dtype).chunk(3, -1)
    table = torch.randn(case.H, case.W, generator=made).to(device, dtype)
    return [x.detach().requires_grad_() for x in (k, v, table)]


def averages(case: Case, given: list[Tensor], form: str) -> tuple[Tensor, dict[str, Tensor]]:
    """The outputs of all but what was seen, by `_window` in this form, and the state after."""
    k, v, table = given
    biases, seen = Biases(case.H, case.W, 1, None), case.seen or 0
    del biases.table
    biases.table = table  # type: ignore[assignment]
    state: dict[str, Tensor] = {}
    keep = case.seen is not None
    call = Call(form, torch.arange(k.shape[1], device=k.device), None, None, 0, keep, None)
    if keep:
        state = _window.nothing(case.W, k[:, :1], torch.promote_types(k.dtype, torch.float32))
        before = dataclasses.replace(call, form="recurrent", positions=call.positions[:seen])
        if seen:
            _window.averages(biases, k[:, :seen], v[:, :seen], before, state, None, "torch")
    call = dataclasses.replace(call, positions=call.positions[seen:])
    return _window.averages(biases, k[:, seen:], v[:, seen:], call, state, None, "auto"), state


def results(case: Case, given: list[Tensor], form: str) -> dict[str, Tensor]:
    """Outputs, and the state after where one is kept, else every gradient."""
    keep = case.seen is not None
    with torch.set_grad_enabled(not keep):
        y, state = averages(case, given, form)
    there = given[0][:, case.seen or 0 :] > _wkv.NOTHING / 2  # what is no key has an output, but nobody asks for it
    y = torch.where(there.to(y.device), y, 0)
    if keep:
        return {"y": y} | {name: state[name] for name in _window.HELD}
    dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(case.T)).to(y)
    return {"y": y} | dict(zip(("dk", "dv", "dw"), torch.autograd.grad(y, given, dy), strict=True))


@poisoned()
def errors(case: Case, device: str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """Relative error of each result by the programs."""
    given = inputs(case, device, dtype)
    exact = [x.detach().double().requires_grad_() for x in given]
    from models._kernels import banded

    cut = {"return_value": case.L} if case.L else {"wraps": banded.segment}
    with mock.patch.object(_kernels, "usable", return_value=True), mock.patch.object(banded, "segment", **cut):
        got = results(case, given, "chunkwise")
    right = results(case, exact, "recurrent")
    return {name: off(got[name], right[name]) for name in got if got[name].any() or right[name].any()}


if __name__ == "__main__":
    interpreted_only()
    print(json.dumps(each({name: partial(errors, case) for name, case in CASES.items()})))
