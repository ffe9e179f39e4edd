"""What the Triton program of a projection and a step must do, as cases that give relative errors beside two programs.

    TRITON_INTERPRET=1 python -m tests.projected_kernels     every case in float32 on the CPU, as JSON

Letters: D inputs, H heads, K of a query or key, V values.
"""

import dataclasses
import json

import torch

from tests.cases import interpreted_only, off, poisoned
from tests.decode_kernels import EPS, drawn


@dataclasses.dataclass(frozen=True)
class Case:
    """A norm, a projection and a step of one sequence."""

    D: int = 40
    H: int = 3
    K: int = 32
    V: int = 40
    parts: int = 0
    turned: bool = True
    decay: bool = True
    centred: bool = False


CASES = {
    "bare": Case(),
    "a sum, and no rotation": Case(parts=2, turned=False, D=136),
    "a layer norm, and no decay": Case(centred=True, decay=False, K=24, V=56, D=200),
}


@poisoned()
def errors(case: Case, device: str = "cpu", dtype: torch.dtype = torch.float32, steps: int = 2) -> dict[str, float]:
    """The largest of several steps, beside `skinny.read`, and `step.step_` of the same projection; `left` are counts
    that were not set back."""
    from models._kernels import projected, skinny, step

    random = drawn(case.D + case.K, device, dtype)
    D, H, K, V = case.D, case.H, case.K, case.V
    scale, weight = random(D), random(H * (2 * K + 2 * V), D) * D**-0.5
    bias = random(D) if case.centred else None
    gamma = torch.tensor([0.9, 1.0, 0.5][:H], device=device)[:, None, None] if case.decay else None
    turn = torch.polar(torch.ones(2, 1, K // 2), random(2, 1, K // 2).float().cpu()).to(device) if case.turned else None
    state = random(1, H, K, V).float()
    right, arrived, found = state.clone(), torch.zeros(2, H, dtype=torch.int32, device=device), []
    for _ in range(steps):
        x, parts = random(1, D), random(case.parts, 1, D).float() if case.parts else None
        given, after = (x, parts, scale, EPS, weight), (turn, K**-0.5, gamma)
        total, y, o = projected.step_(*given, bias, *after, state, arrived)
        of_all, wanted = skinny.read(*given, None, bias)
        steps_apart = off(o, step.step_(y, *after, right)), off(state, right)
        found.append((off(total, of_all), off(y, wanted), *steps_apart, arrived.abs().sum().item()))
    worst = torch.tensor(found, dtype=torch.float64).amax(0).tolist()  # NaN, if there is one
    return dict(zip(("total", "y", "o", "state", "left"), worst, strict=True))


if __name__ == "__main__":
    interpreted_only()
    print(json.dumps({name: errors(case) for name, case in CASES.items()}))
