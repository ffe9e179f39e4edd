"""The rotation of pairs of features in one pass over the data, read and written in the order of memory.

Letters: R rows, K numbers of a row, P = K/2 pairs. Computed in float32 and written in the input's dtype.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Complex, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from models._kernels import bound, bucket, early

NUMBERS = 4096  # that one program takes


@triton.jit(do_not_specialize=["R", "N_1", "N_2"])
def _turn(x, y, turns, R, N_1, N_2, x_strides, y_strides, t_strides, K: tl.constexpr, BLOCK: tl.constexpr,
          ROWS: tl.constexpr, SIGN: tl.constexpr):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    i, j, n = row // (N_1 * N_2), row // N_2 % N_1, row % N_2
    k = tl.arange(0, BLOCK)[None, :]
    inside = (row < R) & (k < K)
    x_at = x + i * x_strides[0] + j * x_strides[1] + n * x_strides[2] + k
    t_at = turns + i * t_strides[0] + j * t_strides[1] + n * t_strides[2] + k
    a, b = tl.split(tl.load(x_at, inside, 0.0).to(tl.float32).reshape(ROWS, BLOCK // 2, 2))
    c, s = tl.split(tl.load(t_at, inside, 0.0).reshape(ROWS, BLOCK // 2, 2))
    s *= SIGN
    turned = tl.join(a * c - b * s, a * s + b * c).reshape(ROWS, BLOCK)
    y_at = y + i * y_strides[0] + j * y_strides[1] + n * y_strides[2] + k
    tl.store(y_at, turned.to(y.dtype.element_ty), inside)


@triton.jit
def _turns_at(position, angles, turns, second, P, SETS: tl.constexpr, BLOCK: tl.constexpr, EARLY: tl.constexpr):
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    r = tl.arange(0, BLOCK)
    phase = tl.load(position).to(tl.float64) * tl.load(angles + r, r < P, 0.0)
    c, s = tl.cos(phase).to(tl.float32), tl.sin(phase).to(tl.float32)
    tl.store(turns + 2 * r, c, r < P)
    tl.store(turns + 2 * r + 1, s, r < P)
    if SETS == 2:
        tl.store(turns + 2 * P + 2 * r, c * second, r < P)
        tl.store(turns + 2 * P + 2 * r + 1, s * second, r < P)


def turns_at(
    position: Int[Tensor, "1"], angles: Float[Tensor, "P"], second: float | None = None
) -> Complex[Tensor, "S 1 P"]:
    """e^(i position angle), and where `second` is given that times it as well; phases in float64."""
    P, S = len(angles), 1 if second is None else 2
    turns = torch.empty(S, 1, P, dtype=torch.complex64, device=angles.device)
    wait, how = early(angles.device)
    _turns_at[(1,)](position, angles, torch.view_as_real(turns), second or 1.0, P, S, bucket(P), wait, **how)
    return turns


def turned(x: Float[Tensor, "*any K"], turns: Complex[Tensor, "*#any P"]) -> Float[Tensor, "*any K"]:
    """Pairs of features (2i, 2i+1) as complex numbers, times `turns`, in the layout of `x`; of up to four axes."""
    return _Turned.apply(x, turns)


class _Turned(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, turns):
        ctx.save_for_backward(turns)
        return _product(x, turns, 1.0)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        bound(dy.device)
        return _product(dy, ctx.saved_tensors[0], -1.0), None


def _product(x: Tensor, turns: Tensor, sign: float) -> Tensor:
    if x.stride(-1) != 1:
        x = x.contiguous()
    y = torch.empty_like(x)
    shape = (*(1,) * (4 - x.dim()), *x.shape)
    given, made, by = x.expand(shape), y.expand(shape), torch.view_as_real(turns).flatten(-2).expand(shape)
    steps = given.stride()
    axes = sorted(range(3), key=lambda axis: -steps[axis])  # in the order of memory
    (R_0, N_1, N_2), K, block = (shape[axis] for axis in axes), shape[3], bucket(shape[3])
    strides = [tuple(z.stride(axis) for axis in axes) for z in (given, made, by)]
    rows, R = max(1, NUMBERS // block), R_0 * N_1 * N_2
    _turn[(triton.cdiv(R, rows),)](x, y, by, R, N_1, N_2, *strides, K, block, rows, sign)
    return y
