"""What divides linear attention where its features are turned, on a GPU by Triton: `_sums.totals` with its gradients.

Letters: B batch, T tokens, H heads, F features of one, P parts of F, N segments of L tokens; r, the gradient of z.

    z_n = z_{n-1} + k_n    total_n = q_n . z_n        r_n = r_{n+1} + dtotal_n q_n    dk_n = r_n    dq_n = dtotal_n z_n

One warp has a tile of heads and features, its z or r in registers, and walks over the tokens of one segment; forwards,
or for r backwards, so that no sum is the difference of two. A first pass finds what each segment adds, a second what
stands before each (after each), and the walks then begin everywhere at once. Nothing is added up in an order that
chance decides, so results repeat bit for bit.

Everything is computed in float32. Kept for the backward pass are the inputs and the z before each segment. Bytes moved
per token and feature, with inputs of e bytes (2 in bfloat16):

    forward     2 e, q and k; e more where there are segments
    backward    4 e, q and k to dq and dk; e more where there are segments

The more is (N - 1) / N of that, and 16 / L for what segments add.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from models._kernels import bound, bucket, empty, processors, segment
from models._kernels._walk import _rows

NUMBERS = 128  # of a token, that a program takes: four of each thread
S = 16  # tokens that a program reads at once
CARRIED, ROWS = 32, 64  # numbers and segments of a program that carries sums over segments, at once
FULL = 16  # programs that a multiprocessor is to have before time is left uncut
SHORTEST = 64  # tokens of a segment, at least


@triton.jit
def _place(N, H: tl.constexpr, F: tl.constexpr, HEADS: tl.constexpr, BLOCK: tl.constexpr):
    """Of a program: its batch, its segment, its heads, its part, its numbers [HEADS, BLOCK] and which there are."""
    parts = tl.cdiv(F, BLOCK)
    tiles = tl.cdiv(H, HEADS) * parts
    bn, tile = tl.program_id(0) // tiles, tl.program_id(0) % tiles
    h = tile // parts * HEADS + tl.arange(0, HEADS)
    f = tile % parts * BLOCK + tl.arange(0, BLOCK)
    inside = (h < H)[:, None] & (f < F)[None, :]
    return (bn // N).to(tl.int64), bn % N, h, tile % parts, h[:, None] * F + f[None, :], inside


@triton.jit
def _begin(sums, row, c, inside, C: tl.constexpr, HEADS: tl.constexpr, BLOCK: tl.constexpr):
    """Where a walk begins: the row of sums [B N, C], or nothing where there are none."""
    z = tl.zeros((HEADS, BLOCK), tl.float32)
    if sums is not None:
        z += tl.load(sums + row * C + c, inside, 0.0)
    return z


@triton.jit(do_not_specialize=["T", "N"])
def add(x, weights, sums, x_step, T, L, N, X_ROW: tl.constexpr, H: tl.constexpr, F: tl.constexpr, HEADS: tl.constexpr,
        BLOCK: tl.constexpr, EVEN: tl.constexpr, S: tl.constexpr):  # fmt: skip
    """The sum of x over each segment but the last, at the place of the next in sums [B, N, H, F]. With weights
    [B, T, H] of what they weigh, but the first, in the order of a walk backwards: place 0 is that of the last one.
    """
    b, m, h, _, c, inside = _place(N - 1, H, F, HEADS, BLOCK)
    n = m if weights is None else N - 1 - m
    x += b * x_step
    z = tl.zeros((HEADS, BLOCK), tl.float32)
    for j in range(tl.cdiv(tl.minimum(L, T - n * L), S)):
        t = (n * L + j * S).to(tl.int64)
        x_s = _rows(x + c, X_ROW, t, T, inside, 0.0, S, EVEN)
        if weights is not None:
            d_s = _rows(weights + b * T * H + h, H, t, T, h < H, 0.0, S, EVEN)
        for i in tl.static_range(S):
            z += x_s[i].to(tl.float32) if weights is None else x_s[i].to(tl.float32) * d_s[i][:, None]
    tl.store(sums + (b * N + m + 1) * H * F + c, z, inside)


@triton.jit(do_not_specialize=["N"])
def carry(sums, start, N, C: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr):
    """What `add` found becomes what a walk over each segment begins with; over the first it is `start`, or nothing."""
    tiles = tl.cdiv(C, BLOCK)
    b, c = (tl.program_id(0) // tiles).to(tl.int64), tl.program_id(0) % tiles * BLOCK + tl.arange(0, BLOCK)
    z = tl.zeros((BLOCK,), tl.float32)
    if start is not None:
        z += tl.load(start + b * C + c, c < C, 0.0)
    for first in range(0, N, ROWS):
        n = first + tl.arange(0, ROWS)[:, None]
        inside = (n < N) & (c < C)[None, :]
        at = sums + (b * N + n) * C + c[None, :]
        x = tl.load(at, inside & (n > 0), 0.0)
        tl.store(at, z[None, :] + tl.cumsum(x, 0), inside)
        z += tl.sum(x, 0)


@triton.jit(do_not_specialize=["B", "T", "N"])
def outputs(q, k, starts, total, z_T, q_step, k_step, B, T, L, N, Q_ROW: tl.constexpr, K_ROW: tl.constexpr,
            H: tl.constexpr, F: tl.constexpr, HEADS: tl.constexpr, BLOCK: tl.constexpr, EVEN: tl.constexpr,
            S: tl.constexpr):  # fmt: skip
    """Each part's share of the totals [P, B, T, H], and the last z [B, H, F], from z before segments [B, N, H, F]."""
    b, n, h, part, c, inside = _place(N, H, F, HEADS, BLOCK)
    q += b * q_step
    k += b * k_step
    z = _begin(starts, b * N + n, c, inside, H * F, HEADS, BLOCK)
    for j in range(tl.cdiv(tl.minimum(L, T - n * L), S)):
        t = (n * L + j * S).to(tl.int64)
        k_s = _rows(k + c, K_ROW, t, T, inside, 0.0, S, EVEN)
        q_s = _rows(q + c, Q_ROW, t, T, inside, 0.0, S, EVEN)
        at = total + ((part * B + b) * T + t) * H + h
        for i in tl.static_range(S):
            z += k_s[i].to(tl.float32)
            there = h < H if EVEN else (h < H) & (t + i < T)
            tl.store(at + i * H, tl.sum(q_s[i].to(tl.float32) * z, 1), there)
    if z_T is not None and n == N - 1:
        tl.store(z_T + b * H * F + c, z, inside)


