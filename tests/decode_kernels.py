"""What the Triton programs of decoding must do, as cases that give relative errors against float64.

    TRITON_INTERPRET=1 python -m tests.decode_kernels     every case in float32 on the CPU, as JSON

Letters: B rows, D and K inputs, N outputs, H heads, V inputs or values of one.
"""

import dataclasses
import json
from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional as F

from models import _rotary
from models._portions import WHOLE, Portion
from tests import step_kernels
from tests.cases import each, interpreted_only, off, poisoned

EPS = 1e-3


@dataclasses.dataclass(frozen=True)
class Read:
    """act(W norm(x + parts)) of B rows, D wide."""

    B: int = 1
    D: int = 40
    N: int = 48
    parts: int = 0
    act: str | None = None
    centred: bool = False
    portion: Portion = WHOLE  # of one row, in a program


@dataclasses.dataclass(frozen=True)
class Write:
    """x + W a of B rows, a normalised by head and gated; `opened`: W a behind a gate, and a state to copy."""

    B: int = 1
    D: int = 40
    K: int = 72
    heads: int = 0
    gated: bool = False
    opened: bool = False
    portion: Portion = WHOLE


ROWS = (("one row", 1), ("three rows", 3), ("twenty rows", 20), ("seventy rows", 70))
READS = {
    f"{rows}: {name}": dataclasses.replace(case, B=B)
    for rows, B in ROWS
    for name, case in {
        "after a norm": Read(),
        "a sum after a norm": Read(parts=3, D=200),
        "swiglu": Read(act="swiglu", N=72),
        "gelu of a sum": Read(act="gelu", D=56, parts=1),
        "a sum after a layer norm": Read(parts=2, D=136, centred=True),
    }.items()
}
READS |= {
    "one row: by small programs": Read(parts=1, N=46, portion=Portion(256)),
    "one row: by the smallest programs": Read(act="swiglu", portion=Portion(1)),
    "one row: of weights that caches let go": Read(act="swiglu", portion=Portion(256, once=True)),
}
WRITES = {
    f"{rows}: {name}": dataclasses.replace(case, B=B)
    for rows, B in ROWS
    for name, case in {
        "bare": Write(),
        "of many inputs": Write(K=1200),
        "heads under a gate": Write(heads=3, gated=True),
        "heads of a power of two": Write(heads=2, K=128),
        "under a gate": Write(gated=True),
        "behind a gate": Write(opened=True),
        "in parts behind a gate": Write(K=1200, opened=True),
    }.items()
}
WRITES |= {"one row: by small programs": Write(heads=3, gated=True, portion=Portion(256, once=True))}


@poisoned()
def read_errors(case: Read, device: str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, float]:
    from models._kernels import skinny

    random = drawn(case.N + case.D, device, dtype)
    x, weight, scale = (
        random(case.B, case.D),
        random(case.N * (2 if case.act == "swiglu" else 1), case.D),
        random(case.D),
    )
    parts = random(case.parts, case.B, case.D).float() if case.parts else None
    bias = random(case.D) if case.centred else None
    total, y = skinny.read(x, parts, scale, EPS, weight, case.act, bias, case.portion)
    exact = x.double() if parts is None else x.double() + parts.double().sum(0)
    if bias is None:
        right = F.rms_norm(exact, (case.D,), scale.double(), EPS) @ weight.double().mT
    else:
        right = F.layer_norm(exact, (case.D,), scale.double(), bias.double(), EPS) @ weight.double().mT
    if case.act == "swiglu":
        right = F.silu(right[:, : case.N]) * right[:, case.N :]
    return {"total": off(total, exact), "y": off(y, F.gelu(right) if case.act == "gelu" else right)}


@poisoned()
def write_errors(case: Write, device: str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """What is gated and the gate are parts of wider rows, as projections give them."""
    from models._kernels import skinny

    random = drawn(case.K, device, dtype)
    x, weight, wide = random(case.B, case.D), random(case.D, case.K), random(case.B, 2 * case.K + 8)
    a, gate = wide[:, 8:].split(case.K, 1)
    opened, moved = None, None
    if case.opened:  # to a column of something wider
        opened, moved = random(case.B, case.D), (random(case.B, case.D), random(case.B, case.D, 3)[..., 1])
    y, parts = skinny.write(x, a, weight, gate if case.gated else None, case.heads, EPS, opened, moved, case.portion)
    if parts is not None:
        y = y.double() + parts.double().sum(0)
    exact = a.double()
    if case.heads:
        exact = F.rms_norm(exact.unflatten(1, (case.heads, -1)), (case.K // case.heads,), None, EPS).flatten(1)
    exact = exact * F.silu(gate.double()) if case.gated else exact
    added = exact @ weight.double().mT
    if opened is None or moved is None:
        return {"y": off(y, x.double() + added)}
    return {"y": off(y, x.double() + opened.double().sigmoid() * added), "moved": off(*moved)}


def drawn(seed: int, device: str, dtype: torch.dtype) -> Callable[..., torch.Tensor]:
    made = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(shape, generator=made).to(device, dtype)


@poisoned()
def likeliest_errors(device: str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """How many tokens are not the first of the several largest of their row, and how far the position is off."""
    from models._kernels import skinny

    found = {"token": 0.0, "position": 0.0}
    for N, most in ((9001, 3), (300, 1)):  # of several parts, and of one
        logits = drawn(9, device, dtype)(3, N).clamp(max=most)
        token, position = torch.zeros(3, dtype=torch.int64, device=device), torch.tensor(70_000, device=device)
        skinny.likeliest(logits, token, position)
        first = (logits == logits.amax(1, keepdim=True)).int().argmax(1)
        found["token"] += (token != first).sum().item()
        found["position"] += abs(position.item() - 70_001)
    return found


@poisoned()
def row_errors(device: str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """How many numbers are not those of their token, and of tokens that there are none of, how many are numbers."""
    from models._kernels import embedding

    table = drawn(10, device, dtype)(301, 2100)
    tokens = torch.tensor([[300, 0, 7, 7, -1, 301]] * 2, device=device).T[:, 0]  # not side by side
    y = embedding.rows(table, tokens)
    return {
        "known": (y[:4] != table[tokens[:4]]).sum().item(),
        "unknown": (~y[4:].isnan()).sum().item(),
    }


@poisoned()
def angle_errors(device: str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """The largest error of a rotation far out, alone and times a factor as well."""
    from models._kernels import rotation

    angles, position = _rotary.retnet_angles(24).to(device), torch.tensor([70_001], device=device)
    right, found = _rotary.turns(position, angles, torch.float64), {}
    for second in (None, 0.2):
        wanted = torch.stack([right] if second is None else [right, right * second])
        turns = rotation.turns_at(position, angles, second)
        assert turns.shape == wanted.shape
        found[f"second {second}"] = (turns - wanted).abs().max().nan_to_num(torch.inf).item()
    return found


if __name__ == "__main__":
    interpreted_only()
    work = {f"read, {name}": partial(read_errors, case) for name, case in READS.items()}
    work |= {f"write, {name}": partial(write_errors, case) for name, case in WRITES.items()}
    work |= {"rounding": step_kernels.rounding_errors, "likeliest": likeliest_errors, "far out": angle_errors}
    work["rows"] = row_errors
    rounded = {name: partial(step_kernels.rounded_errors, case) for name, case in step_kernels.ROUNDED.items()}
    work |= {f"rounded, {name}": run for name, run in rounded.items()}
    work |= {name: partial(step_kernels.step_errors, case) for name, case in step_kernels.STEPS.items()}
    print(json.dumps(each(work)))
