"""Passes over the data that torch would make several of: rotation of pairs, gates, and the norm of heads under a gate.

Letters: R rows, K numbers of a row, P = K/2 pairs. Everything is computed in float32 and written in the inputs' dtype;
what a backward pass can compute again is not kept.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Complex, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from models._kernels import bound
from models._kernels.plans import bucket

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


@triton.jit(do_not_specialize=["R"])
def _gate(g, x, y, R, strides, EPS: tl.constexpr, NORM: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr,
          ROWS: tl.constexpr):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    inside = (row < R) & (k < K)
    a = tl.load(g + row * strides[0] + k, inside, 0.0).to(tl.float32)
    b = tl.load(x + row * strides[1] + k, inside, 0.0).to(tl.float32)
    if NORM:
        b *= tl.rsqrt(tl.sum(b * b, 1) / K + EPS)[:, None]
    tl.store(y + row * K + k, (a * tl.sigmoid(a) * b).to(y.dtype.element_ty), inside)


@triton.jit(do_not_specialize=["R"])
def _gate_back(dy, g, x, dg, dx, R, strides, EPS: tl.constexpr, NORM: tl.constexpr, K: tl.constexpr,
               BLOCK: tl.constexpr, ROWS: tl.constexpr):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    inside = (row < R) & (k < K)
    a = tl.load(g + row * strides[0] + k, inside, 0.0).to(tl.float32)
    b = tl.load(x + row * strides[1] + k, inside, 0.0).to(tl.float32)
    d = tl.load(dy + row * K + k, inside, 0.0).to(tl.float32)
    s = tl.sigmoid(a)
    db = d * a * s
    if NORM:
        r = tl.rsqrt(tl.sum(b * b, 1) / K + EPS)[:, None]
        b *= r
        db = r * (db - b * (tl.sum(db * b, 1) / K)[:, None])
    tl.store(dg + row * K + k, (d * b * s * (1.0 + a * (1.0 - s))).to(dg.dtype.element_ty), inside)
    tl.store(dx + row * K + k, db.to(dx.dtype.element_ty), inside)


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


def gated(g: Float[Tensor, "*any K"], x: Float[Tensor, "*any K"], eps: float | None) -> Float[Tensor, "*any K"]:
    """silu(g) x; where `eps` is given, of x / sqrt(mean(x^2) + eps), the mean over the last axis."""
    return _Gated.apply(g, x, eps)


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, g, x, eps):
        ctx.shape, ctx.eps = g.shape, eps
        g, x = (_rows(z) for z in (g, x))
        ctx.save_for_backward(g, x)
        y = torch.empty(g.shape, dtype=g.dtype, device=g.device)
        grid, tiles = _tiles(g.shape[0], g.shape[1], eps is not None)
        _gate[grid](g, x, y, g.shape[0], (g.stride(0), x.stride(0)), eps or 0.0, eps is not None, g.shape[1], *tiles)
        return y.view(ctx.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        bound(dy.device)
        (g, x), dy = ctx.saved_tensors, dy.contiguous()
        dg, dx = (torch.empty(g.shape, dtype=g.dtype, device=g.device) for _ in range(2))
        grid, tiles = _tiles(g.shape[0], g.shape[1], ctx.eps is not None)
        strides = g.stride(0), x.stride(0)
        _gate_back[grid](dy, g, x, dg, dx, g.shape[0], strides, ctx.eps or 0.0, ctx.eps is not None, g.shape[1], *tiles)
        return dg.view(ctx.shape), dx.view(ctx.shape), None


def _rows(x: Tensor) -> Float[Tensor, "R K"]:
    """Its last axis contiguous, all others as one: a copy where they are none."""
    x = x.flatten(0, -2)
    return x if x.stride(-1) == 1 else x.contiguous()


def _tiles(R: int, K: int, whole: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """The grid, and numbers and rows of a block; the numbers of a row in one block where it is normalised."""
    block = bucket(K) if whole else min(bucket(K), NUMBERS)
    rows = max(1, NUMBERS // block)
    return (triton.cdiv(R, rows), triton.cdiv(K, block)), (block, rows)
