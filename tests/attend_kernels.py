"""What a step of attention over a cache must do, as cases that give relative errors: for the interpreter and for a GPU.

    TRITON_INTERPRET=1 python -m tests.attend_kernels     every case in float32 on the CPU, as JSON

Letters: B batch, H query heads, G heads of keys and values, K size of a head, P = K/2 pairs, S slots. The oracle is
torch's attention over the slots that count, in float64. Whatever is not to be read is no number:
slots that are padding, and those from the new token's on.
"""

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models import _rotary
from tests.cases import each, interpreted_only, off, poisoned

SPARE = 3  # slots that the memory of a cache has beyond it


@dataclasses.dataclass(frozen=True)
class Case:
    """`turn`: none, one for all, or one for each sequence, head, or both; `loud`: what q and k are multiplied by.
    `cut`: slots of a block and shares; None is as pinned."""

    B: int = 2
    H: int = 3
    G: int = 3
    K: int = 40
    S: int = 75
    position: int = 37
    turn: str = "one"
    padding: tuple[int, ...] = ()
    loud: float = 1.0
    cut: tuple[int, int] | None = (16, 1)


CASES = {
    "first slot": Case(position=0),
    "first slot, several shares": Case(position=0, cut=(16, 4)),
    "middle of a block": Case(),
    "first of a block": Case(position=32),
    "last slot": Case(position=74, cut=(16, 2)),
    "all shares": Case(position=74, cut=(16, 3)),
    "empty shares": Case(position=37, cut=(16, 7)),
    "more shares than are merged at once": Case(B=1, H=2, G=2, position=70, cut=(16, 35)),
    "a power of two": Case(K=64, position=50, cut=(32, 3)),
    "as pinned": Case(K=64, S=300, position=290, B=1, cut=None),
    "not turned": Case(turn="none", cut=(16, 2)),
    "turned in double": Case(turn="double", cut=(16, 2)),
    "a turn for each sequence": Case(turn="sequence", padding=(5, 0), cut=(16, 2)),
    "a turn for each head": Case(turn="head", cut=(16, 2)),
    "a turn for each head of each sequence": Case(turn="both", H=6, G=2, padding=(0, 20), cut=(16, 3)),
    "padding to the last": Case(turn="sequence", padding=(37, 60), cut=(16, 3)),
    "grouped": Case(H=6, G=2, cut=(16, 1)),
    "grouped, empty shares": Case(H=6, G=2, K=64, position=40, turn="head", cut=(16, 5)),
    "grouped, first slot": Case(H=6, G=2, position=0, cut=(16, 2)),
    "one head for all queries": Case(H=5, G=1, padding=(0, 3), turn="sequence", cut=(32, 2)),
    "more queries than 16": Case(B=1, H=20, G=1, cut=(16, 2)),
    "loud": Case(loud=1e15, cut=(16, 4)),
    "loud, grouped": Case(H=6, G=2, loud=1e15, cut=(16, 4)),
    "quiet": Case(loud=1e-15, cut=(16, 4)),
}
LONG = {
    "long": Case(B=8, H=32, G=32, K=128, S=8192, position=8191, cut=None),
    "one sequence": Case(B=1, H=16, G=16, K=128, S=8192, position=8000, cut=None),
    "a large batch": Case(B=64, H=16, G=16, K=128, S=2048, position=1029, cut=None),
    "long, grouped": Case(B=8, H=32, G=8, K=128, S=8192, position=6001, turn="head", cut=None),
    "long, one head": Case(B=2, H=64, G=1, K=64, S=4096, position=4095, cut=None),
    "mostly empty": Case(B=2, H=16, G=16, K=128, S=32768, position=300, cut=None),
    "long, padded": Case(B=3, H=8, G=4, K=96, S=3000, position=2500, padding=(0, 2499, 7), turn="sequence", cut=None),
    "wide heads": Case(B=2, H=4, G=4, K=256, S=3000, position=2500, cut=None),
}


