"""What the Triton programs of decoding must do, as cases that give relative errors against float64.

    TRITON_INTERPRET=1 python -m tests.decode_kernels     every case in float32 on the CPU, as JSON

Letters: B rows, K inputs, N outputs, H heads, V inputs or values of one.
"""

import dataclasses
import json
import os
import sys

import torch
from torch.nn import functional as F

from models import _retention, _rotary
from tests.kernels import off

EPS = 1e-3


@dataclasses.dataclass(frozen=True)
class Map:
    """A linear map of B rows. `pre`: the norm before it, `rms`, or `heads` of each head under a gate, or `gate`."""

    B: int = 1
    K: int = 40
    N: int = 37
    pre: str | None = None
    act: str | None = None
    residual: bool = False


MAPS = {
    f"{rows}: {name}": dataclasses.replace(case, B=B)
    for rows, B in (("one row", 1), ("three rows", 3), ("twenty rows", 20))
    for name, case in {
        "bare": Map(),
        "after a norm": Map(pre="rms", N=50),
        "swiglu after a norm": Map(pre="rms", act="swiglu", K=72),
        "gelu": Map(act="gelu", K=300),
        "after heads under a gate": Map(pre="heads", K=72, residual=True),
        "heads of a power of two": Map(pre="heads", K=96, residual=True),
        "under a gate": Map(pre="gate", residual=True),
    }.items()
}


def map_error(case: Map, device: str = "cpu", dtype: torch.dtype = torch.float32) -> float:
    """The inputs and the gate are parts of wider rows, as projections give them."""
    from models._kernels import few

    made = torch.Generator().manual_seed(case.N + case.K)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=made).to(device, dtype)

    x, gate = random(case.B, 2 * case.K + 8)[:, 8:].split(case.K, 1)
    weight, residual = random(case.N * (2 if case.act == "swiglu" else 1), case.K), random(case.B, case.N)
    scale, heads = random(case.K), 3 if case.pre == "heads" else 0
    gated = case.pre in ("heads", "gate")
    got = few.few_rows(
        *(x, weight, scale if case.pre == "rms" else None, EPS if case.pre in ("rms", "heads") else 0.0),
        *(gate if gated else None, heads, case.act, residual if case.residual else None),
    )
    a = x.double()
    if case.pre == "rms":
        a = F.rms_norm(a, (case.K,), scale.double(), EPS)
    if heads:
        a = F.rms_norm(a.unflatten(1, (heads, -1)), (case.K // heads,), None, EPS).flatten(1)
    y = (a * F.silu(gate.double()) if gated else a) @ weight.double().mT
    if case.act == "swiglu":
        y = F.silu(y[:, : case.N]) * y[:, case.N :]
    y = F.gelu(y) if case.act == "gelu" else y
    return off(got, y + residual.double() if case.residual else y)


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


if __name__ == "__main__":
    if os.environ.get("TRITON_INTERPRET") != "1":
        sys.exit("set TRITON_INTERPRET=1: without a GPU only Triton's interpreter runs these")
    torch.empty = lambda *sizes, kept=torch.empty, **how: kept(*sizes, **how).fill_(torch.nan)  # what nothing writes
    told = {name: {"y": map_error(case)} for name, case in MAPS.items()}
    print(json.dumps(told | {name: step_errors(case) for name, case in STEPS.items()}))
