"""The Triton programs of the backward pass of `_banded`, whose letters these are: each walks back from block to block.

g and h are the gradients of the sums of x and of e of each query, in units of e^-c of its block.
"""

import triton
import triton.language as tl

from models._kernels._banded import NOTHING, TINY, _dot, _place, _rows, _store, _sums, _weights


@triton.jit
def _block(k, v, dy, mark, now, past, t, T, c, inside, D, K_ROW: tl.constexpr, V_ROW: tl.constexpr,
           DY_ROW: tl.constexpr, Q: tl.constexpr, DOT: tl.constexpr):  # fmt: skip
    """Of the block at t, in its units: c, the keys in reach, and the gradients of the sums of its queries."""
    base = tl.load(mark, inside, 0.0)
    e_past = tl.exp(_rows(k, t - Q, T, c, inside, K_ROW, Q, NOTHING) - base[None, :])
    x_past = e_past * _rows(v, t - Q, T, c, inside, V_ROW, Q, 0.0)
    e = tl.exp(_rows(k, t, T, c, inside, K_ROW, Q, NOTHING) - base[None, :])
    x = e * _rows(v, t, T, c, inside, V_ROW, Q, 0.0)
    total = tl.maximum(_sums(now, past, e, e_past, tl.load(mark + 2 * D, inside, 0.0), DOT), TINY)
    g = _rows(dy, t, T, c, inside, DY_ROW, Q, 0.0) / total
    h = -g * _sums(now, past, x, x_past, tl.load(mark + D, inside, 0.0), DOT) / total
    return base, e, x, e_past, x_past, g, h


@triton.jit(do_not_specialize=["T", "N", "B"])
def add_back(k, v, dy, table, marks, sums, k_step, v_step, dy_step, T, L, N, B, K_ROW: tl.constexpr,
             V_ROW: tl.constexpr, DY_ROW: tl.constexpr, H: tl.constexpr, SIZE: tl.constexpr, W: tl.constexpr,
             Q: tl.constexpr, BLOCK: tl.constexpr, DOT: tl.constexpr):  # fmt: skip
    """Sums of g and h over each segment but the first, [4, B, N, D]: of all blocks after its first one, and of that
    one, both in its units."""
    b, n, hd, c, inside = _place(H, N - 1, SIZE, BLOCK)
    n += 1
    D: tl.constexpr = H * SIZE
    k += b * k_step
    v += b * v_step
    dy += b * dy_step
    now = _weights(table, hd, W, Q, False, False)
    past = _weights(table, hd, W, Q, True, False)
    first = n * L // Q
    count = tl.cdiv(tl.minimum(L, T - n * L), Q)
    zero = tl.zeros((BLOCK,), tl.float32)
    g_sum, h_sum, g_one, h_one, base = zero, zero, zero, zero, zero
    for j in range(count):
        block = (first + count - 1 - j).to(tl.int64)
        mark = marks + (b * tl.cdiv(T, Q) + block) * 3 * D + c
        top, _, _, _, _, g, h = _block(k, v, dy, mark, now, past, block * Q, T, c, inside, D, K_ROW, V_ROW, DY_ROW, Q,
                                       DOT)  # fmt: skip
        link = tl.exp(tl.minimum(top - base, 0.0))
        g_sum, h_sum = (g_sum + g_one) * link, (h_sum + h_one) * link
        g_one, h_one, base = tl.sum(g, 0), tl.sum(h, 0), top
    to, step = sums + (b * N + n) * D + c, B.to(tl.int64) * N * D
    tl.store(to, g_sum, inside)
    tl.store(to + step, h_sum, inside)
    tl.store(to + 2 * step, g_one, inside)
    tl.store(to + 3 * step, h_one, inside)


