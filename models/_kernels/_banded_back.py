"""The Triton programs of the backward pass of `_banded`, whose letters these are: sums on from block to block of a
segment, gradients back.

g and h are the gradients of the sums of x and of e of each query, in units of e^-c of its block.
"""

import triton
import triton.language as tl

from models._kernels._banded import _dot, _over, _place, _rows, _store, _weighed, _weighed_past, _weights
from models._kernels._links import _exp


@triton.jit
def _slopes(dy, t, T, c, inside, x_sum, e_sum, DY_ROW: tl.constexpr, Q: tl.constexpr, EVEN: tl.constexpr):
    """g and h of the block at t, from the sums of its queries."""
    over = _over(e_sum)
    g = _rows(dy, t, T, c, inside, DY_ROW, Q, 0.0, EVEN) * over
    return g, -g * (x_sum * over)


@triton.jit(do_not_specialize=["T", "N", "B"])
def add_back(k, v, dy, table, marks, sums, parts, k_step, v_step, dy_step, T, L, N, B, K_ROW: tl.constexpr,
             V_ROW: tl.constexpr, DY_ROW: tl.constexpr, H: tl.constexpr, SIZE: tl.constexpr, W: tl.constexpr,
             Q: tl.constexpr, BLOCK: tl.constexpr, DOT: tl.constexpr, EVEN: tl.constexpr):  # fmt: skip
    """Sums of g and h over each segment, [4, B, N, D]: of all blocks after its first one, and of that one, both in its
    units; and what each program adds to the gradient of w, over a block and the one before: parts [B, H, tiles, N, 2,
    Q, Q]."""
    b, n, hd, c, inside = _place(H, N, SIZE, BLOCK)
    D: tl.constexpr = H * SIZE
    M = tl.cdiv(T, Q)
    k += b * k_step
    v += b * v_step
    dy += b * dy_step
    marks += b * M * 3 * D + c
    now = _weights(table, hd, W, Q, False, False)
    past = _weights(table, hd, W, Q, True, False)
    first, last = (n * L // Q).to(tl.int64), tl.minimum((n + 1) * L // Q, M)
    unit = tl.load(marks + first * 3 * D, inside, 0.0)
    x_1, e_1 = _weighed_past(k, v, first * Q, T, c, inside, unit, K_ROW, V_ROW, Q, EVEN)
    zero = tl.zeros((BLOCK,), tl.float32)
    g_sum, h_sum, g_one, h_one, base = zero, zero, zero, zero, unit
    d_now = tl.zeros((Q, Q), tl.float32)
    d_past = tl.zeros((Q, Q), tl.float32)
    for block in range(first, last):
        t, mark = block * Q, marks + block * 3 * D
        top = tl.load(mark, inside, 0.0)
        link, weight = _exp(base - top)[None, :], _exp(unit - top)
        x_1, e_1, base = x_1 * link, e_1 * link, top
        x, e = _weighed(k, v, t, T, c, inside, top, K_ROW, V_ROW, Q, EVEN)
        x_sum = _dot(now, x, DOT, _dot(past, x_1, DOT)) + tl.load(mark + D, inside, 0.0)[None, :]
        e_sum = _dot(now, e, DOT, _dot(past, e_1, DOT)) + tl.load(mark + 2 * D, inside, 0.0)[None, :]
        g, h = _slopes(dy, t, T, c, inside, x_sum, e_sum, DY_ROW, Q, EVEN)
        d_now = _dot(h, tl.trans(e), DOT, _dot(g, tl.trans(x), DOT, d_now))
        d_past = _dot(h, tl.trans(e_1), DOT, _dot(g, tl.trans(x_1), DOT, d_past))
        if sums is not None:
            g_all, h_all = tl.sum(g, 0) * weight, tl.sum(h, 0) * weight
            one = block == first
            g_one, h_one = tl.where(one, g_all, g_one), tl.where(one, h_all, h_one)
            g_sum, h_sum = tl.where(one, 0.0, g_sum + g_all), tl.where(one, 0.0, h_sum + h_all)
        x_1, e_1 = x, e
    i, j = tl.arange(0, Q)[:, None], tl.arange(0, Q)[None, :]
    to = parts + tl.program_id(0).to(tl.int64) * 2 * Q * Q + i * Q + j
    tl.store(to, d_now * now)
    tl.store(to + Q * Q, d_past * past)
    if sums is not None:
        to, step = sums + (b * N + n) * D + c, B.to(tl.int64) * N * D
        tl.store(to, g_sum, inside)
        tl.store(to + step, h_sum, inside)
        tl.store(to + 2 * step, g_one, inside)
        tl.store(to + 3 * step, h_one, inside)


@triton.jit
def _several(x, stride, n, inside, S: tl.constexpr):
    """Those of segments n to n + S, but for the first and what would come before it."""
    rows = ()
    for i in tl.static_range(S):
        rows = rows + (tl.load(x + (n + i) * stride, inside & (n + i > 0), 0.0),)  # type: ignore[assignment]  # noqa: RUF005
    return rows


@triton.jit(do_not_specialize=["T", "N", "B"])
def carry_back(marks, sums, T, L, N, B, D: tl.constexpr, Q: tl.constexpr, BLOCK: tl.constexpr, S: tl.constexpr):
    """What `add_back` found of the blocks after a segment's first one becomes that of all blocks after it."""
    tiles = tl.cdiv(D, BLOCK)
    b, c = (tl.program_id(0) // tiles).to(tl.int64), tl.program_id(0) % tiles * BLOCK + tl.arange(0, BLOCK)
    inside, step = c < D, B.to(tl.int64) * N * D
    marks += b * tl.cdiv(T, Q) * 3 * D + c
    sums += b * N * D + c
    g = tl.zeros((BLOCK,), tl.float32)
    h, base = g, g
    for j in range(0, N - 1, S):
        n = N.to(tl.int64) - S - j  # S segments back from the last, the first of which may be none
        tops = _several(marks, L // Q * 3 * D, n, inside, S)
        g_s, g_1 = _several(sums, D, n, inside, S), _several(sums + 2 * step, D, n, inside, S)
        h_s, h_1 = _several(sums + step, D, n, inside, S), _several(sums + 3 * step, D, n, inside, S)
        for i in tl.static_range(S - 1, -1, -1):
            there = inside & (n + i > 0)
            link = _exp(tl.minimum(tops[i] - base, 0.0))
            g, h = g * link + g_s[i], h * link + h_s[i]
            tl.store(sums + (n + i) * D, g, there)
            tl.store(sums + step + (n + i) * D, h, there)
            g, h, base = g + g_1[i], h + h_1[i], tops[i]


@triton.jit(do_not_specialize=["T", "N", "B"])
def gradients(k, v, dy, table, marks, sums, dk, dv, k_step, v_step, dy_step, T, L, N, B, K_ROW: tl.constexpr,
              V_ROW: tl.constexpr, DY_ROW: tl.constexpr, H: tl.constexpr, SIZE: tl.constexpr, W: tl.constexpr,
              Q: tl.constexpr, BLOCK: tl.constexpr, DOT: tl.constexpr, EVEN: tl.constexpr):  # fmt: skip
    """dk and dv [B, T, D].

    A key's gradient comes from its own block's queries, the next block's and, weighed alike, all later ones'.
    """
    b, n, hd, c, inside = _place(H, N, SIZE, BLOCK)
    D: tl.constexpr = H * SIZE
    M = tl.cdiv(T, Q)
    k += b * k_step
    v += b * v_step
    dy += b * dy_step
    dk += b * T * D
    dv += b * T * D
    marks += b * M * 3 * D + c
    now = _weights(table, hd, W, Q, False, False)
    past = _weights(table, hd, W, Q, True, False)
    now_turned = _weights(table, hd, W, Q, False, True)
    past_turned = _weights(table, hd, W, Q, True, True)
    first, last = n * L // Q, tl.cdiv(tl.minimum((n + 1) * L, T), Q) - 1
    zero = tl.zeros((BLOCK,), tl.float32)
    g_all, h_all, g_one, h_one, base = zero, zero, zero, zero, zero
    if sums is not None and n < N - 1:
        at = sums + (b * N + n + 1) * D + c
        g_all = tl.load(at, inside, 0.0)
        h_all = tl.load(at + B.to(tl.int64) * N * D, inside, 0.0)
        base = tl.load(marks + (last + 1).to(tl.int64) * 3 * D, inside, 0.0)
    g_next = tl.zeros((Q, BLOCK), tl.float32)
    h_next = tl.zeros((Q, BLOCK), tl.float32)
    begin = tl.minimum(last + 1, M - 1)  # the next segment's first block, for what it sends to the last one here
    for j in range(begin - first + 1):
        block = (begin - j).to(tl.int64)
        t, mark = block * Q, marks + block * 3 * D
        top = tl.load(mark, inside, 0.0)
        x_1, e_1 = _weighed_past(k, v, t, T, c, inside, top, K_ROW, V_ROW, Q, EVEN)
        x, e = _weighed(k, v, t, T, c, inside, top, K_ROW, V_ROW, Q, EVEN)
        x_sum = _dot(now, x, DOT, _dot(past, x_1, DOT)) + tl.load(mark + D, inside, 0.0)[None, :]
        e_sum = _dot(now, e, DOT, _dot(past, e_1, DOT)) + tl.load(mark + 2 * D, inside, 0.0)[None, :]
        g, h = _slopes(dy, t, T, c, inside, x_sum, e_sum, DY_ROW, Q, EVEN)
        link = _exp(tl.minimum(top - base, 0.0))
        g_all, h_all = g_all * link, h_all * link
        if block <= last:
            of_x = _dot(now_turned, g, DOT, g_next * link[None, :] + g_all[None, :])
            of_e = _dot(now_turned, h, DOT, h_next * link[None, :] + h_all[None, :])
            _store(dv, e * of_x, t, T, c, inside, D, Q, EVEN)
            _store(dk, x * of_x + e * of_e, t, T, c, inside, D, Q, EVEN)
        g_all, h_all = g_all + g_one * link, h_all + h_one * link
        g_one, h_one, base = tl.sum(g, 0), tl.sum(h, 0), top
        g_next = _dot(past_turned, g, DOT)
        h_next = _dot(past_turned, h, DOT)
