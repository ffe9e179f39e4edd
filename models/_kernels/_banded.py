"""The Triton programs of averages over a window and all before it: `add` sums up blocks, `outputs` averages.

Letters: B batch, T tokens, H heads, D channels, W window, M blocks of Q tokens, N segments of L; a program has BLOCK of
the SIZE channels of one head. `e` is e^{k - c} of the keys of a block, `x` that times their values: sums of both are in
units of e^c, where c stands RANGE below the largest key up to the end of the block. Sums [B, M, 3, D] are, of each
block, its largest key and in units of that the sums of x and e. Marks [B, M, 3, D] are, before each block, c and the
sums of x and e over all keys before the block that it follows: those that no bias weighs.

EVEN: there are all tokens of all blocks and, but for `add`, all channels of a program.
"""

import triton
import triton.language as tl

from models import _average
from models._kernels._links import NOTHING, _exp
from models._kernels._walk import _place as _whole
from models._kernels._walk import _rows as _tokens
from models._kernels._walk import _store as _store_sums

TINY = tl.constexpr(_average.TINY)
RANGE = tl.constexpr(30.0)  # less than `_average.RANGE`: a gradient over a sum of many keys must stay a normal number


@triton.jit
def _place(H, N, SIZE, BLOCK: tl.constexpr):
    """Of a program: its batch, its segment, its head, its channels and which of these there are."""
    tiles = tl.cdiv(SIZE, BLOCK)
    n, rest = tl.program_id(0) % N, tl.program_id(0) // N
    h = rest // tiles % H
    i = rest % tiles * BLOCK + tl.arange(0, BLOCK)
    inside = i < SIZE if SIZE % BLOCK else tl.full((BLOCK,), True, tl.int1)
    return (rest // tiles // H).to(tl.int64), n, h, h * SIZE + i, inside


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
def _rows(x, t, T, c, inside, ROW: tl.constexpr, Q: tl.constexpr, OTHER: tl.constexpr, EVEN: tl.constexpr):
    """Tokens t to t + Q of what begins at x, as far as there are any."""
    rows = tl.arange(0, Q)[:, None]
    at = x + t * ROW + (rows * ROW + c[None, :])
    if EVEN:
        return tl.load(at).to(tl.float32)
    return tl.load(at, (rows < T - t) & inside[None, :], OTHER).to(tl.float32)


@triton.jit
def _store(x, block, t, T, c, inside, D, Q: tl.constexpr, EVEN: tl.constexpr):
    rows = tl.arange(0, Q)[:, None]
    at = x + t * D + (rows * D + c[None, :])
    if EVEN:
        tl.store(at, block.to(x.dtype.element_ty))
    else:
        tl.store(at, block.to(x.dtype.element_ty), (rows < T - t) & inside[None, :])


@triton.jit
def _dot(a, b, DOT: tl.constexpr, total=None):
    """`DOT`: tf32 or ieee, of float32; or bf16, to which both are rounded."""
    if DOT == "bf16":
        a, b = a.to(tl.bfloat16), b.to(tl.bfloat16)
    return tl.dot(a, b, total, input_precision="ieee" if DOT == "bf16" else DOT)


@triton.jit
def _over(total):
    """One over it, as the square of its root: a quarter of the instructions of a division."""
    root = tl.rsqrt(tl.maximum(total, TINY))
    return root * root


@triton.jit(do_not_specialize=["T", "N"])
def add(k, v, sums, ms, ps, qs, k_step, v_step, T, L, N, K_ROW: tl.constexpr, V_ROW: tl.constexpr, D: tl.constexpr,
        Q: tl.constexpr, BLOCK: tl.constexpr, S: tl.constexpr, EVEN: tl.constexpr):  # fmt: skip
    """Of each block the sums; and of L / Q blocks up to the last but one of a segment, those of all, in the place of
    the next segment in states [B, N, D]. S tokens are read before anything is computed."""
    M, P = tl.cdiv(T, Q), L // Q
    b, n, c, inside = _whole(tl.cdiv(M + 1, P), D, BLOCK)
    k += b * k_step + c
    v += b * v_step + c
    zero = tl.zeros((BLOCK,), tl.float32)
    m, p, q = zero + NOTHING, zero, zero
    first, last = tl.maximum(n * P - 1, 0).to(tl.int64), tl.minimum((n + 1) * P - 1, M)
    for block in range(first, last):
        t = block * Q
        top, x, e = zero + NOTHING, zero, zero
        for i in tl.static_range(Q // S):
            k_s = _tokens(k, K_ROW, t + i * S, T, inside, NOTHING, S, EVEN)
            v_s = _tokens(v, V_ROW, t + i * S, T, inside, 0.0, S, EVEN)
            old = top
            for j in tl.static_range(S):
                top = tl.maximum(top, k_s[j].to(tl.float32))
            link = _exp(old - top)
            x, e = x * link, e * link
            for j in tl.static_range(S):
                weight = _exp(k_s[j].to(tl.float32) - top)
                x += weight * v_s[j].to(tl.float32)
                e += weight
        _store_sums(sums + (b * M + block) * 3 * D + c, top, x, e, D, inside)
        most = tl.maximum(m, top)
        link, weight = _exp(m - most), _exp(top - most)
        m, p, q = most, p * link + x * weight, q * link + e * weight
    at, there = (b * N + n + 1) * D + c, inside & (n + 1 < N)
    tl.store(ms + at, m, there)
    tl.store(ps + at, p, there)
    tl.store(qs + at, q, there)


@triton.jit
def _load_sums(at, D, inside, there):
    """The largest key of a block and, in units of that, its sums of x and e."""
    inside = inside & there
    return tl.load(at, inside, NOTHING), tl.load(at + D, inside, 0.0), tl.load(at + 2 * D, inside, 0.0)


@triton.jit
def _weighed(k, v, t, T, c, inside, base, K_ROW: tl.constexpr, V_ROW: tl.constexpr, Q: tl.constexpr,
             EVEN: tl.constexpr):  # fmt: skip
    """x and e of the keys of the block at t."""
    e = _exp(_rows(k, t, T, c, inside, K_ROW, Q, NOTHING, EVEN) - base[None, :])
    return e * _rows(v, t, T, c, inside, V_ROW, Q, 0.0, EVEN), e


@triton.jit
def _weighed_past(k, v, t, T, c, inside, base, K_ROW: tl.constexpr, V_ROW: tl.constexpr, Q: tl.constexpr,
                  EVEN: tl.constexpr):  # fmt: skip
    """Those of the block before the one at t; nothing where there is none."""
    base = tl.where(t > 0, base, -NOTHING)
    return _weighed(k, v, tl.maximum(t - Q, 0), T, c, inside, base, K_ROW, V_ROW, Q, EVEN)


@triton.jit
def _store_older(key, value, t, last, x, e, x_past, e_past, x_old, e_old, base, inside, Q: tl.constexpr):
    """The one key and value of all up to token `last`, from the block at t."""
    now = (tl.arange(0, Q) <= last - t)[:, None]
    past = (tl.arange(0, Q) <= last - t + Q)[:, None]
    weight = e_old + tl.sum(tl.where(past, e_past, 0.0), 0) + tl.sum(tl.where(now, e, 0.0), 0)
    values = x_old + tl.sum(tl.where(past, x_past, 0.0), 0) + tl.sum(tl.where(now, x, 0.0), 0)
    some = weight > 0.0
    weight = tl.where(some, weight, 1.0)
    tl.store(key, tl.where(some, base + tl.log(weight), NOTHING), inside)
    tl.store(value, values / weight, inside)


@triton.jit(do_not_specialize=["T", "N"])
def outputs(k, v, table, sums, ms, ps, qs, y, marks, older_key, older_value, k_step, v_step, T, L, N,
            K_ROW: tl.constexpr, V_ROW: tl.constexpr, H: tl.constexpr, SIZE: tl.constexpr, W: tl.constexpr,
            Q: tl.constexpr, BLOCK: tl.constexpr, DOT: tl.constexpr, EVEN: tl.constexpr):  # fmt: skip
    """y [B, T, D] from states [B, N, D] before the block that precedes each segment, of which the first has none.

    And where asked for, the marks, and the one key and value of all but the W - 1 last tokens. What the next block's
    queries find of a block's keys is computed with what its own do, and waits for them in this block's units.
    """
    b, n, h, c, inside = _place(H, N, SIZE, BLOCK)
    D: tl.constexpr = H * SIZE
    M = tl.cdiv(T, Q)
    k += b * k_step
    v += b * v_step
    y += b * T * D
    sums += b * M * 3 * D + c
    now = _weights(table, h, W, Q, False, False)
    past = _weights(table, h, W, Q, True, False)
    at = (b * N + n) * D + c
    unit = tl.load(ms + at, inside, 0.0)
    first, last = (n * L // Q).to(tl.int64), tl.minimum((n + 1) * L // Q, M)
    top, x_sum, e_sum = _load_sums(sums + (first - 1) * 3 * D, D, inside, first > 0)
    base = tl.maximum(unit, top) - RANGE
    x_old = tl.load(ps + at, inside, 0.0) * _exp(unit - base)
    e_old = tl.load(qs + at, inside, 0.0) * _exp(unit - base)
    x_before, e_before = x_old, e_old
    x_sum, e_sum = x_sum * _exp(top - base), e_sum * _exp(top - base)
    x, e = _weighed_past(k, v, first * Q, T, c, inside, base, K_ROW, V_ROW, Q, EVEN)
    x_past, e_past = _dot(past, x, DOT), _dot(past, e, DOT)
    for block in range(first, last):
        t = block * Q
        top, x_new, e_new = _load_sums(sums + block * 3 * D, D, inside, True)
        old = base
        base = tl.maximum(old, top - RANGE)
        link, weight = _exp(old - base), _exp(top - base)
        x_old, e_old = x_old * link, e_old * link
        x, e = _weighed(k, v, t, T, c, inside, base, K_ROW, V_ROW, Q, EVEN)
        if marks is not None:
            _store_sums(marks + (b * M + block) * 3 * D + c, base, x_old, e_old, D, inside)
        over = _over(_dot(now, e, DOT, e_past * link[None, :] + e_old[None, :]))
        found = _dot(now, x, DOT, x_past * link[None, :] + x_old[None, :])
        _store(y, found * over, t, T, c, inside, D, Q, EVEN)
        x_past, e_past = _dot(past, x, DOT), _dot(past, e, DOT)
        x_before, e_before = x_old, e_old
        x_old, e_old = x_old + x_sum * link, e_old + e_sum * link
        x_sum, e_sum = x_new * weight, e_new * weight
    if older_key is not None and n == N - 1:
        t, at = (M - 1).to(tl.int64) * Q, b * D + c
        x, e = _weighed(k, v, t, T, c, inside, base, K_ROW, V_ROW, Q, EVEN)
        x_1, e_1 = _weighed_past(k, v, t, T, c, inside, base, K_ROW, V_ROW, Q, EVEN)
        _store_older(older_key + at, older_value + at, t, T - W, x, e, x_1, e_1, x_before, e_before, base, inside, Q)