@triton.jit(do_not_specialize=["T", "N"])
def gradients(q, k, d, starts, ends, dq, dk, dz, q_step, k_step, T, L, N, Q_ROW: tl.constexpr, K_ROW: tl.constexpr,
              H: tl.constexpr, F: tl.constexpr, HEADS: tl.constexpr, BLOCK: tl.constexpr, EVEN: tl.constexpr,
              S: tl.constexpr):  # fmt: skip
    """dq and dk [B, T, H, F], each by programs of its own, and the gradient of the z given; d is that of the totals.

    `ends` are in the order of a walk backwards.
    """
    b, n, h, _, c, inside = _place(N, H, F, HEADS, BLOCK)
    d += b * T * H + h
    blocks = tl.cdiv(tl.minimum(L, T - n * L), S)
    begin = (n * L).to(tl.int64)
    if tl.program_id(1) == 0:
        z = _begin(starts, b * N + n, c, inside, H * F, HEADS, BLOCK)
        for j in range(blocks):
            t = begin + j * S
            k_s = _rows(k + b * k_step + c, K_ROW, t, T, inside, 0.0, S, EVEN)
            d_s = _rows(d, H, t, T, h < H, 0.0, S, EVEN)
            at = dq + (b * T + t) * H * F + c
            for i in tl.static_range(S):
                z += k_s[i].to(tl.float32)
                there = inside if EVEN else inside & (t + i < T)
                tl.store(at + i * H * F, (z * d_s[i][:, None]).to(dq.dtype.element_ty), there)
    else:
        r = _begin(ends, b * N + N - 1 - n, c, inside, H * F, HEADS, BLOCK)
        for j in range(blocks):
            t = begin + (blocks - 1 - j) * S
            q_s = _rows(q + b * q_step + c, Q_ROW, t, T, inside, 0.0, S, EVEN)
            d_s = _rows(d, H, t, T, h < H, 0.0, S, EVEN)
            last = dk + (b * T + t + S - 1) * H * F + c
            for i in tl.static_range(S):
                r += q_s[S - 1 - i].to(tl.float32) * d_s[S - 1 - i][:, None]
                there = inside if EVEN else inside & (t + S - 1 - i < T)
                tl.store(last - i * H * F, r.to(dk.dtype.element_ty), there)
        if dz is not None and n == 0:
            tl.store(dz + b * H * F + c, r, inside)


