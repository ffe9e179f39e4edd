"""Linear maps of single tokens after token shift: each of its own blend of a token, normalised, with the one before.

Letters: B rows, D width, N blends and outputs of a map, S parts of the inputs.

    y_n = act_n(W_n (mix_n a + (1 - mix_n) before))     a the norm of x, `before` that of the token before

One row: every program blends for itself and holds the weights of a few outputs, as in `skinny`; none can overwrite
`before`, which others may still have to read, so a later program copies a to it. More rows: one program to a row makes
the blends and overwrites `before`, and `skinny` does the rest.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from models._kernels import bucket, early, processors, skinny
from models._kernels._skinny import _act, _normal, _summed
from models._portions import WHOLE, Portion

Rows = Float[Tensor, "B D"]


@triton.jit
def _shifted(x, parts, total, scale, bias, rk, inside, b, B, eps, first, S: tl.constexpr, D: tl.constexpr):
    """The norm of row b, rounded as it is kept; where `first`, x plus the parts is written to `total`."""
    a = _summed(x + b * D, parts, total, b * D, B * D, rk, inside, first, S)
    return _normal(a, inside, scale, bias, eps, D).to(x.dtype.element_ty)


@triton.jit(do_not_specialize=["B"])
def _blend(x, parts, total, scale, bias, mix, held, y, B, eps, S: tl.constexpr, N: tl.constexpr, D: tl.constexpr,
           BD: tl.constexpr, EARLY: tl.constexpr):  # fmt: skip
    """The blends of one row, y [N, B, D]."""
    b, rk = tl.program_id(0).to(tl.int64), tl.arange(0, BD)
    inside = rk < D
    s = tl.load(scale + rk, inside, 0.0).to(tl.float32)
    c = None
    if bias is not None:
        c = tl.load(bias + rk, inside, 0.0).to(tl.float32)
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    before = tl.load(held + b * D + rk, inside, 0.0).to(tl.float32)
    new = _shifted(x, parts, total, s, c, rk, inside, b, B, eps, True, S, D)
    tl.store(held + b * D + rk, new.to(held.dtype.element_ty), inside)
    change = new.to(tl.float32) - before
    for n in tl.static_range(N):
        m = tl.load(mix + n * D + rk, inside, 0.0).to(tl.float32)
        tl.store(y + (n * B + b) * D + rk, (before + m * change).to(y.dtype.element_ty), inside)


@triton.jit
def _one(x, parts, total, scale, bias, mix, held, kept, w, second, y, M, L, eps, S: tl.constexpr, D: tl.constexpr,
         ACT: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr, POLICY: tl.constexpr, EARLY: tl.constexpr):  # fmt: skip
    """[BN] outputs of one of the maps of one row: maps of M outputs each in `w`; or one, and one of L in `second`."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
    pid, tiles, rk = tl.program_id(0), tl.cdiv(M, BN), tl.arange(0, BD)
    inside = rk < D
    if second is None:
        n = pid // tiles
        rn = pid % tiles * BN + tl.arange(0, BN)
        there = rn < M
        at = (n * M + rn)[:, None].to(tl.int64) * D + rk[None, :]
        weights = tl.load(w + at, there[:, None] & inside[None, :], 0.0, eviction_policy=POLICY)
    else:
        n = tl.minimum(pid // tiles, 1)
        rn = (pid - n * tiles) * BN + tl.arange(0, BN)
        there = rn < tl.where(n == 0, M, L)
        at = rn[:, None].to(tl.int64) * D + rk[None, :]
        if n == 0:
            weights = tl.load(w + at, there[:, None] & inside[None, :], 0.0, eviction_policy=POLICY)
        else:
            weights = tl.load(second + at, there[:, None] & inside[None, :], 0.0, eviction_policy=POLICY)
    s = tl.load(scale + rk, inside, 0.0).to(tl.float32)
    c = None
    if bias is not None:
        c = tl.load(bias + rk, inside, 0.0).to(tl.float32)
    m = tl.load(mix + n * D + rk, inside, 0.0).to(tl.float32)
    if EARLY:
        tl.extra.cuda.gdc_wait()
    before = tl.load(held + rk, inside, 0.0).to(tl.float32)
    new = _shifted(x, parts, total, s, c, rk, inside, 0, 1, eps, pid == 0, S, D)
    tl.store(kept + rk, new, inside & (pid == 0))
    blend = before + m * (new.to(tl.float32) - before)
    out = tl.sum(weights.to(tl.float32) * blend[None, :], 1)
    if ACT != 0:
        out = tl.where(n == 0, _act(out, out, ACT), out)
    tl.store(y + n * M + rn, out.to(y.dtype.element_ty), there)


def read(
    x: Rows,
    parts: Float[Tensor, "S B D"] | None,
    norm: Any,
    mix: Float[Tensor, "N D"],
    held: Rows,
    weight: Float[Tensor, "_ D"],
    second: Float[Tensor, "_ D"] | None = None,
    portion: Portion = WHOLE,
) -> tuple[Rows, list[Tensor], tuple[Rows, Rows] | None]:
    """x plus the parts, the outputs of each map, and what a later program must move: for which see `skinny.write`.

    The maps are N equal parts of `weight`; or it, with the square of relu behind it, and `second`. For `portion`,
    which is that of one row, see `models._portions`.
    """
    (B, D), N, act = x.shape, len(mix), None if second is None else "squared_relu"
    total = x if parts is None else torch.empty(x.shape, dtype=x.dtype, device=x.device)
    sizes = [len(weight) // N] * N if second is None else [len(weight), len(second)]
    given = (
        x.contiguous(),
        None if parts is None else parts.contiguous(),
        total,
        norm.weight,
        getattr(norm, "bias", None),
        mix,
        held,
    )
    S, BD, (wait, how) = 0 if parts is None else len(parts), bucket(D, 16), early(x.device)
    if B == 1:
        kept, y = torch.empty_like(held), torch.empty(1, sum(sizes), dtype=weight.dtype, device=x.device)
        BN = skinny.share(portion.most // BD, sum(sizes), processors(x.device))
        grid = (sum(triton.cdiv(size, BN) for size in sizes),)
        of_maps = weight, second, y, sizes[0], sizes[1], norm.eps, S, D, skinny.ACTS[act], BN, BD, portion.policy, wait
        _one[grid](*given, kept, *of_maps, num_warps=skinny.ONE_WARPS, **how)
        return total, list(y.split(sizes, 1)), (kept, held)
    blends = torch.empty(N, B, D, dtype=weight.dtype, device=x.device)
    _blend[(B,)](*given, blends, B, norm.eps, S, N, D, BD, wait, num_warps=8, **how)
    if second is None:
        y = torch.empty(N, B, sizes[0], dtype=weight.dtype, device=x.device)
        skinny.map_few(blends.flatten(0, 1), weight, y, None, 1, None, P=N)
        return total, list(y.unbind()), None
    outputs = [torch.empty(B, size, dtype=weight.dtype, device=x.device) for size in sizes]
    skinny.map_few(blends[0], weight, outputs[0], None, 1, act)
    skinny.map_few(blends[1], second, outputs[1], None, 1, None)
    return total, outputs, None
