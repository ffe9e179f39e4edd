"""What the Triton program of a projection and a step must do, as cases that give relative errors beside two programs.

    TRITON_INTERPRET=1 python -m tests.read_step_kernels     every case in float32 on the CPU, as JSON

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
    held: torch.dtype = torch.float32  # the state


CASES = {
    "bare": Case(),
    "a sum, and no rotation": Case(parts=2, turned=False, D=136),
    "a layer norm, and no decay": Case(centred=True, decay=False, K=24, V=56, D=200),
    "a rounded state": Case(held=torch.bfloat16),
}


class Layer:
    """Weights, decays, a rotation and a state of a case, and the step by one program and by two."""

    def __init__(self, case: Case, device: str, dtype: torch.dtype):
        self.random = random = drawn(case.D + case.K, device, dtype)
        D, H, K, V = case.D, case.H, case.K, case.V
        self.case, self.scale, self.weight = case, random(D), random(H * (2 * K + 2 * V), D) * D**-0.5
        self.bias = random(D) if case.centred else None
        gamma = torch.linspace(0.5, 1.0, H, device=device)[:, None, None] if case.decay else None
        angles = random(2, 1, K // 2).float()
        self.after = torch.polar(torch.ones_like(angles), angles) if case.turned else None, K**-0.5, gamma
        state = random(1, H, K, V).to(case.held)
        self.states = state, state.clone()
        self.counts = torch.zeros(2, H, dtype=torch.int32, device=device)
        self.position = torch.tensor([7], device=device)

    def inputs(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        case = self.case
        return self.random(1, case.D), self.random(case.parts, 1, case.D).float() if case.parts else None

    def together(self, x: torch.Tensor, parts: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        from models._kernels import read_step

        given = x, parts, self.scale, EPS, self.weight, self.bias, *self.after, self.states[0], self.counts
        return read_step.step_(*given, self.position)

    def read(self, x: torch.Tensor, parts: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        from models._kernels import skinny

        return skinny.read(x, parts, self.scale, EPS, self.weight, None, self.bias)

    def step(self, y: torch.Tensor) -> torch.Tensor:
        from models._kernels import step

        return step.step_(y, *self.after, self.states[1], self.position)


@poisoned()
def errors(case: Case, device: str = "cpu", dtype: torch.dtype = torch.float32, steps: int = 2) -> dict[str, float]:
    """The largest of several steps, beside `skinny.read`, and `step.step_` of the same projection; `left` are counts
    that were not set back."""
    layer, found = Layer(case, device, dtype), []
    for _ in range(steps):
        given = layer.inputs()
        total, y, o = layer.together(*given)
        of_all, wanted = layer.read(*given)
        apart = off(o, layer.step(y)), off(*layer.states)
        found.append((off(total, of_all), off(y, wanted), *apart, layer.counts.abs().sum().item()))
    worst = torch.tensor(found, dtype=torch.float64).amax(0).tolist()  # NaN, if there is one
    return dict(zip(("total", "y", "o", "state", "left"), worst, strict=True))


if __name__ == "__main__":
    interpreted_only()
    print(json.dumps({name: errors(case) for name, case in CASES.items()}))
