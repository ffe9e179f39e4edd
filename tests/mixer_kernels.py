"""What the Triton programs of a mixer's single tokens must do, as cases that give relative errors against float64.

    TRITON_INTERPRET=1 python -m tests.mixer_kernels     every case in float32 on the CPU, as JSON

Letters: B rows, H heads, F features, V size of a value head, D width, W window, S parts of what is to be added.
"""

import dataclasses
import json
from functools import partial
from unittest import mock

import torch
from torch import nn

from models import _decoding, _sums, _window, _wkv
from models._biases import Biases
from models._feature_maps import FeatureMap
from models._state import Call
from tests.cases import each, interpreted_only, off, poisoned
from tests.decode_kernels import drawn
from tests.test_decoding import VARIANTS, build

STEPS = 3  # in a row, so that what one leaves is what the next one finds


@dataclasses.dataclass(frozen=True)
class Sums:
    """`turned` by one row, "shared", or "each" by its own; `z`, what divides: a tensor, a column of S, or none."""

    B: int = 2
    H: int = 3
    F: int = 24
    V: int = 40
    kind: str = "elu"
    turned: str | None = "shared"
    z: str | None = "tensor"


@dataclasses.dataclass(frozen=True)
class Average:
    """WKV of B rows, the first one's past empty; `rwkv`: with a decay, a bonus and something to move."""

    B: int = 3
    D: int = 200
    rwkv: bool = True


@dataclasses.dataclass(frozen=True)
class Window:
    B: int = 2
    H: int = 3
    D: int = 72
    W: int = 6


@dataclasses.dataclass(frozen=True)
class Shifted:
    """Three equal maps of blends, or the two of channel mixing; after a layer norm, or an RMS norm."""

    B: int = 1
    D: int = 40
    N: int = 40
    parts: int = 0
    channel: bool = False
    centred: bool = True


CASES = {
    "sums": Sums(),
    "sums, turned each": Sums(turned="each", kind="relu", V=33),
    "sums, a column": Sums(turned=None, z="column", F=19),
    "sums, nothing divides": Sums(z=None, F=12, V=20, kind="relu"),
    "sums, several tiles": Sums(B=1, H=2, F=256, V=50),
    "sums, a column and several tiles": Sums(B=2, H=1, F=260, V=50, turned=None, z="column"),
    "wkv": Average(),
    "wkv, aft": Average(B=1, D=130, rwkv=False),
    "window": Window(),
    "window of one": Window(W=1),
    "window of two": Window(W=2, B=1),
    "window of a power of two": Window(W=32, D=210),
    "window, long": Window(W=70, D=129),
    "one row": Shifted(),
    "one row, a sum": Shifted(parts=2, D=100, N=100),
    "one row, channels": Shifted(channel=True, D=56, N=72),
    "one row, many channels": Shifted(channel=True, D=1030, N=90),
    "three rows": Shifted(B=3, D=72, N=72, parts=3),
    "three rows, channels": Shifted(B=3, channel=True, D=56, N=136, centred=False),
    "twenty rows": Shifted(B=20, D=130, N=130, parts=1),
}


OURS = [name for name in VARIANTS if name.split(",")[0] in ("linear_attention", "rwkv", "aft")]
MODELS = [(name, batch) for name in OURS for batch in (1, 3)]


@poisoned()
def errors(case: object, device: str = "cpu", dtype: torch.dtype = torch.float32) -> dict[str, float]:
    kinds = {Sums: sums_errors, Average: average_errors, Window: window_errors, Shifted: shifted_errors}
    with torch.no_grad():
        return kinds[type(case)](case, device, dtype)  # type: ignore[operator]


