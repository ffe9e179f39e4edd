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
from triton.tools.tensor_descriptor import TensorDescriptor

from models._kernels import early
from models._kernels.blocks import ALIGNED
from models._kernels.plans import bucket

MOST = 64  # rows
ONE_WARPS = 4
HELD = 16384  # weights that a program of `one` holds: 64 registers a thread
OUTPUTS, INPUTS = 64, 128  # of the weights' tile in `few`
FEW_WARPS, FEW_STAGES = 4, 6
SHARED = 200_000  # bytes of shared memory for tiles on their way
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
def one(x, parts, total, w, y, scale, gate, residual, N, eps, S: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
        HEADS: tl.constexpr, ACT: tl.constexpr, BN: tl.constexpr, BH: tl.constexpr, BV: tl.constexpr,
        EARLY: tl.constexpr):  # fmt: skip
    """[BN] outputs of one row. The inputs stand as [BH, BV]: heads, or all in one. For `parts` see `before`."""
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
    if parts is not None:
        for part in tl.static_range(S):
            a += tl.load(parts + part * K + rk, inside, 0.0).to(tl.float32)
        a = a.to(total.dtype.element_ty)
        tl.store(total + rk, a, inside & (tl.program_id(0) == 0))
        a = a.to(tl.float32)
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
            a += tl.load(parts + (part * B + b) * K + rk, inside, 0.0).to(tl.float32)
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


def read(
    x: Float[Tensor, "B D"],
    parts: Float[Tensor, "S B D"] | None,
    scale: Float[Tensor, "D"],
    eps: float,
    weight: Float[Tensor, "_ D"],
    act: str | None = None,
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B N"]]:
    """x plus the sum of the parts, and act(weight norm(that)), the norm an RMS norm with `scale`; no gradients.

    With act `swiglu` the first half of the weight's rows are the gate's.
    """
    total = x if parts is None else torch.empty(x.shape, dtype=x.dtype, device=x.device)
    N = len(weight) // (2 if act == "swiglu" else 1)
    y = torch.empty(len(x), N, dtype=weight.dtype, device=x.device)
    given = x, None if parts is None else parts.contiguous(), total
    if len(x) == 1:
        _one(*given, weight, y, scale, None, None, eps, 0, act)
    else:
        _few(_before(*given, scale, None, eps, 0, weight.dtype), weight, y, None, 1, act)
    return total, y


def write(
    x: Float[Tensor, "B D"],
    a: Float[Tensor, "B K"],
    weight: Float[Tensor, "D K"],
    gate: Float[Tensor, "B K"] | None = None,
    heads: int = 0,
    eps: float = 0.0,
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "S B D"] | None]:
    """x and the parts of what is to be added to it: or their sum and None.

    That is weight times a; or times silu(gate) a; and where `heads` is not 0, of the RMS norm of each of so many parts
    of a.
    """
    B, D = x.shape
    if B == 1:
        y = torch.empty(1, D, dtype=weight.dtype, device=x.device)
        _one(a, None, None, weight, y, None, gate, x, eps, heads, None)
        return y, None
    if gate is not None or heads or a.dtype != weight.dtype or not a.is_contiguous():
        a = _before(a, None, None, None, gate, eps, heads, weight.dtype)
    S = max(1, min(PROGRAMS // triton.cdiv(D, OUTPUTS), triton.cdiv(a.shape[1], 4 * INPUTS)))
    y = torch.empty(S, B, D, dtype=weight.dtype if S == 1 else torch.float32, device=x.device)
    _few(a, weight, y, x.contiguous() if S == 1 else None, S, None)
    return (y[0], None) if S == 1 else (x, y)


def _launch(device: torch.device) -> tuple[bool, dict[str, bool]]:
    wait = early(device)
    return wait, {"launch_pdl": True} if wait else {}


def _heads(K: int, heads: int) -> tuple[int, int, int, int]:
    """V, H, and the sizes of a block that holds all inputs as heads."""
    V = K // max(heads, 1)
    return V, heads, bucket(max(heads, 1), 1), bucket(V, 16)


def _one(x, parts, total, weight, y, scale, gate, residual, eps, heads, act) -> None:
    K, N, S = x.shape[1], y.shape[1], 0 if parts is None else len(parts)
    V, H, BH, BV = _heads(K, heads)
    BN = max(1, HELD // (BH * BV) // (2 if act == "swiglu" else 1))
    wait, how = _launch(x.device)
    given = x, parts, total, weight, y, scale, gate, residual, N, eps, S, K, V, H, ACTS[act], BN, BH, BV, wait
    one[(triton.cdiv(N, BN),)](*given, num_warps=ONE_WARPS, **how)


def _before(x, parts, total, scale, gate, eps, heads, dtype) -> Tensor:
    B, K = x.shape
    V, H, BH, BV = _heads(K, heads)
    y = torch.empty(B, K, dtype=dtype, device=x.device)
    wait, how = _launch(x.device)
    strides, S = (x.stride(0), 0 if gate is None else gate.stride(0)), 0 if parts is None else len(parts)
    before[(B,)](x, parts, total, y, scale, gate, B, strides, eps, S, K, V, H, BH, BV, wait, num_warps=8, **how)
    return y


def _few(x, weight, y, residual, S, act) -> None:
    (B, K), N, items = x.shape, y.shape[-1], ALIGNED // x.element_size()
    if K % items:  # the copy engine reads rows that begin at multiples of 16 bytes
        x, weight = (torch.nn.functional.pad(z, (0, -K % items)) for z in (x, weight))
    BB, BK = bucket(B, 16), min(INPUTS, bucket(K, 16))
    stage = (BB + OUTPUTS * (2 if act == "swiglu" else 1)) * BK * x.element_size()
    wait, how = _launch(x.device)
    tiles = (TensorDescriptor.from_tensor(z, [rows, BK]) for z, rows in ((x, BB), (weight, OUTPUTS)))
    stages = max(2, min(FEW_STAGES, SHARED // stage))
    given = *tiles, y, residual, N, B, K, S, ACTS[act], OUTPUTS, BK, BB, stages, wait
    few[(triton.cdiv(N, OUTPUTS), S)](*given, num_warps=FEW_WARPS, **how)
