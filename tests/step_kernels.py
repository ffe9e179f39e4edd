"""What one token of retention must do by a Triton program, as cases that give relative errors against float64.

Letters: B rows, H heads, K keys, V values.
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator

import torch

from models import _retention, _rotary, _rounding
from tests.cases import off, poisoned


@dataclasses.dataclass(frozen=True)
class Step:
    B: int = 2
    H: int = 3
    K: int = 32
    V: int = 40
    turned: str | None = "shared"  # or "each", a row for each sequence
    decay: bool = True


STEPS = {
    "shared rotation": Step(),
    "a rotation of each sequence": Step(turned="each", K=24),
    "no rotation, no decay": Step(turned=None, decay=False, K=20, V=33),
}
ROUNDED = {
    "a rotation of each sequence": Step(turned="each", K=150),
    "no rotation, no decay": Step(turned=None, decay=False, K=70, V=33),
}


@poisoned()
def step_errors(
    case: Step, device: str = "cpu", dtype: torch.dtype = torch.float32, held: torch.dtype = torch.float32
) -> dict[str, float]:
    from models._kernels import step

    made = torch.Generator().manual_seed(case.K + case.V)
    B, H, K, V = case.B, case.H, case.K, case.V
    qkv = torch.randn(B, H * (2 * K + V) + 16, generator=made).to(device, dtype)
    state = torch.randn(B, H, K, V, generator=made).to(device, held)
    gamma = torch.tensor([0.9, 1.0, 0.5][:H], device=device)[:, None, None] if case.decay else None
    turn = None
    if case.turned is not None:
        rows = 1 if case.turned == "shared" else B
        turn = torch.polar(torch.ones(2, rows, K // 2), torch.randn(2, rows, K // 2, generator=made)).to(device)
        turn[1] *= K**-0.5
    q, k, v = qkv[:, : H * (2 * K + V)].double().split([H * K, H * K, H * V], 1)
    q, k = (x.reshape(B, H, K) for x in (q, k))
    if turn is None:
        k = k * K**-0.5
    else:
        q, k = (_rotary.turned(x, t.unsqueeze(1).to(torch.complex128)) for x, t in zip((q, k), turn, strict=True))
    S = state.double()
    right = _retention.step_(q, k, v.reshape(B, H, V), None if gamma is None else gamma.double(), S)
    o = step.step_(qkv, turn, K**-0.5, gamma, state, torch.tensor([7], device=device))
    return {"o": off(o, right), "state": off(state, S)}


@poisoned()
def rounding_errors(device: str = "cpu") -> dict[str, float]:
    """How many numbers of a state that only decays are rounded in another way than `_rounding` does, of all.

    Where what is read is NaN, those of all keys are to be NaN. `in passes` are those of a large state.
    """
    from models._kernels import step

    told = {}
    for position, K, passes in itertools.product((0, 7, 99_999), (40, 150), (False, True)):
        state = torch.randn(2, 3, K, 33, generator=torch.Generator().manual_seed(position)).to(device, torch.bfloat16)
        state[0, 0, K - 1, :4] = torch.tensor([torch.nan, -torch.nan, torch.inf, -torch.inf])
        gamma = torch.tensor([0.9, 1 - 2**-9, 0.5], device=device)[:, None, None]
        at = torch.tensor([position, 3], device=device)
        wanted = _rounding.dithered(state.float() * gamma, at[0])
        wanted[0, 0, :, :2] = torch.nan
        qkv = torch.cat([torch.ones(2, 3 * K, device=device), torch.zeros(2, 3 * (K + 33), device=device)], 1)
        with in_passes() if passes else contextlib.nullcontext():
            o = step.step_(qkv, None, 1.0, gamma, state, at)
        same = (state == wanted) | (state.isnan() & wanted.isnan())
        told[f"{K} keys at {position}{', in passes' * passes}"] = (~same).double().mean().item()
        assert o.isnan().sum() == 2
    return told


@contextlib.contextmanager
def in_passes() -> Iterator[None]:
    """A rounded state of any size is read in passes."""
    from models._kernels import step

    many, step.MANY = step.MANY, 1
    try:
        yield
    finally:
        step.MANY = many


@poisoned()
def rounded_errors(case: Step, device: str = "cpu") -> dict[str, float]:
    with in_passes():
        return step_errors(case, device, held=torch.bfloat16)