@torch.compiler.disable
def totals(
    q: Float[Tensor, "B T H F"],
    k: Float[Tensor, "B T H F"],
    z: Float[Tensor, "B H F"] | None = None,
    keep_state: bool = False,
    L: int | None = None,
) -> tuple[Float[Tensor, "B T H 1"], Float[Tensor, "B H F"] | None]:
    """The totals and, where `keep_state`, z after the last token, both in float32.

    `L` overrules the length of a segment. Raises ValueError where it is no multiple of S.
    """
    if L is not None and (L < 1 or L % S):
        raise ValueError(f"L is {L}; it must be a multiple of {S}")
    B, T, H, F = q.shape
    L = L or segment(T, B * _tiles(H, F)[0], FULL * processors(q.device), SHORTEST, S)
    return _Totals.apply(q, k, z, keep_state, L)


class _Totals(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q, k, z, keep_state, L):
        (B, T, H, F), N = q.shape, triton.cdiv(q.shape[1], L)
        q, k = _neighbours(q), _neighbours(k)
        tiles, *sizes = _tiles(H, F)
        starts = _sums(k, None, None if z is None else z.float().contiguous(), L)
        parts = empty(q, triton.cdiv(F, sizes[-1]), B, T, H)
        z_T = empty(q, B, H, F) if keep_state else None
        steps, rows = (q.stride(0), k.stride(0)), (q.stride(1), k.stride(1))
        outputs[(tiles * B * N,)](
            *(q, k, starts, parts, z_T, *steps, B, T, L, N, *rows, H, F, *sizes, T % S == 0, S), num_warps=1
        )
        ctx.save_for_backward(q, k, starts)
        ctx.L, ctx.has_state = L, z is not None
        ctx.set_materialize_grads(False)
        return (parts[0] if len(parts) == 1 else parts.sum(0)).unsqueeze(-1), z_T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dtotal, dz_T):
        q, k, starts = ctx.saved_tensors
        bound(q.device)
        (B, T, H, F), L = q.shape, ctx.L
        N, (tiles, *sizes) = triton.cdiv(T, L), _tiles(H, F)
        d = torch.zeros(B, T, H, dtype=torch.float32, device=q.device) if dtotal is None else dtotal.contiguous()
        ends = _sums(q, d, None if dz_T is None else dz_T.contiguous(), L)
        dq, dk = (empty(q, B, T, H, F, dtype=x.dtype) for x in (q, k))
        dz = empty(q, B, H, F) if ctx.has_state else None
        steps, rows = (q.stride(0), k.stride(0)), (q.stride(1), k.stride(1))
        gradients[(tiles * B * N, 2)](
            *(q, k, d, starts, ends, dq, dk, dz, *steps, T, L, N, *rows, H, F, *sizes, T % S == 0, S), num_warps=1
        )
        return dq, dk, dz, None, None


def _sums(x: Tensor, weights: Tensor | None, start: Tensor | None, L: int) -> Float[Tensor, "B *N H F"] | None:
    """What a walk over each segment begins with, in the order of the walk; `start` itself where there is one segment.

    With `weights` it is of x times these, and the walk goes backwards.
    """
    (B, T, H, F), N = x.shape, triton.cdiv(x.shape[1], L)
    if N == 1:
        return start
    tiles, *sizes = _tiles(H, F)
    sums = empty(x, B, N, H, F)
    add[(tiles * B * (N - 1),)](
        *(x, weights, sums, x.stride(0), T, L, N, x.stride(1), H, F, *sizes, T % S == 0, S), num_warps=1
    )
    carry[(triton.cdiv(H * F, CARRIED) * B,)](sums, start, N, H * F, CARRIED, ROWS, num_warps=4)
    return sums


def _neighbours(x: Tensor) -> Float[Tensor, "B T H F"]:
    """x itself, or a copy where the features of a token's heads are no neighbours."""
    return x if x.stride()[2:] == (x.shape[3], 1) else x.contiguous()


def _tiles(H: int, F: int) -> tuple[int, int, int]:
    """Tiles of a token, and heads and features of one."""
    block = min(bucket(F, 8), NUMBERS)
    heads = min(NUMBERS // block, bucket(H, 1))
    return triton.cdiv(H, heads) * triton.cdiv(F, block), heads, block
