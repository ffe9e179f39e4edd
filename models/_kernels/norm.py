"""A sum and its norm in one pass over the data, and in one pass the gradient of both.

Letters: R rows, D numbers of a row, P programs of the pass back. Everything is computed in float32; the sum is rounded
to the inputs' dtype before its norm is taken, as two operators would do it.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from models._kernels import bound, bucket, empty, processors

NUMBERS = 2048  # that one program takes at a time, or one row
EACH = 4  # programs of the pass back on each multiprocessor: so many sums of the weight's gradient are kept


@triton.jit
def _normal(x, inside, EPS: tl.constexpr, CENTRED: tl.constexpr, D: tl.constexpr):
    """Rows without their mean, divided by their root mean square; and one over that."""
    if CENTRED:
        x = tl.where(inside, x - (tl.sum(x, 1) / D)[:, None], 0.0)
    r = tl.rsqrt(tl.sum(x * x, 1) / D + EPS)[:, None]
    return x * r, r


@triton.jit(do_not_specialize=["R"])
def _forward(x, delta, weight, bias, total, y, R, EPS: tl.constexpr, CENTRED: tl.constexpr, D: tl.constexpr,
             BLOCK: tl.constexpr, ROWS: tl.constexpr):  # fmt: skip
    d = tl.arange(0, BLOCK)[None, :]
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    inside, at = (row < R) & (d < D), row * D + d
    s = tl.load(x + at, inside, 0.0).to(tl.float32) + tl.load(delta + at, inside, 0.0).to(tl.float32)
    s = s.to(total.dtype.element_ty)
    tl.store(total + at, s, inside)
    n, _ = _normal(s.to(tl.float32), inside, EPS, CENTRED, D)
    n *= tl.load(weight + d, d < D, 0.0).to(tl.float32)
    if bias is not None:
        n += tl.load(bias + d, d < D, 0.0).to(tl.float32)
    tl.store(y + at, n.to(y.dtype.element_ty), inside)


@triton.jit(do_not_specialize=["R", "P"])
def _back(dy, dtotal, total, weight, dx, dweight, dbias, R, P, EPS: tl.constexpr, CENTRED: tl.constexpr,
          D: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr):  # fmt: skip
    """Of every P-th block of rows: dx, and what they add to the gradients of weight and bias."""
    d = tl.arange(0, BLOCK)[None, :]
    w = tl.load(weight + d, d < D, 0.0).to(tl.float32)
    of_weight, of_bias = tl.zeros((ROWS, BLOCK), tl.float32), tl.zeros((ROWS, BLOCK), tl.float32)
    for block in range(tl.program_id(0), tl.cdiv(R, ROWS), P):
        row = (block * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
        inside, at = (row < R) & (d < D), row * D + d
        n, r = _normal(tl.load(total + at, inside, 0.0).to(tl.float32), inside, EPS, CENTRED, D)
        g = tl.load(dy + at, inside, 0.0).to(tl.float32)
        of_weight += tl.where(inside, g * n, 0.0)  # of a row that is none, n is not a number where EPS is 0
        if dbias is not None:
            of_bias += g
        g *= w
        back = g - n * (tl.sum(g * n, 1) / D)[:, None]
        if CENTRED:
            back -= (tl.sum(g, 1) / D)[:, None]
        back *= r
        if dtotal is not None:
            back += tl.load(dtotal + at, inside, 0.0).to(tl.float32)
        tl.store(dx + at, back.to(dx.dtype.element_ty), inside)
    at = tl.program_id(0) * D + d
    tl.store(dweight + at, tl.sum(of_weight, 0)[None, :], d < D)
    if dbias is not None:
        tl.store(dbias + at, tl.sum(of_bias, 0)[None, :], d < D)


def add_norm(
    x: Float[Tensor, "*any D"],
    delta: Float[Tensor, "*any D"],
    weight: Float[Tensor, "D"],
    bias: Float[Tensor, "D"] | None,
    eps: float,
    centred: bool,
) -> tuple[Float[Tensor, "*any D"], Float[Tensor, "*any D"]]:
    """x + delta, and its RMS norm, or where `centred` its layer norm."""
    if torch.is_grad_enabled():
        return _AddNorm.apply(x, delta, weight, bias, eps, centred)
    return _added(x, delta, weight, bias, eps, centred)


class _AddNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, delta, weight, bias, eps, centred):
        ctx.set_materialize_grads(False)
        total, y = _added(x, delta, weight, bias, eps, centred)
        ctx.save_for_backward(total, weight, bias)
        ctx.how = eps, centred
        return total, y

    @staticmethod
    @once_differentiable
    def backward(ctx, dtotal, dy):
        if dy is None:
            return dtotal, dtotal, None, None, None, None
        bound(dy.device)
        total, weight, bias = ctx.saved_tensors
        dy, dtotal = (None if z is None else z.contiguous() for z in (dy, dtotal))
        R, D, tiles = total.numel() // total.shape[-1], total.shape[-1], _tiles(total.shape[-1])
        P = min(triton.cdiv(R, tiles["ROWS"]), EACH * processors(dy.device))
        dx = torch.empty(total.shape, dtype=total.dtype, device=total.device)
        sums = [None if z is None else empty(dy, P, D) for z in (weight, bias)]
        _back[(P,)](dy, dtotal, total, weight, dx, *sums, R, P, *ctx.how, D, **tiles)
        dweight, dbias = (None if z is None else z.sum(0).to(weight.dtype) for z in sums)
        return dx, dx, dweight, dbias, None, None


def _added(x, delta, weight, bias, eps, centred):
    x, delta = x.contiguous(), delta.contiguous()
    R, D, tiles = x.numel() // x.shape[-1], x.shape[-1], _tiles(x.shape[-1])
    total, y = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for _ in range(2))
    _forward[(triton.cdiv(R, tiles["ROWS"]),)](x, delta, weight, bias, total, y, R, eps, centred, D, **tiles)
    return total, y


def _tiles(D: int) -> dict[str, int]:
    block = bucket(D)
    return {"BLOCK": block, "ROWS": max(1, NUMBERS // block), "num_warps": min(16, max(4, block // 512))}