@triton.jit(do_not_specialize=["T", "N", "B"])
def carry_back(marks, sums, T, L, N, B, D, Q: tl.constexpr, BLOCK: tl.constexpr):
    """What `add_back` found of the blocks after a segment's first one becomes that of all blocks after it."""
    tiles = tl.cdiv(D, BLOCK)
    b, c = (tl.program_id(0) // tiles).to(tl.int64), tl.program_id(0) % tiles * BLOCK + tl.arange(0, BLOCK)
    inside, step = c < D, B.to(tl.int64) * N * D
    zero = tl.zeros((BLOCK,), tl.float32)
    g, h, base = zero, zero, zero
    for j in range(N - 1):
        n = N - 1 - j
        top = tl.load(marks + (b * tl.cdiv(T, Q) + n * L // Q) * 3 * D + c, inside, 0.0)
        link = tl.exp(tl.minimum(top - base, 0.0))
        at = sums + (b * N + n) * D + c
        g, h = g * link + tl.load(at, inside, 0.0), h * link + tl.load(at + step, inside, 0.0)
        tl.store(at, g, inside)
        tl.store(at + step, h, inside)
        g, h = g + tl.load(at + 2 * step, inside, 0.0), h + tl.load(at + 3 * step, inside, 0.0)
        base = top


@triton.jit(do_not_specialize=["T", "N", "B"])
def gradients(k, v, dy, table, marks, sums, dk, dv, parts, k_step, v_step, dy_step, T, L, N, B, K_ROW: tl.constexpr,
              V_ROW: tl.constexpr, DY_ROW: tl.constexpr, H: tl.constexpr, SIZE: tl.constexpr, W: tl.constexpr,
              Q: tl.constexpr, BLOCK: tl.constexpr, DOT: tl.constexpr):  # fmt: skip
    """dk and dv [B, T, D]; and of each program, what it adds to the gradient of w, over this block and the one before:
    parts [B, H, tiles, N, 2, Q, Q].

    A key's gradient comes from its own block's queries, the next block's and, weighed alike, all later ones'.
    """
    b, n, hd, c, inside = _place(H, N, SIZE, BLOCK)
    D: tl.constexpr = H * SIZE
    k += b * k_step
    v += b * v_step
    dy += b * dy_step
    dk += b * T * D
    dv += b * T * D
    now = _weights(table, hd, W, Q, False, False)
    past = _weights(table, hd, W, Q, True, False)
    now_turned = _weights(table, hd, W, Q, False, True)
    past_turned = _weights(table, hd, W, Q, True, True)
    first, last, M = n * L // Q, tl.cdiv(tl.minimum((n + 1) * L, T), Q) - 1, tl.cdiv(T, Q)
    zero = tl.zeros((BLOCK,), tl.float32)
    g_all, h_all, g_one, h_one, base = zero, zero, zero, zero, zero
    if sums is not None and n < N - 1:
        at = sums + (b * N + n + 1) * D + c
        g_all = tl.load(at, inside, 0.0)
        h_all = tl.load(at + B.to(tl.int64) * N * D, inside, 0.0)
        base = tl.load(marks + (b * M + last + 1) * 3 * D + c, inside, 0.0)
    g_next = tl.zeros((Q, BLOCK), tl.float32)
    h_next = tl.zeros((Q, BLOCK), tl.float32)
    d_now = tl.zeros((Q, Q), tl.float32)
    d_past = tl.zeros((Q, Q), tl.float32)
    begin = tl.minimum(last + 1, M - 1)  # the next segment's first block, for what it sends to the last one here
    for j in range(begin - first + 1):
        block = (begin - j).to(tl.int64)
        t = block * Q
        top, e, x, e_past, x_past, g, h = _block(k, v, dy, marks + (b * M + block) * 3 * D + c, now, past, t, T, c,
                                                 inside, D, K_ROW, V_ROW, DY_ROW, Q, DOT)  # fmt: skip
        link = tl.exp(tl.minimum(top - base, 0.0))
        g_all, h_all = g_all * link, h_all * link
        if block <= last:
            of_x = _dot(now_turned, g, DOT) + g_next * link[None, :] + g_all[None, :]
            of_e = _dot(now_turned, h, DOT) + h_next * link[None, :] + h_all[None, :]
            _store(dv, e * of_x, t, T, c, inside, D, Q)
            _store(dk, x * of_x + e * of_e, t, T, c, inside, D, Q)
            d_now = _dot(g, tl.trans(x), DOT, d_now)
            d_now = _dot(h, tl.trans(e), DOT, d_now)
            d_past = _dot(g, tl.trans(x_past), DOT, d_past)
            d_past = _dot(h, tl.trans(e_past), DOT, d_past)
        g_all, h_all = g_all + g_one * link, h_all + h_one * link
        g_one, h_one, base = tl.sum(g, 0), tl.sum(h, 0), top
        g_next = _dot(past_turned, g, DOT)
        h_next = _dot(past_turned, h, DOT)
    i, j = tl.arange(0, Q)[:, None], tl.arange(0, Q)[None, :]
    to = parts + tl.program_id(0).to(tl.int64) * 2 * Q * Q + i * Q + j
    tl.store(to, d_now * now)
    tl.store(to + Q * Q, d_past * past)
