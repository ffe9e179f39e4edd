"""Linear maps of a few rows, as in decoding: bound by reading the weights, so what stands before and after comes along.

Letters: B rows, at most `MOST`; K inputs, N outputs; H heads of V inputs each, where those are normalised by head;
S parts of the inputs.

    y = residual + act(W pre(x))     pre: a norm of all inputs, or silu(gate) times x, normalised by head
                                     act: none, gelu, or silu(W_1 .) * W_2 .

One row: a program holds all the weights of a few outputs at once, so that as many loads are on their way as registers
allow, and asks for them before it waits for the kernel that makes x (Hopper's programmatic dependent launch). More
rows: `before` makes pre(x), and the tensor cores take weights in tiles that the copy engine brings; where outputs are
few the inputs are cut into S parts, and the sums of parts go into `before` of the next map.

Before it waits, a program reads nothing but weights. So every kernel lets the next one begin at once: that one waits
for the whole of this one, and so for all that came before.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from models._kernels import early
from models._kernels.blocks import blocks
from models._kernels.plans import bucket

MOST = 64  # rows
ONE_WARPS = 4
HELD = 16384  # weights that a program of `one` holds: 64 registers a thread
OUTPUTS, INPUTS = 64, 128  # of the weights' tile in `few`
FEW_WARPS, FEW_STAGES = 4, 6
PROGRAMS = 128  # of `few` at least, where the inputs can be cut
ACTS = {None: 0, "swiglu": 1, "gelu": 2}


@triton.jit
def _act(a, b, ACT: tl.constexpr):
    if ACT == 1:
        a = a * tl.sigmoid(a) * b
    elif ACT == 2:
        a = 0.5 * a * (1.0 + tl.math.erf(a * 0.7071067811865476))
    return a


@triton.jit
def _pre(a, scale, g, eps, K, V, HEADS: tl.constexpr, BH: tl.constexpr, BV: tl.constexpr):
    """pre(x) of one row; `scale` and the gate `g` as loaded, or None."""
    if scale is not None:
        a *= tl.rsqrt(tl.sum(a * a, 0) / K + eps) * scale
    if HEADS > 0:
        heads = a.reshape(BH, BV)
        a = (heads * tl.rsqrt(tl.sum(heads * heads, 1) / V + eps)[:, None]).reshape(BH * BV)
    if g is not None:
        a *= g * tl.sigmoid(g)
    return a


@triton.jit(do_not_specialize=["N"])
def one(x, w, y, scale, gate, residual, N, eps, K: tl.constexpr, V: tl.constexpr, HEADS: tl.constexpr,
        ACT: tl.constexpr, BN: tl.constexpr, BH: tl.constexpr, BV: tl.constexpr,
        EARLY: tl.constexpr):  # fmt: skip
    """[BN] outputs of one row. The inputs stand as [BH, BV]: heads, or all in one."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
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
    s = None
    if scale is not None:
        s = tl.load(scale + rk, inside, 0.0).to(tl.float32)
    if EARLY:
        tl.extra.cuda.gdc_wait()
    a = tl.load(x + rk, inside, 0.0).to(tl.float32)
    g = None
    if gate is not None:
        g = tl.load(gate + rk, inside, 0.0).to(tl.float32)
    r = tl.zeros((BN,), tl.float32)
    if residual is not None:
        r += tl.load(residual + rn, rn < N, 0.0).to(tl.float32)
    a = _pre(a, s, g, eps, K, V, HEADS, BH, BV)
    y_1 = tl.sum(w_1.to(tl.float32) * a[None, :], 1)
    y_2 = y_1
    if ACT == 1:
        y_2 = tl.sum(w_2.to(tl.float32) * a[None, :], 1)
    tl.store(y + rn, (_act(y_1, y_2, ACT) + r).to(y.dtype.element_ty), rn < N)


@triton.jit(do_not_specialize=["B"])
def before(x, parts, total, y, scale, gate, B, strides, eps, S: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
           HEADS: tl.constexpr, BH: tl.constexpr, BV: tl.constexpr, EARLY: tl.constexpr):  # fmt: skip
    """pre(x) of one row. With `parts` [S, B, K], x is x plus their sum, and is written to `total`."""
    b = tl.program_id(0).to(tl.int64)
    j = tl.arange(0, BH * BV)
    rk = j // BV * V + j % BV
    inside = (j % BV < V) & (rk < K)
    s = None
    if scale is not None:
        s = tl.load(scale + rk, inside, 0.0).to(tl.float32)
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    a = tl.load(x + b * strides[0] + rk, inside, 0.0).to(tl.float32)
    g = None
    if gate is not None:
        g = tl.load(gate + b * strides[1] + rk, inside, 0.0).to(tl.float32)
    if parts is not None:
        for part in tl.static_range(S):
            a += tl.load(parts + (part * B + b) * K + rk, inside, 0.0)
        a = a.to(total.dtype.element_ty)
        tl.store(total + b * K + rk, a, inside)
        a = a.to(tl.float32)
    tl.store(y + b * K + rk, _pre(a, s, g, eps, K, V, HEADS, BH, BV).to(y.dtype.element_ty), inside)


@triton.jit(do_not_specialize=["N", "B"])
def few(x, w, y, residual, N, B, K: tl.constexpr, S: tl.constexpr, ACT: tl.constexpr, BN: tl.constexpr,
        BK: tl.constexpr, BB: tl.constexpr, STAGES: tl.constexpr, EARLY: tl.constexpr):  # fmt: skip
    """[BN] outputs of all rows from part S of the inputs. x, w: descriptors of [BB, BK] and [BN, BK]."""
    n, s = tl.program_id(0) * BN, tl.program_id(1)
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    y_1 = tl.zeros((BN, BB), tl.float32)
    y_2 = tl.zeros((BN, BB), tl.float32)
    each = tl.cdiv(tl.cdiv(K, BK), S)
    for i in tl.range(s * each, tl.minimum((s + 1) * each, tl.cdiv(K, BK)), num_stages=STAGES):
        a = x.load([0, i * BK]).T
        y_1 = tl.dot(w.load([n, i * BK]), a, y_1, input_precision="ieee")
        if ACT == 1:
            y_2 = tl.dot(w.load([N + n, i * BK]), a, y_2, input_precision="ieee")
    y_1 = _act(y_1, y_2, ACT)
    rn, rb = n + tl.arange(0, BN), tl.arange(0, BB)
    out = (s * B + rb[None, :]).to(tl.int64) * N + rn[:, None]
    written = (rn < N)[:, None] & (rb < B)[None, :]
    if residual is not None:
        y_1 += tl.load(residual + out, written, 0.0).to(tl.float32)
    tl.store(y + out, y_1.to(y.dtype.element_ty), written)
