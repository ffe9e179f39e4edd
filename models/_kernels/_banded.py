"""The Triton programs of averages over a window and all before it: each walks over the blocks of one segment.

Letters: B batch, T tokens, H heads, W window, Q tokens of a block, N segments of L tokens; a program has BLOCK of the
SIZE channels of one head. `e` is e^{k - c} of the keys of a block, `x` that times their values: sums of both are in
units of e^c, where c stands RANGE below the largest key up to the end of the block. Marks [B, M, 3, D] are, before
each of M blocks, c and the sums of x and e over all keys before the block that it follows: those that no bias weighs.
"""

import triton
import triton.language as tl

from models import _average, _wkv

NOTHING = tl.constexpr(_wkv.NOTHING)
TINY = tl.constexpr(_average.TINY)
RANGE = tl.constexpr(30.0)  # less than `_average.RANGE`: a gradient over a sum of many keys must stay a normal number


@triton.jit
def _place(H, N, SIZE, BLOCK: tl.constexpr):
    """Of a program: its batch, its segment, its head, its channels and which of these there are."""
    tiles = tl.cdiv(SIZE, BLOCK)
    n, rest = tl.program_id(0) % N, tl.program_id(0) // N
    h = rest // tiles % H
    i = rest % tiles * BLOCK + tl.arange(0, BLOCK)
    return (rest // tiles // H).to(tl.int64), n, h, h * SIZE + i, i < SIZE


@triton.jit
def _distances(Q: tl.constexpr, PAST: tl.constexpr, TURNED: tl.constexpr):
    """From the queries of a block, the rows, to its keys or, PAST, to those of the block before; TURNED: keys first."""
    i = tl.arange(0, Q)[:, None]
    j = tl.arange(0, Q)[None, :]
    return (j - i if TURNED else i - j) + (Q if PAST else 0)


@triton.jit
def _weights(table, h, W: tl.constexpr, Q: tl.constexpr, PAST: tl.constexpr, TURNED: tl.constexpr):
    """e^w: 1 beyond the window, 0 for the future."""
    distance = _distances(Q, PAST, TURNED)
    w = tl.load(table + h * W + distance, (distance >= 0) & (distance < W), 0.0).to(tl.float32)
    return tl.where(distance >= 0, tl.exp(w), 0.0)


@triton.jit
def _rows(x, t, T, c, inside, ROW: tl.constexpr, Q: tl.constexpr, OTHER: tl.constexpr):
    """Tokens t to t + Q of what begins at x, as far as there are any."""
    rows = t + tl.arange(0, Q)
    there = (rows >= 0) & (rows < T)
    return tl.load(x + rows[:, None] * ROW + c[None, :], there[:, None] & inside[None, :], OTHER).to(tl.float32)


@triton.jit
def _store(x, block, t, T, c, inside, D, Q: tl.constexpr):
    rows = t + tl.arange(0, Q)
    to = x + rows[:, None] * D + c[None, :]
    tl.store(to, block.to(x.dtype.element_ty), (rows < T)[:, None] & inside[None, :])


@triton.jit
def _dot(a, b, DOT: tl.constexpr, total=None):
    """`DOT`: tf32 or ieee, of float32; or bf16, to which both are rounded."""
    if DOT == "bf16":
        a, b = a.to(tl.bfloat16), b.to(tl.bfloat16)
    return tl.dot(a, b, total, input_precision="ieee" if DOT == "bf16" else DOT)


@triton.jit
def _sums(now, past, x, x_past, before, DOT: tl.constexpr):
    """Of each query of a block."""
    return _dot(now, x, DOT, _dot(past, x_past, DOT)) + before[None, :]


@triton.jit
def _store_older(key, value, t, last, x, e, x_past, e_past, x_old, e_old, base, there, Q: tl.constexpr):
    """The one key and value of all up to token `last`, from the block at t."""
    now = (t + tl.arange(0, Q) <= last)[:, None]
    past = (t - Q + tl.arange(0, Q) <= last)[:, None]
    weight = e_old + tl.sum(tl.where(past, e_past, 0.0), 0) + tl.sum(tl.where(now, e, 0.0), 0)
    values = x_old + tl.sum(tl.where(past, x_past, 0.0), 0) + tl.sum(tl.where(now, x, 0.0), 0)
    some = weight > 0.0
    weight = tl.where(some, weight, 1.0)
    tl.store(key, tl.where(some, base + tl.log(weight), NOTHING), there)
    tl.store(value, values / weight, there)


@triton.jit(do_not_specialize=["T", "N"])
def outputs(k, v, table, ms, ps, qs, y, marks, older_key, older_value, k_step, v_step, T, L, N, K_ROW: tl.constexpr,
            V_ROW: tl.constexpr, H: tl.constexpr, SIZE: tl.constexpr, W: tl.constexpr, Q: tl.constexpr,
            BLOCK: tl.constexpr, DOT: tl.constexpr):  # fmt: skip
    """y [B, T, D] from states [B, N, D] before tokens n L, of which the segments begin Q later, but for the first one.

    And where asked for, the marks, and the one key and value of all but the W - 1 last tokens.
    """
    b, n, h, c, inside = _place(H, N, SIZE, BLOCK)
    D: tl.constexpr = H * SIZE
    k += b * k_step
    v += b * v_step
    y += b * T * D
    now = _weights(table, h, W, Q, False, False)
    past = _weights(table, h, W, Q, True, False)
    at = (b * N + n) * D + c
    unit = tl.load(ms + at, inside, 0.0)
    begin = (n * L + tl.where(n > 0, Q, 0)).to(tl.int64)
    keys = _rows(k, begin - Q, T, c, inside, K_ROW, Q, NOTHING)
    base = tl.maximum(unit, tl.max(keys, 0)) - RANGE
    x_old = tl.load(ps + at, inside, 0.0) * tl.exp(unit - base)
    e_old = tl.load(qs + at, inside, 0.0) * tl.exp(unit - base)
    e_past = tl.exp(keys - base[None, :])
    x_past = e_past * _rows(v, begin - Q, T, c, inside, V_ROW, Q, 0.0)
    end = tl.minimum((n + 1) * L + Q, T)
    for j in range(tl.cdiv(end - begin, Q)):
        t = begin + j * Q
        keys = _rows(k, t, T, c, inside, K_ROW, Q, NOTHING)
        top = tl.maximum(base, tl.max(keys, 0) - RANGE)
        link = tl.exp(base - top)
        base, x_old, e_old = top, x_old * link, e_old * link
        x_past, e_past = x_past * link[None, :], e_past * link[None, :]
        e = tl.exp(keys - base[None, :])
        x = e * _rows(v, t, T, c, inside, V_ROW, Q, 0.0)
        if marks is not None:
            to = marks + (b * tl.cdiv(T, Q) + t // Q) * 3 * D + c
            tl.store(to, base, inside)
            tl.store(to + D, x_old, inside)
            tl.store(to + 2 * D, e_old, inside)
        total = tl.maximum(_sums(now, past, e, e_past, e_old, DOT), TINY)
        _store(y, _sums(now, past, x, x_past, x_old, DOT) / total, t, T, c, inside, D, Q)
        if older_key is not None:
            to, there = b * D + c, inside & (t + Q >= T)
            _store_older(older_key + to, older_value + to, t, T - W, x, e, x_past, e_past, x_old, e_old, base, there, Q)
        x_old, e_old = x_old + tl.sum(x_past, 0), e_old + tl.sum(e_past, 0)
        x_past, e_past = x, e