def inputs(case: Case, device: str, dtype: torch.dtype) -> tuple[list[Any], Tensor]:
    """What `attend_` is given, and the memory that both caches are parts of."""
    made = torch.Generator(device).manual_seed(case.position * case.K + case.H)
    B, H, G, K = case.B, case.H, case.G, case.K

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=made, device=device)

    row = random(B, (H + 2 * G) * K)
    row[:, : (H + G) * K] *= case.loud
    q, k, v = row.to(dtype).unflatten(1, (-1, K)).split((H, G, G), 1)
    memory = random(2, B, G, case.S + SPARE, K).to(dtype)
    memory[:, :, :, case.position :] = torch.nan
    for b, count in enumerate(case.padding):
        memory[:, b, :, :count] = torch.nan
    shape = {"sequence": (B, 1), "head": (H + G,), "both": (B, H + G)}.get(case.turn, ())
    turn = torch.polar(random(*shape, K // 2).abs() + 0.5, random(*shape, K // 2))
    turn = None if case.turn == "none" else turn.to(torch.complex128) if case.turn == "double" else turn
    keys, values = memory[:, :, :, : case.S]
    padding = torch.tensor(case.padding, device=device) if case.padding else None
    return [q, k, v, turn, keys, values, torch.tensor(case.position, device=device), padding], memory


def plain(q, k, v, turn, keys, values, position, padding) -> Tensor:
    """The definition, in the dtype that is given: rotate, write, and attend to the slots from padding to position."""
    now = position.item()
    if turn is not None:
        q, k = _rotary.turned(torch.cat((q, k), 1), turn).split((q.shape[1], k.shape[1]), 1)
    keys[:, :, now], values[:, :, now] = k, v
    first = [0] * len(q) if padding is None else padding.clamp(max=now).tolist()
    seen = [(keys[b : b + 1, :, n : now + 1], values[b : b + 1, :, n : now + 1]) for b, n in enumerate(first)]
    each = [
        F.scaled_dot_product_attention(q[b : b + 1, :, None], *slots, enable_gqa=True) for b, slots in enumerate(seen)
    ]
    return torch.cat(each).squeeze(2)


@poisoned()
def errors(
    case: Case, device: str = "cpu", dtype: torch.dtype = torch.float32, run: Callable[..., Tensor] | None = None
) -> dict[str, float]:
    """Relative error of the outputs and of the new key, and infinity for a value or another slot with other bits."""
    given, memory = inputs(case, device, dtype)
    before = memory.clone()
    if run is None:
        from models._kernels import attend

        run = attend.attend_
        if case.cut is not None:
            given += [attend.Walk(case.cut[0], 4, 3, 4, 64, 32), case.cut[1]]
    return compared(case, given, before, memory, run(*given))


def compared(case: Case, given: list[Any], before: Tensor, memory: Tensor, o: Tensor) -> dict[str, float]:
    """Of an output and the memory of the caches, by what they were before."""
    q, k, v, turn, _, _, position, padding = given[:8]
    exact = before[:, :, :, : case.S].double()
    right = plain(
        *(x.double() for x in (q, k, v)),
        None if turn is None else turn.to(torch.complex128),
        *(exact[0], exact[1], position, padding),
    )
    n = position.item()
    bits = {2: torch.int16, 4: torch.int32}[memory.element_size()]
    was, now = before.view(bits).clone(), memory.view(bits)
    was[:, :, :, n] = now[:, :, :, n]
    return {
        "o": off(o, right),
        "key": off(memory[0, :, :, n], exact[0, :, :, n]),
        "value": 0.0 if torch.equal(memory[1, :, :, n], v) else torch.inf,
        "others": 0.0 if torch.equal(was, now) else torch.inf,
    }


if __name__ == "__main__":
    interpreted_only()
    print(json.dumps(each({name: partial(errors, case) for name, case in CASES.items()})))
