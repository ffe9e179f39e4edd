"""Linear maps of a few rows, as in decoding: bound by reading the weights, so what stands before and after comes along.

Letters: B rows, at most `MOST`; K inputs, N outputs; H heads of V inputs each, where those are normalised by head.

    y = residual + act(W pre(x))     pre: a norm of all inputs, or silu(gate) times x, normalised by head
                                     act: none, gelu, or silu(W_1 .) * W_2 .

One row: a program holds all the weights of a few outputs at once, so that as many loads are on their way as registers
allow, and asks for them before it waits for the kernel that makes x (Hopper's programmatic dependent launch). More
rows: the tensor cores' products, of weights in tiles. A program waits before it lets the next kernel begin, so what a
kernel reads early may be written by any but the two kernels before it.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from models._kernels import early
from models._kernels.plans import bucket

MOST = 64  # rows
ONE_WARPS = 4
HELD = 16384  # weights that a program of `one` holds: 64 registers a thread
PART = 256  # inputs that a program of `few` takes at once
FEW_WARPS, FEW_STAGES = 4, 4
ACTS = {None: 0, "swiglu": 1, "gelu": 2}


@triton.jit
def _act(a, b, ACT: tl.constexpr):
    if ACT == 1:
        a = a * tl.sigmoid(a) * b
    elif ACT == 2:
        a = 0.5 * a * (1.0 + tl.math.erf(a * 0.7071067811865476))
    return a


@triton.jit(do_not_specialize=["N"])
def one(x, w, y, scale, gate, residual, N, eps, K: tl.constexpr, V: tl.constexpr, HEADS: tl.constexpr,
        ACT: tl.constexpr, BN: tl.constexpr, BH: tl.constexpr,
        BV: tl.constexpr, EARLY: tl.constexpr):  # fmt: skip
    """[BN] outputs of one row. The inputs stand as [BH, BV]: heads, or all in one."""
    rn = tl.program_id(0) * BN + tl.arange(0, BN)
    j = tl.arange(0, BH * BV)
    rk = j // BV * V + j % BV
    inside = (j % BV < V) & (rk < K)
    at = w + rn[:, None].to(tl.int64) * K + rk[None, :]
    asked = (rn < N)[:, None] & inside[None, :]
    w_1 = tl.load(at, asked, 0.0)
    w_2 = w_1
    if ACT == 1:
        w_2 = tl.load(at + N.to(tl.int64) * K, asked, 0.0)
    if EARLY:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    a = tl.load(x + rk, inside, 0.0).to(tl.float32)
    if scale is not None:
        a *= tl.rsqrt(tl.sum(a * a, 0) / K + eps) * tl.load(scale + rk, inside, 0.0).to(tl.float32)
    if HEADS > 0:
        heads = a.reshape(BH, BV)
        a = (heads * tl.rsqrt(tl.sum(heads * heads, 1) / V + eps)[:, None]).reshape(BH * BV)
    if gate is not None:
        g = tl.load(gate + rk, inside, 0.0).to(tl.float32)
        a *= g * tl.sigmoid(g)
    y_1 = tl.sum(w_1.to(tl.float32) * a[None, :], 1)
    y_2 = y_1
    if ACT == 1:
        y_2 = tl.sum(w_2.to(tl.float32) * a[None, :], 1)
    y_1 = _act(y_1, y_2, ACT)
    if residual is not None:
        y_1 += tl.load(residual + rn, rn < N, 0.0).to(tl.float32)
    tl.store(y + rn, y_1.to(y.dtype.element_ty), rn < N)


@triton.jit(do_not_specialize=["N", "B"])
def few(x, w, y, scale, gate, residual, N, B, strides, eps, K: tl.constexpr, V: tl.constexpr,
        HEADS: tl.constexpr, ACT: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, BB: tl.constexpr,
        STAGES: tl.constexpr, EARLY: tl.constexpr):  # fmt: skip
    """[BN] outputs of all rows, over tiles of [V] inputs: heads, or parts of all. Norms are applied to the products."""
    rn, rb = tl.program_id(0) * BN + tl.arange(0, BN), tl.arange(0, BB)
    rows = (rb < B)[None, :]
    y_1 = tl.zeros((BN, BB), tl.float32)
    y_2 = tl.zeros((BN, BB), tl.float32)
    squares = tl.zeros((BB,), tl.float32)
    if EARLY:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    for i in tl.range(0, tl.cdiv(K, V), num_stages=STAGES):
        rk = i * V + tl.arange(0, BK)
        kept = (tl.arange(0, BK) < V) & (rk < K)
        at = w + rn[:, None].to(tl.int64) * K + rk[None, :]
        asked = (rn < N)[:, None] & kept[None, :]
        w_1 = tl.load(at, asked, 0.0)
        inside = kept[:, None] & rows
        a = tl.load(x + rb[None, :] * strides[0] + rk[:, None], inside, 0.0).to(tl.float32)
        if scale is not None:
            squares += tl.sum(a * a, 0)
            a *= tl.load(scale + rk, kept, 0.0).to(tl.float32)[:, None]
        if HEADS > 0:
            a *= tl.rsqrt(tl.sum(a * a, 0) / V + eps)[None, :]
        if gate is not None:
            g = tl.load(gate + rb[None, :] * strides[1] + rk[:, None], inside, 0.0).to(tl.float32)
            a *= g * tl.sigmoid(g)
        a = a.to(w_1.dtype)
        y_1 = tl.dot(w_1, a, y_1, input_precision="ieee")
        if ACT == 1:
            y_2 = tl.dot(tl.load(at + N.to(tl.int64) * K, asked, 0.0), a, y_2, input_precision="ieee")
    if scale is not None:
        r = tl.rsqrt(squares / K + eps)[None, :]
        y_1 *= r
        y_2 *= r
    y_1 = _act(y_1, y_2, ACT)
    out = rb[None, :].to(tl.int64) * N + rn[:, None]
    written = (rn < N)[:, None] & rows
    if residual is not None:
        y_1 += tl.load(residual + out, written, 0.0).to(tl.float32)
    tl.store(y + out, y_1.to(y.dtype.element_ty), written)


def few_rows(
    x: Float[Tensor, "B K"],
    weight: Float[Tensor, "N K"],
    scale: Float[Tensor, "K"] | None = None,
    eps: float = 0.0,
    gate: Float[Tensor, "B K"] | None = None,
    heads: int = 0,
    act: str | None = None,
    residual: Float[Tensor, "B N"] | None = None,
) -> Float[Tensor, "B N"]:
    """residual + act(weight pre(x)), in the weight's dtype; no gradients.

    `scale`: pre is the RMS norm with it. `gate`: pre multiplies by silu(gate). `heads`: and before that takes the RMS
    norm of that many equal parts of x. With act `swiglu` the first N/2 rows of the weight are the gate's.
    """
    (B, K), N = x.shape, weight.shape[0] // (2 if act == "swiglu" else 1)
    y = torch.empty(B, N, dtype=weight.dtype, device=x.device)
    wait = early(x.device)
    more = {"launch_pdl": True} if wait else {}
    given = x, weight, y, scale, gate, residual, N
    if B == 1:
        V = K // max(heads, 1)
        BH, BV = bucket(max(heads, 1), 1), bucket(V, 16)
        BN = max(1, HELD // (BH * BV) // (2 if act == "swiglu" else 1))
        one[(triton.cdiv(N, BN),)](
            *(*given, eps, K, V, heads, ACTS[act], BN, BH, BV, wait), num_warps=ONE_WARPS, **more
        )
        return y
    V = K // heads if heads else min(PART, bucket(K))
    BN = 16 if N < 16 * 256 else 32
    strides = x.stride(0), 0 if gate is None else gate.stride(0)
    few[(triton.cdiv(N, BN),)](
        *(*given, B, strides, eps, K, V, heads, ACTS[act], BN, bucket(V, 16), bucket(B, 16), FEW_STAGES, wait),
        num_warps=FEW_WARPS,
        **more,
    )
    return y
