"""Linear maps of a few rows, as in decoding: bound by reading the weights, so what stands before and after comes along.

Letters: B rows, at most `MOST`; K inputs, N outputs; H heads of V inputs each, where those are normalised by head;
S parts of the inputs.

    y = residual + act(W pre(x))     pre: a norm of all inputs, or silu(gate) times x, normalised by head
                                     act: none, gelu, or silu(W_1 .) * W_2 .

One row: a program holds all the weights of a few outputs at once, so that as many loads are on their way as registers
allow, and asks for them before it waits for the kernel that makes x. More rows: `before` makes pre(x), and the tensor
cores take weights in tiles that the copy engine brings; where outputs are few the inputs are cut into S parts, and
`before` of the next map adds up what each gave.
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
OUTPUTS, INPUTS = 64, 128  # of the weights' tile in `few`
PROGRAMS = 128  # of `few` at least, where the inputs can be cut
SHARED = 200_000  # bytes of shared memory for tiles on their way
WARPS, STAGES = 4, 4
CHOICES = 32768  # logits that a program reads at once
ACTS = {None: 0, "swiglu": 1, "gelu": 2}


class Terms(NamedTuple):
    """What is still to be added to rows [B, D], as so many terms."""

    each: Float[Tensor, "S B D"]


def read(
    x: Float[Tensor, "B D"],
    terms: Float[Tensor, "S B D"] | None,
    scale: Float[Tensor, "D"],
    eps: float,
    weight: Float[Tensor, "_ D"],
    act: str | None = None,
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B N"]]:
    """x plus the terms, and act(weight norm(that)), the norm an RMS norm with `scale`; no gradients.

    With act `swiglu` the first half of the weight's rows are the gate's.
    """
    terms = None if terms is None else terms.contiguous()
    total = x if terms is None else torch.empty(x.shape, dtype=x.dtype, device=x.device)
    N = len(weight) // (2 if act == "swiglu" else 1)
    y = torch.empty(len(x), N, dtype=weight.dtype, device=x.device)
    if len(x) == 1:
        _map_one(x, terms, total, weight, y, scale, None, None, eps, 0, act)
    else:
        _map_few(_prepared(x, terms, total, scale, None, eps, 0, weight.dtype), weight, y, None, 1, act)
    return total, y


def write(
    x: Float[Tensor, "B D"],
    a: Float[Tensor, "B K"],
    weight: Float[Tensor, "D K"],
    gate: Float[Tensor, "B K"] | None = None,
    heads: int = 0,
    eps: float = 0.0,
) -> tuple[Float[Tensor, "B D"], Terms | None]:
    """x and the terms of what is to be added to it: or their sum and None.

    That is weight times a; or times silu(gate) a; and where `heads` is not 0, of the RMS norm of each of so many equal
    parts of a.
    """
    B, D = x.shape
    if B == 1:
        y = torch.empty(1, D, dtype=weight.dtype, device=x.device)
        _map_one(a, None, None, weight, y, None, gate, x, eps, heads, None)
        return y, None
    if gate is not None or heads or a.dtype != weight.dtype or not a.is_contiguous():
        a = _prepared(a, None, None, None, gate, eps, heads, weight.dtype)
    S = max(1, min(PROGRAMS // triton.cdiv(D, OUTPUTS), triton.cdiv(a.shape[1], 4 * INPUTS)))
    y = torch.empty(S, B, D, dtype=weight.dtype if S == 1 else torch.float32, device=x.device)
    _map_few(a, weight, y, x.contiguous() if S == 1 else None, S, None)
    return (y[0], None) if S == 1 else (x, Terms(y))


def likeliest(logits: Float[Tensor, "B N"], token: Int[Tensor, "B"]) -> None:
    """Writes the first of the largest of each row to `token`."""
    wait, how = early(logits.device)
    _few.likeliest[(len(logits),)](logits, token, logits.shape[1], CHOICES, wait, num_warps=32, **how)


def _heads(K: int, heads: int) -> tuple[int, int, int, int]:
    """V, H, and the sizes of a block that holds all inputs as heads."""
    V = K // max(heads, 1)
    return V, heads, bucket(max(heads, 1), 1), bucket(V, 16)


def _map_one(x, terms, total, weight, y, scale, gate, residual, eps, heads, act) -> None:
    K, N, S = x.shape[1], y.shape[1], 0 if terms is None else len(terms)
    V, H, BH, BV = _heads(K, heads)
    BN = max(1, HELD // (BH * BV) // (2 if act == "swiglu" else 1))
    wait, how = early(x.device)
    given = x, terms, total, weight, y, scale, gate, residual, N, eps, S, K, V, H, ACTS[act], BN, BH, BV, wait
    _few.one[(triton.cdiv(N, BN),)](*given, num_warps=ONE_WARPS, **how)


def _prepared(x, terms, total, scale, gate, eps, heads, dtype) -> Tensor:
    B, K = x.shape
    V, H, BH, BV = _heads(K, heads)
    y = torch.empty(B, K, dtype=dtype, device=x.device)
    strides, S = (x.stride(0), 0 if gate is None else gate.stride(0)), 0 if terms is None else len(terms)
    wait, how = early(x.device)
    _few.before[(B,)](x, terms, total, y, scale, gate, B, strides, eps, S, K, V, H, BH, BV, wait, num_warps=8, **how)
    return y


def _map_few(x, weight, y, residual, S, act) -> None:
    N, items = y.shape[-1], ALIGNED // x.element_size()
    if x.shape[1] % items:  # the copy engine reads rows that begin at multiples of 16 bytes
        x, weight = (torch.nn.functional.pad(z, (0, -z.shape[1] % items)) for z in (x, weight))
    B, K = x.shape
    BB, BK = bucket(B, 16), min(INPUTS, bucket(K, 16))
    stage = (BB + OUTPUTS * (2 if act == "swiglu" else 1)) * BK * x.element_size()
    tiles = (TensorDescriptor.from_tensor(z, [rows, BK]) for z, rows in ((x, BB), (weight, OUTPUTS)))
    wait, how = early(x.device)
    given = *tiles, y, residual, N, B, K, S, ACTS[act], OUTPUTS, BK, BB, max(2, min(STAGES, SHARED // stage)), wait
    _few.few[(triton.cdiv(N, OUTPUTS), S)](*given, num_warps=WARPS, **how)
