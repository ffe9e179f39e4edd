"""Linear maps of a few rows, as in decoding: bound by reading the weights, so what stands before and after comes along.

Letters: B rows, at most `MOST`; K inputs, N outputs; H heads of V inputs each, where those are normalised by head;
P programs.

    y = residual + act(W pre(x))     pre: a norm of all inputs, or silu(gate) times x, normalised by head
                                     act: none, gelu, or silu(W_1 .) * W_2 .

One row: a program holds all the weights of a few outputs at once, so that as many loads are on their way as registers
allow, and asks for them before it waits for the kernel that makes x. More rows: the tensor cores take weights in tiles
that the copy engine brings. There a program sees only parts of a row at a time, so sums of squares for a norm are told
by the kernel that made the row, in terms; where none did, `before` makes pre(x).
"""

from typing import NamedTuple

import torch
import triton
from jaxtyping import Float, Int
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from models._kernels import _few, early
from models._kernels.blocks import ALIGNED
from models._kernels.plans import bucket

MOST = 64  # rows
ONE_WARPS = 4
HELD = 32768  # weights that a program of `one` holds: 128 registers a thread
INPUTS = 128  # of the weights' tile in `few`
PROGRAMS = 96  # of `few` at least, where outputs allow it
WARPS, STAGES = 4, 4
CHOICES = 8192  # logits that a program reads at once
ACTS = {None: 0, "swiglu": 1, "gelu": 2}


class Rest(NamedTuple):
    """What goes with rows x [B, D]: what is still to be added, and squares of what stands there, in P terms."""

    delta: Float[Tensor, "B D"] | None = None
    squares: Float[Tensor, "P B"] | None = None


def read(
    x: Float[Tensor, "B D"],
    rest: Rest,
    scale: Float[Tensor, "D"],
    eps: float,
    weight: Float[Tensor, "_ D"],
    act: str | None = None,
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B N"]]:
    """x and what is to be added to it, and act(weight norm(that)), the norm an RMS norm with `scale`; no gradients.

    With act `swiglu` the first half of the weight's rows are the gate's.
    """
    delta = None if rest.delta is None else rest.delta.contiguous()
    total = x if delta is None else torch.empty(x.shape, dtype=x.dtype, device=x.device)
    N = len(weight) // (2 if act == "swiglu" else 1)
    y = torch.empty(len(x), N, dtype=weight.dtype, device=x.device)
    if len(x) == 1:
        _map_one(x, delta, total, weight, y, scale, None, None, eps, 0, act)
    elif rest.squares is not None:
        _map_few(x, weight, y, act=act, scale=scale, squares=rest.squares, eps=eps)
    else:
        _map_few(_prepared(x, delta, total, scale, None, eps, 0, weight.dtype), weight, y, act=act)
    return total, y


def write(
    x: Float[Tensor, "B D"],
    a: Float[Tensor, "B K"],
    weight: Float[Tensor, "D K"],
    gate: Float[Tensor, "B K"] | None = None,
    heads: int = 0,
    eps: float = 0.0,
    sums: Float[Tensor, "B H _"] | None = None,
) -> tuple[Float[Tensor, "B D"], Rest]:
    """x plus weight times a; or times silu(gate) a; and where `heads` is not 0, of the RMS norm of each of so many
    equal parts of a, of whose squares `sums` may hold the sum in terms."""
    B, D = x.shape
    y = torch.empty(B, D, dtype=weight.dtype, device=x.device)
    if B == 1:
        _map_one(a, None, None, weight, y, None, gate, x, eps, heads, None)
        return y, Rest()
    V = a.shape[1] // max(heads, 1)
    if heads and (sums is None or V % INPUTS):
        a, gate, heads = _prepared(a, None, None, None, gate, eps, heads, weight.dtype), None, 0
    squares = torch.empty(triton.cdiv(D, _outputs(D)), B, device=x.device)
    told = {"sums": sums, "V": V, "eps": eps} if heads else {}
    _map_few(a, weight, y, gate=gate, residual=x.contiguous(), its_squares=squares, **told)
    return y, Rest(None, squares)


def likeliest(logits: Float[Tensor, "B N"], token: Int[Tensor, "B"]) -> None:
    """Writes the first of the largest of each row to `token`."""
    wait, how = early(logits.device)
    _few.likeliest[(len(logits),)](logits, token, logits.shape[1], CHOICES, wait, num_warps=16, **how)


def _heads(K: int, heads: int) -> tuple[int, int, int, int]:
    """V, H, and the sizes of a block that holds all inputs as heads."""
    V = K // max(heads, 1)
    return V, heads, bucket(max(heads, 1), 1), bucket(V, 16)


def _map_one(x, delta, total, weight, y, scale, gate, residual, eps, heads, act) -> None:
    K, N = x.shape[1], y.shape[1]
    V, H, BH, BV = _heads(K, heads)
    BN = max(1, HELD // (BH * BV) // (2 if act == "swiglu" else 1))
    wait, how = early(x.device)
    given = x, delta, total, weight, y, scale, gate, residual, N, eps, K, V, H, ACTS[act], BN, BH, BV, wait
    _few.one[(triton.cdiv(N, BN),)](*given, num_warps=ONE_WARPS, **how)


def _prepared(x, delta, total, scale, gate, eps, heads, dtype) -> Tensor:
    B, K = x.shape
    V, H, BH, BV = _heads(K, heads)
    y = torch.empty(B, K, dtype=dtype, device=x.device)
    wait, how = early(x.device)
    strides = x.stride(0), 0 if gate is None else gate.stride(0)
    _few.before[(B,)](x, delta, total, y, scale, gate, strides, eps, K, V, H, BH, BV, wait, num_warps=8, **how)
    return y


def _outputs(N: int) -> int:
    """Of one program of `few`."""
    return max(16, min(64, bucket(N // PROGRAMS + 1, 16) // 2))


def _map_few(
    x, weight, y, act=None, scale=None, squares=None, gate=None, sums=None, V=1, eps=0.0, residual=None,
    its_squares=None,
) -> None:  # fmt: skip
    N, items = y.shape[1], ALIGNED // weight.element_size()
    B, K = x.shape
    if weight.stride(0) % items:  # the copy engine reads rows that begin at multiples of 16 bytes
        weight = torch.nn.functional.pad(weight, (0, -K % items))
    BN, BB, BK = _outputs(N), bucket(B, 16), min(INPUTS, bucket(K, 16))
    P, tiles = 0 if squares is None else len(squares), 1 if sums is None else sums.shape[-1]
    strides = x.stride(0), 0 if gate is None else gate.stride(0)
    wait, how = early(x.device)
    _few.few[(triton.cdiv(N, BN),)](
        *(x, scale, squares, gate, sums, TensorDescriptor.from_tensor(weight, [BN, BK]), y, residual, its_squares),
        *(N, B, P, strides, eps, K, V, tiles, ACTS[act], BN, BK, BB, bucket(P, 1), STAGES, wait),
        num_warps=WARPS,
        **how,
    )
