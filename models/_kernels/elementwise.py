"""Passes over the data that torch would make several of: gates, the norm of heads under a gate, squares, quotients.

Letters: R rows, K numbers of a row; G groups of H rows, each with steps of its own. Everything is computed in float32
and written in the inputs' dtype; what a backward pass can compute again is not kept.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from models._kernels import bound, bucket

NUMBERS = 4096  # that one program takes


@triton.jit(do_not_specialize=["R", "H"])
def _gate(g, x, y, R, H, g_steps, x_steps, EPS: tl.constexpr, NORM: tl.constexpr, SILU: tl.constexpr, K: tl.constexpr,
          BLOCK: tl.constexpr, ROWS: tl.constexpr):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    group, h, row = (row // H).to(tl.int64), (row % H).to(tl.int64), row.to(tl.int64)
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    inside = (row < R) & (k < K)
    a = tl.load(g + group * g_steps[0] + h * g_steps[1] + k, inside, 0.0).to(tl.float32)
    b = tl.load(x + group * x_steps[0] + h * x_steps[1] + k, inside, 0.0).to(tl.float32)
    if NORM:
        b *= tl.rsqrt(tl.sum(b * b, 1) / K + EPS)[:, None]
    if SILU:
        b *= a
    tl.store(y + row * K + k, (tl.sigmoid(a) * b).to(y.dtype.element_ty), inside)


@triton.jit(do_not_specialize=["R", "H"])
def _gate_back(dy, g, x, dg, dx, R, H, g_steps, x_steps, EPS: tl.constexpr, NORM: tl.constexpr, SILU: tl.constexpr,
               K: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    group, h, row = (row // H).to(tl.int64), (row % H).to(tl.int64), row.to(tl.int64)
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    inside = (row < R) & (k < K)
    a = tl.load(g + group * g_steps[0] + h * g_steps[1] + k, inside, 0.0).to(tl.float32)
    b = tl.load(x + group * x_steps[0] + h * x_steps[1] + k, inside, 0.0).to(tl.float32)
    d = tl.load(dy + row * K + k, inside, 0.0).to(tl.float32)
    s = tl.sigmoid(a)
    db = d * a * s if SILU else d * s
    if NORM:
        r = tl.rsqrt(tl.sum(b * b, 1) / K + EPS)[:, None]
        b *= r
        db = r * (db - b * (tl.sum(db * b, 1) / K)[:, None])
    slope = s * (1.0 + a * (1.0 - s)) if SILU else s * (1.0 - s)
    tl.store(dg + row * K + k, (d * b * slope).to(dg.dtype.element_ty), inside)
    tl.store(dx + row * K + k, db.to(dx.dtype.element_ty), inside)


@triton.jit
def _square(x, y, SIZE, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    a = tl.maximum(tl.load(x + at, at < SIZE, 0.0).to(tl.float32), 0.0, propagate_nan=tl.PropagateNan.ALL)
    tl.store(y + at, (a * a).to(y.dtype.element_ty), at < SIZE)


@triton.jit
def _square_back(dy, x, dx, SIZE, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    a = tl.maximum(tl.load(x + at, at < SIZE, 0.0).to(tl.float32), 0.0, propagate_nan=tl.PropagateNan.ALL)
    d = tl.load(dy + at, at < SIZE, 0.0).to(tl.float32)
    tl.store(dx + at, (2.0 * a * d).to(dx.dtype.element_ty), at < SIZE)


@triton.jit(do_not_specialize=["R", "H"])
def _quotient(x, total, y, R, H, steps, EPS: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr):
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    group, h, row = (row // H).to(tl.int64), (row % H).to(tl.int64), row.to(tl.int64)
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    inside = (row < R) & (k < K)
    a = tl.load(x + group * steps[0] + h * steps[1] + k, inside, 0.0).to(tl.float32)
    by = tl.load(total + row, row < R, 1.0).to(tl.float32) + EPS
    tl.store(y + row * K + k, (a / by).to(y.dtype.element_ty), inside)


@triton.jit(do_not_specialize=["R", "H"])
def _quotient_back(dy, x, total, dx, dtotal, R, H, steps, EPS: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr,
                   ROWS: tl.constexpr):  # fmt: skip
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS))[:, None]
    group, h, row = (row // H).to(tl.int64), (row % H).to(tl.int64), row.to(tl.int64)
    k = tl.arange(0, BLOCK)[None, :]
    inside = (row < R) & (k < K)
    a = tl.load(x + group * steps[0] + h * steps[1] + k, inside, 0.0).to(tl.float32)
    by = tl.load(total + row, row < R, 1.0).to(tl.float32) + EPS
    d = tl.load(dy + row * K + k, inside, 0.0).to(tl.float32) / by
    tl.store(dx + row * K + k, d.to(dx.dtype.element_ty), inside)
    found = -tl.sum(d * a, 1)[:, None] / by
    tl.store(dtotal + row, found.to(dtotal.dtype.element_ty), row < R)


def gated(
    g: Float[Tensor, "*any K"], x: Float[Tensor, "*any K"], eps: float | None = None, silu: bool = True
) -> Float[Tensor, "*any K"]:
    """silu(g) x, or sigmoid(g) x; where `eps` is given, of x / sqrt(mean(x^2) + eps), the mean over the last axis."""
    return _Gated.apply(g, x, eps, silu)


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, g, x, eps, silu):
        ctx.shape, ctx.eps, ctx.silu = g.shape, eps, silu
        g, x = (_groups(z) for z in (g, x))
        ctx.save_for_backward(g, x)
        (G, H, K), steps = g.shape, (g.stride()[:2], x.stride()[:2])
        y = torch.empty(g.shape, dtype=g.dtype, device=g.device)
        grid, tiles = _tiles(G * H, K, eps is not None)
        _gate[grid](g, x, y, G * H, H, *steps, eps or 0.0, eps is not None, silu, K, *tiles)
        return y.view(ctx.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        bound(dy.device)
        (g, x), dy = ctx.saved_tensors, dy.contiguous()
        dg, dx = (torch.empty(g.shape, dtype=g.dtype, device=g.device) for _ in range(2))
        (G, H, K), steps = g.shape, (g.stride()[:2], x.stride()[:2])
        grid, tiles = _tiles(G * H, K, ctx.eps is not None)
        norm = ctx.eps or 0.0, ctx.eps is not None
        _gate_back[grid](dy, g, x, dg, dx, G * H, H, *steps, *norm, ctx.silu, K, *tiles)
        return dg.view(ctx.shape), dx.view(ctx.shape), None, None


def squared_relu(x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """relu(x)^2."""
    return _Squared.apply(x)


class _Squared(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x = x.contiguous()
        ctx.save_for_backward(x)
        y = torch.empty_like(x)
        _square[(triton.cdiv(x.numel(), NUMBERS),)](x, y, x.numel(), NUMBERS)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        (x,), dy = ctx.saved_tensors, dy.contiguous()
        bound(x.device)
        dx = torch.empty_like(x)
        _square_back[(triton.cdiv(x.numel(), NUMBERS),)](dy, x, dx, x.numel(), NUMBERS)
        return dx


def quotient(x: Float[Tensor, "*any K"], total: Float[Tensor, "*any 1"], eps: float) -> Float[Tensor, "*any K"]:
    """x / (total + eps), in the dtype of x."""
    return _Quotient.apply(x, total, eps)


class _Quotient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, total, eps):
        ctx.shapes, ctx.eps = (x.shape, total.shape), eps
        x, total = _groups(x), total.contiguous()
        ctx.save_for_backward(x, total)
        y, (G, H, K) = torch.empty(x.shape, dtype=x.dtype, device=x.device), x.shape
        grid, tiles = _tiles(G * H, K, whole=False)
        _quotient[grid](x, total, y, G * H, H, x.stride()[:2], eps, K, *tiles)
        return y.view(ctx.shapes[0])

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        bound(dy.device)
        (x, total), dy = ctx.saved_tensors, dy.contiguous()
        dx, dtotal = (torch.empty(z.shape, dtype=z.dtype, device=z.device) for z in (x, total))
        G, H, K = x.shape
        grid, tiles = _tiles(G * H, K, whole=True)
        _quotient_back[grid](dy, x, total, dx, dtotal, G * H, H, x.stride()[:2], ctx.eps, K, *tiles)
        return dx.view(ctx.shapes[0]), dtotal.view(ctx.shapes[1]), None


def _groups(x: Tensor) -> Float[Tensor, "G H K"]:
    """Its last axis contiguous, all but the last two as one: a copy where they are none."""
    x = x.flatten(0, -3) if x.dim() > 2 else x.view(1, -1, x.shape[-1])
    return x if x.stride(-1) == 1 else x.contiguous()


def _tiles(R: int, K: int, whole: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """The grid, and numbers and rows of a block; the numbers of a row in one block where it is normalised."""
    block = bucket(K) if whole else min(bucket(K), NUMBERS)
    rows = max(1, NUMBERS // block)
    return (triton.cdiv(R, rows), triton.cdiv(K, block)), (block, rows)