@poisoned()
def sums_errors(case: Sums, device: str, dtype: torch.dtype) -> dict[str, float]:
    """And the copy of what z becomes, as `skinny.write` makes it."""
    from models._kernels import sums

    B, H, V, random = case.B, case.H, case.V, drawn(case.F + case.V, device, dtype)
    qkv = random(STEPS, B, H * (2 * case.F + V) + 16)
    state = {"S": random(B, H, case.F, V + (case.z == "column")).float().abs()}
    if case.z == "tensor":
        state["z"] = random(B, H, case.F).float().abs()
    exact = {name: x.double() for name, x in state.items()}
    phi, found = FeatureMap(case.kind, H, case.F, case.F), []
    for given in qkv:
        turn = None
        if case.turned is not None:
            angles = random(B if case.turned == "each" else 1, case.F // 2).float()
            turn = torch.polar(torch.ones_like(angles), angles)
        qk, v = given[:, : H * (2 * case.F + V)].double().split([2 * H * case.F, H * V], 1)
        features = phi(qk.view(B, 1, 2 * H, case.F), None).view(B, 2, H, case.F)
        turns = None if turn is None else turn.to(torch.complex128)[:, None, None]
        right = _sums.step(features, v.reshape(B, H, V), turns, exact, case.z is not None, False)
        z = _sums.z_of(state, V)
        y, moved = sums.step_(given, case.kind, turn, state["S"], z, V, _sums.EPS, torch.float32)
        if moved is not None:
            moved[1].copy_(moved[0])
        found.append(off(y, right.flatten(1)))
    return {"out": max(found)} | {name: off(state[name], exact[name]) for name in state}


@poisoned()
def average_errors(case: Average, device: str, dtype: torch.dtype) -> dict[str, float]:
    from models._kernels import average

    B, D, random = case.B, case.D, drawn(case.D, device, dtype)
    wide, decay, first = random(STEPS, B, 3 * D + 8) * 3, random(D), random(D)
    state = random(B, D).float(), random(B, D).float(), random(B, D).float().exp()
    for part, empty in zip(state, _wkv.empty(1, D, state[0]), strict=True):
        part[:1] = empty
    exact = tuple(part.double() for part in state)
    w, u = (-decay.double().exp(), first.double()) if case.rwkv else (torch.zeros(D).to(exact[0]),) * 2
    found, moved = [], (random(B, D), torch.zeros(B, D).to(device, dtype)) if case.rwkv else None
    for given in wide:
        gate, k, v = given[:, 8:].split(D, 1)
        right, exact = _wkv.step(k.double(), v.double(), w, u, exact)
        y = average.wkv_(k, v, gate, *((decay, first) if case.rwkv else (None, None)), state, moved)
        found.append(off(y, right * gate.double().sigmoid()))
    told = {"out": max(found)} | {name: off(*each) for name, *each in zip("mpq", state, exact, strict=True)}
    return told | ({"moved": off(moved[1], moved[0])} if moved else {})


@poisoned()
def window_errors(case: Window, device: str, dtype: torch.dtype) -> dict[str, float]:
    """From a state that has seen nothing, through a short window and beyond."""
    from models._kernels import average

    B, D, W, random = case.B, case.D, case.W, drawn(case.W, device, dtype)
    biases = Biases(case.H, W, 1, None)
    biases.table.copy_(random(case.H, W))
    biases.to(device, dtype)
    exact_biases = Biases(case.H, W, 1, None).to(device, torch.float64)
    exact_biases.table.copy_(biases.table)
    wide = random(min(W + 2, 9), B, 3 * D + 8) * 2
    held = _window.nothing(W, wide[0][:, None, :D], torch.float32)
    exact = {name: x.double() for name, x in _window.nothing(W, wide[0][:, None, :D], torch.float32).items()}
    call, found = Call("recurrent", torch.tensor([7], device=device), None, None, 0, True, None), []
    for given in wide:
        gate, k, v = given[:, 8:].split(D, 1)
        right, exact = _window.steps(exact_biases, k.double()[:, None], v.double()[:, None], call, exact, None)
        y = average.window_(k, v, gate, biases.table, *(held[name] for name in _window.HELD))
        found.append(off(y, right[:, 0] * gate.double().sigmoid()))
    wrong = {name: float((held[name].double() != exact[name]).sum()) for name in ("keys", "values")}
    older = {name: off(held[name], exact[name]) for name in ("older_key", "older_value")}
    return {"out": max(found)} | wrong | (older if len(wide) > W else {})  # where any key has left the window


@poisoned()
def shifted_errors(case: Shifted, device: str, dtype: torch.dtype) -> dict[str, float]:
    """And all of channel mixing, which moves the state at the end."""
    from models._kernels import shifted, skinny

    B, D, N, random = case.B, case.D, case.N, drawn(case.D, device, dtype)
    norm = (nn.LayerNorm(D, 1e-3) if case.centred else nn.RMSNorm(D, 1e-3)).to(device, dtype)
    for parameter in norm.parameters():
        parameter.copy_(random(D))
    exact_norm = (nn.LayerNorm(D, 1e-3) if case.centred else nn.RMSNorm(D, 1e-3)).to(device, torch.float64)
    exact_norm.load_state_dict(norm.state_dict())
    mix, held = random(2 if case.channel else 3, D).sigmoid(), random(B, D)
    given = (random(N, D), random(D, D)) if case.channel else (random(3 * N, D), None)
    weight, second = (each if each is None else each * D**-0.5 for each in given)  # squares of outputs fit in float16
    exact, out, found = held.double(), random(D, N), {"total": 0.0, "out": 0.0, "held": 0.0, "y": 0.0}
    for _ in range(STEPS):
        x, parts = random(B, D), random(case.parts, B, D).float() if case.parts else None
        total, y, moved = shifted.read(x, parts, norm, mix, held, weight, second)
        sums = x.double() if parts is None else x.double() + parts.double().sum(0)
        new = exact_norm(sums)
        blends, exact = [torch.lerp(exact, new, m) for m in mix.double()], new
        maps = weight.double().chunk(3) if second is None else (weight.double(), second.double())
        right = [blend @ each.mT for blend, each in zip(blends, maps, strict=True)]
        if case.channel:
            right[0] = right[0].relu().square()
            done, more = skinny.write(total, y[0], out, opened=y[1], moved=moved)
            done = done.double() if more is None else done.double() + more.double().sum(0)
            wanted = sums + right[1].sigmoid() * (right[0] @ out.double().mT)
            found["y"] = max(found["y"], off(done, wanted))
        elif moved is not None:
            moved[1].copy_(moved[0])
        found["total"] = max(found["total"], off(total, sums))
        found["out"] = max(found["out"], *(off(a, b) for a, b in zip(y, right, strict=True)))
        found["held"] = max(found["held"], off(held, exact))
    return found


# Whole models ----------------------------------------------------------------------------------------------------


@poisoned()
def model_errors(name: str, batch: int) -> dict[str, float]:
    """Logits of steps, and how many tensors of the state did not stay where they were; programs on the CPU."""
    model = build(name).float()
    random = drawn(5, "cpu", torch.float32)
    for key, weight in model.named_parameters():
        if key.endswith("out.weight"):  # so that what is read shows in the logits
            weight.data.copy_(random(*weight.shape) * weight.shape[1] ** -0.5)
    exact = build(name)
    exact.load_state_dict(model.state_dict())
    tokens = torch.randint(0, 97, (batch, 11), generator=torch.Generator().manual_seed(5))
    padding = torch.tensor([0, 2, 4]) if batch == 3 else None
    told = []
    with torch.inference_mode(), mock.patch.object(_decoding, "fits", lambda x, form: x.shape[1] == 1):
        state, right = (each.prefill(tokens[:, :8], padding=padding, capacity=20)[1] for each in (model, exact))
        places = [tensor.data_ptr() for tensor in state.tensors()]
        for token in tokens[:, 8:].unbind(1):
            logits, state = model.step(token, state)
            with mock.patch.object(_decoding, "fits", return_value=False):
                wanted, right = exact.step(token, right)
            told.append(off(logits, wanted))
    moved = sum(tensor.data_ptr() != place for tensor, place in zip(state.tensors(), places, strict=True))
    return {"logits": max(told)} | ({} if name == "aft, local" else {"moved": float(moved)})


if __name__ == "__main__":
    interpreted_only()
    work = {name: partial(errors, case) for name, case in CASES.items()}
    print(json.dumps(each(work | {f"{name}: {B}": partial(model_errors, name, B) for name, B in MODELS})))
