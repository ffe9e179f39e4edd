"""What the Triton programs of retention must do, as cases that give relative errors: interpreted, and on a GPU.

    TRITON_INTERPRET=1 python -m tests.retention_kernels     every case in float32 on the CPU, as JSON

Letters: B batch, H heads, T tokens, K size of a query or key head, V size of a value head. The oracle is retention's
definition, step by step, in float64. Outputs are poisoned before: a number that no program writes is not a number.
"""

import dataclasses
import itertools
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from models import _retention
from models._kernels.plans import EXACT, Plan, Tile
from tests.cases import each, interpreted_only, off, poisoned

GAMMAS = (0.97, 1e-3, 1.0, 0.6)  # of the heads: slow, so fast that powers vanish, none, fast


@dataclasses.dataclass(frozen=True)
class Case:
    """Sizes all different, and no chunk or tile divides them. `packed`: lengths of sequences in one batch row.

    `learned`: the decay has a gradient. `final`: the state after the last token is asked for, and has a gradient.
    """

    B: int = 1
    H: int = 3
    T: int = 37
    K: int = 40
    V: int = 24
    how: Plan | None = None
    L: int | None = None
    decay: bool = True
    learned: bool = True
    state: bool = True
    final: bool = True
    gammas: tuple[float, ...] = GAMMAS
    packed: tuple[int, ...] = ()


CASES = {
    "pinned": Case(),
    "one token": Case(T=1, V=8),
    "a batch": Case(B=2, T=19, H=4),
    "no decay, no state": Case(decay=False, state=False, T=33),
    "a fixed decay": Case(learned=False, T=50),
    "no final state": Case(state=False, final=False, T=50),
    "segments": Case(how=Plan(16, EXACT, EXACT, EXACT), L=16, T=41),
    "segments without a state": Case(how=Plan(16, EXACT, EXACT, EXACT), L=32, T=70, H=2, state=False),
    "scores inside": Case(K=32, V=24, how=Plan(16, EXACT, EXACT, EXACT, (True, True))),
    "keys in halves": Case(K=50, V=30, how=Plan(16, Tile(64, 32, 2, 4, 1), Tile(64, 32, 2, 4, 1), EXACT)),
    "halves inside": Case(K=50, V=30, how=Plan(16, Tile(64, 32, 2, 4, 1), Tile(64, 32, 2, 4, 1), EXACT, (True, False))),
    "three terms": Case(K=70, V=66, T=21, H=2),
    "packed": Case(packed=(5, 32, 1, 20)),
    "packed, three terms": Case(packed=(18, 3), K=70, V=20, H=2),
}


def inputs(case: Case, device: str, dtype: torch.dtype, seed: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    """q, k, v [B, H, T, .], the decay's logarithm and states, and the gradients of outputs and states."""
    made = torch.Generator().manual_seed(case.T * case.K + case.V + seed)
    B, H, T, S = case.B, case.H, sum(case.packed) or case.T, len(case.packed) or case.B

    def random(*shape: int, kind: torch.dtype = dtype) -> Tensor:
        return torch.randn(shape, generator=made).to(device, kind)

    q, k, v, do = (random(B, T, H, size).transpose(1, 2) for size in (case.K, case.K, case.V, case.V))
    given = [x.requires_grad_() for x in (q, k, v)]
    if case.decay:
        given.append(torch.tensor(case.gammas[:H], device=device).log().requires_grad_(case.learned))
    if case.state:
        given.append(random(S, H, case.K, case.V, kind=torch.float32).requires_grad_())
    return given, [do, random(S, H, case.K, case.V, kind=torch.float32)]


def results(run: Callable[..., Any], case: Case, given: list[Tensor], back: list[Tensor]) -> list[Tensor]:
    """Outputs, final states, and the gradient of everything that was given and has one."""
    q, k, v, *rest = given
    log_decay = rest[0] if case.decay else None
    made = run(q, k, v, log_decay, rest[-1] if case.state else None)[: 1 + case.final]
    back = [x.to(made[0].dtype) if x is back[0] else x for x in back]
    return [*made, *torch.autograd.grad(made, [x for x in given if x.requires_grad], back[: len(made)])]


def oracle(case: Case, given: list[Tensor], back: list[Tensor]) -> list[Tensor]:
    def run(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor | None, state: Tensor | None) -> tuple[Tensor, Tensor]:
        if not case.packed:
            return _retention.recurrent(q, k, v, log_decay, state, True)
        parts = zip(*(x.split(list(case.packed), 2) for x in (q, k, v)), strict=True)
        starts = [None] * len(case.packed) if state is None else state.split(1)
        ended = [_retention.recurrent(*part, log_decay, start, True) for part, start in zip(parts, starts, strict=True)]
        return torch.cat([o for o, _ in ended], 2), torch.cat([end for _, end in ended])

    exact = [x.detach().double().requires_grad_(x.requires_grad) for x in given]
    return results(run, case, exact, [x.double() for x in back])


def compared(case: Case, device: str, dtype: torch.dtype, seed: int = 0) -> dict[str, tuple[Tensor, Tensor]]:
    """The outputs, the final states and each gradient, beside the right ones."""
    from models._kernels import retention

    given, back = inputs(case, device, dtype, seed)
    ends = None
    if case.packed:
        ends = torch.tensor([0, *itertools.accumulate(case.packed)], dtype=torch.int32, device=device)

    def run(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor | None, state: Tensor | None) -> Any:
        return retention.retention(q, k, v, log_decay, state, case.final, ends, case.how, case.L)

    got = results(run, case, given, back)
    names = ["o", *["state"] * case.final, "dq", "dk", "dv"]
    names += [*["dlog"] * (case.decay and case.learned), *["dstate"] * case.state]
    return dict(zip(names, zip(got, oracle(case, given, back), strict=True), strict=True))


@poisoned()
def errors(case: Case, device: str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """Relative error of each."""
    return {name: off(*pair) for name, pair in compared(case, device, dtype).items()}


@poisoned()
def decay_errors(case: Case, device: str, dtype: torch.dtype, draws: int) -> list[float]:
    """Relative error of the decay's gradient, head by head, over several draws: one alone may cancel to nothing."""
    pairs = [compared(case, device, dtype, seed)["dlog"] for seed in range(draws)]
    got, right = (torch.stack([pair[i].double() for pair in pairs]) for i in (0, 1))
    return ((got - right).norm(dim=0) / right.norm(dim=0)).tolist()


if __name__ == "__main__":
    interpreted_only()
    print(json.dumps(each({name: partial(errors, case) for name, case in CASES.items()})))
