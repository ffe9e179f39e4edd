"""Token shift on a GPU by Triton: all blends of `_token_shift.Blend` from one pass over the tokens, and back.

Letters: B batch, T tokens, R rows (the tokens of all sequences), D width, N blends, P programs along the rows.
Everything is computed in float32. Bytes moved per token and channel, with inputs of e bytes: (1 + N) e forward and
(2 + N) e backward, where a neighbour of a row is found in a cache.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from models._kernels import bound, empty, processors

BLOCK = 256  # numbers of a row that a program takes
ROWS, ROWS_BACK = 8, 4  # rows at once: backwards a number needs more registers
FULL = 8  # programs that a multiprocessor is to have where each sums the gradients of the blends over its rows


@triton.jit(do_not_specialize=["T", "R"])
def _blend(x, first, mix, y, T, R, N: tl.constexpr, D: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr):
    """y [N, R, D]."""
    row = (tl.program_id(0) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    inside = (row < R) & (c < D)
    now = tl.load(x + row * D + c, inside, 0.0).to(tl.float32)
    before = _before(x, first, row, c, T, inside, D)
    for n in tl.static_range(N):
        blend = before + tl.load(mix + n * D + c, c < D, 0.0).to(tl.float32) * (now - before)
        tl.store(y + (n * R.to(tl.int64) + row) * D + c, blend.to(y.dtype.element_ty), inside)


@triton.jit
def _before(x, first, row, c, T, inside, D: tl.constexpr):
    """The token before each; before a sequence's first, what `first` holds."""
    begins = row % T == 0
    inner = tl.load(x + (row - 1) * D + c, inside & ~begins, 0.0)
    outer = tl.load(first + row // T * D + c, inside & begins, 0.0)
    return tl.where(begins, outer, inner).to(tl.float32)


@triton.jit(do_not_specialize=["T", "R", "STEPS"])
def _blend_back(dy, x, first, mix, dx, dfirst, dmix, T, R, STEPS, N: tl.constexpr, D: tl.constexpr, BLOCK: tl.constexpr,
                ROWS: tl.constexpr):  # fmt: skip
    """dx [R, D], dfirst [B, D], and of its rows a program's part of dmix [P, N, D]; dy are N tensors [R, D]."""
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)[None, :]
    parts = ()
    for _ in tl.static_range(N):
        parts = parts + (tl.zeros((ROWS, BLOCK), tl.float32),)  # type: ignore[assignment]  # noqa: RUF005
    for step in range(STEPS):
        row = ((tl.program_id(0) * STEPS + step) * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
        inside = (row < R) & (c < D)
        change = tl.load(x + row * D + c, inside, 0.0).to(tl.float32) - _before(x, first, row, c, T, inside, D)
        begins, ends = row % T == 0, row % T == T - 1
        here = tl.zeros((ROWS, BLOCK), tl.float32)
        back = tl.zeros((ROWS, BLOCK), tl.float32)  # what a token has from the blends of the next one
        lost = tl.zeros((ROWS, BLOCK), tl.float32)
        sums = ()
        for n in tl.static_range(N):
            m = tl.load(mix + n * D + c, c < D, 0.0).to(tl.float32)
            g = tl.load(dy[n] + row * D + c, inside, 0.0).to(tl.float32)
            here += m * g
            lost += (1.0 - m) * g
            back += (1.0 - m) * tl.load(dy[n] + (row + 1) * D + c, inside & ~ends, 0.0).to(tl.float32)
            sums = sums + (parts[n] + g * change,)  # type: ignore[assignment]  # noqa: RUF005
        parts = sums
        tl.store(dx + row * D + c, (here + back).to(dx.dtype.element_ty), inside)
        tl.store(dfirst + row // T * D + c, lost.to(dfirst.dtype.element_ty), inside & begins)
    for n in tl.static_range(N):
        tl.store(dmix + (tl.program_id(0) * N + n) * D + c, tl.sum(parts[n], 0)[None, :], c < D)


@torch.compiler.disable
def blend(
    x: Float[Tensor, "B T D"], first: Float[Tensor, "B D"], mix: Float[Tensor, "N D"]
) -> tuple[Float[Tensor, "B T D"], ...]:
    """mix * x_t + (1 - mix) * x_{t-1} for each mix, `first` before the first token."""
    return _Blend.apply(x, first, mix)


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x, first, mix):
        x, first, mix = x.contiguous(), first.contiguous(), mix.contiguous()
        (B, T, D), N = x.shape, len(mix)
        y = empty(x, N, B, T, D, dtype=x.dtype)
        grid = triton.cdiv(B * T, ROWS), triton.cdiv(D, BLOCK)
        _blend[grid](x, first, mix, y, T, B * T, N, D, BLOCK, ROWS)
        ctx.save_for_backward(x, first, mix)
        return y.unbind()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients):
        x, first, mix = ctx.saved_tensors
        bound(x.device)
        (B, T, D), N, tiles = x.shape, len(mix), triton.cdiv(x.shape[2], BLOCK)
        blocks = triton.cdiv(B * T, ROWS_BACK)
        steps = max(1, blocks * tiles // (FULL * processors(x.device)))
        P = triton.cdiv(blocks, steps)
        dx, dfirst = empty(x, B, T, D, dtype=x.dtype), empty(x, B, D, dtype=first.dtype)
        dmix = empty(x, P, N, D)
        dy = tuple(g.contiguous() for g in gradients)
        _blend_back[(P, tiles)](dy, x, first, mix, dx, dfirst, dmix, T, B * T, steps, N, D, BLOCK, ROWS_BACK)
        return dx, dfirst, dmix.sum(0).to(mix.dtype)
