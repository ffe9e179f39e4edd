"""The Triton programs of linear maps of a few rows; `skinny` says what they compute, in its letters."""

import triton
import triton.language as tl


@triton.jit
def _act(a, b, ACT: tl.constexpr):
    if ACT == 1:
        a = a * tl.sigmoid(a) * b
    elif ACT == 2:
        a = 0.5 * a * (1.0 + tl.math.erf(a * 0.7071067811865476))
    elif ACT == 3:
        a = tl.maximum(a, 0.0)
        a *= a
    return a


@triton.jit
def _normal(a, inside, scale, bias, eps, K):
    """The RMS norm of a row; with a bias its layer norm."""
    if bias is not None:
        a = tl.where(inside, a - tl.sum(a, 0) / K, 0.0)
    a *= tl.rsqrt(tl.sum(a * a, 0) / K + eps) * scale
    if bias is not None:
        a += bias
    return a


@triton.jit
def _summed(x, parts, total, row, step, rk, inside, first, S: tl.constexpr):
    """The row of which `x` is the first number; with S `parts`, `step` numbers from one to the next, plus their sum,
    which is written to `total` where `first`. In those the row begins at number `row`."""
    a = tl.load(x + rk, inside, 0.0).to(tl.float32)
    if parts is not None:
        for part in tl.static_range(S):
            a += tl.load(parts + part * step + row + rk, inside, 0.0).to(tl.float32)
        a = a.to(total.dtype.element_ty)
        tl.store(total + row + rk, a, inside & first)
        a = a.to(tl.float32)
    return a


@triton.jit
def _pre(a, inside, scale, bias, g, eps, K, V, HEADS: tl.constexpr, BH: tl.constexpr, BV: tl.constexpr):
    """pre(x) of one row; `scale`, `bias` and the gate `g` as loaded, or None."""
    if scale is not None:
        a = _normal(a, inside, scale, bias, eps, K)
    if HEADS > 0:
        heads = a.reshape(BH, BV)
        a = (heads * tl.rsqrt(tl.sum(heads * heads, 1) / V + eps)[:, None]).reshape(BH * BV)
    if g is not None:
        a *= g * tl.sigmoid(g)
    return a


@triton.jit(do_not_specialize=["N"])
def one(x, parts, total, w, y, scale, bias, gate, residual, opened, kept, held, held_step, N, eps, S: tl.constexpr,
        K: tl.constexpr, V: tl.constexpr, HEADS: tl.constexpr, ACT: tl.constexpr, BN: tl.constexpr, BH: tl.constexpr,
        BV: tl.constexpr, POLICY: tl.constexpr, EARLY: tl.constexpr):  # fmt: skip
    """[BN] outputs of one row. The inputs stand as [BH, BV]: heads, or all in one."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
    rn = tl.program_id(0) * BN + tl.arange(0, BN)
    j = tl.arange(0, BH * BV)
    rk = j // BV * V + j % BV
    inside = (j % BV < V) & (rk < K)
    at = w + rn[:, None].to(tl.int64) * K + rk[None, :]
    asked = (rn < N)[:, None] & inside[None, :]
    w_1 = tl.load(at, asked, 0.0, eviction_policy=POLICY)
    w_2 = w_1
    if ACT == 1:
        w_2 = tl.load(at + N.to(tl.int64) * K, asked, 0.0, eviction_policy=POLICY)
    s = None
    c = None
    if scale is not None:
        s = tl.load(scale + rk, inside, 0.0).to(tl.float32)
    if bias is not None:
        c = tl.load(bias + rk, inside, 0.0).to(tl.float32)
    if EARLY:
        tl.extra.cuda.gdc_wait()
    g = None
    if gate is not None:
        g = tl.load(gate + rk, inside, 0.0).to(tl.float32)
    r = tl.zeros((BN,), tl.float32)
    if residual is not None:
        r += tl.load(residual + rn, rn < N, 0.0).to(tl.float32)
    a = _summed(x, parts, total, 0, K, rk, inside, tl.program_id(0) == 0, S)
    a = _pre(a, inside, s, c, g, eps, K, V, HEADS, BH, BV)
    y_1 = tl.sum(w_1.to(tl.float32) * a[None, :], 1)
    y_2 = y_1
    if ACT == 1:
        y_2 = tl.sum(w_2.to(tl.float32) * a[None, :], 1)
    y_1 = _act(y_1, y_2, ACT)
    if opened is not None:
        y_1 *= tl.sigmoid(tl.load(opened + rn, rn < N, 0.0).to(tl.float32))
    if kept is not None:
        tl.store(held + rn * held_step, tl.load(kept + rn, rn < N, 0.0).to(held.dtype.element_ty), rn < N)
    tl.store(y + rn, (y_1 + r).to(y.dtype.element_ty), rn < N)


@triton.jit(do_not_specialize=["B"])
def before(x, parts, total, y, scale, bias, gate, B, strides, eps, S: tl.constexpr, K: tl.constexpr, V: tl.constexpr,
           HEADS: tl.constexpr, BH: tl.constexpr, BV: tl.constexpr, EARLY: tl.constexpr):  # fmt: skip
    """pre(x) of BH heads of one row. With `parts` [S, B, K], x is x plus their sum, and is written to `total`."""
    b = tl.program_id(0).to(tl.int64)
    j = tl.arange(0, BH * BV)
    rk = (tl.program_id(1) * BH + j // BV) * V + j % BV
    inside = (j % BV < V) & (rk < K)
    s = None
    c = None
    if scale is not None:
        s = tl.load(scale + rk, inside, 0.0).to(tl.float32)
    if bias is not None:
        c = tl.load(bias + rk, inside, 0.0).to(tl.float32)
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    g = None
    if gate is not None:
        g = tl.load(gate + b * strides[1] + rk, inside, 0.0).to(tl.float32)
    a = _summed(x + b * strides[0], parts, total, b * K, B * K, rk, inside, True, S)
    a = _pre(a, inside, s, c, g, eps, K, V, HEADS, BH, BV)
    tl.store(y + b * K + rk, a.to(y.dtype.element_ty), inside)


@triton.jit
def _bits(at, n, i, N, K, BN: tl.constexpr, COLUMNS: tl.constexpr):
    """A block of a matrix [N, K], from row n and column i on, as integers: the compiler leaves those in registers."""
    row, column = n + tl.arange(0, BN), i + tl.arange(0, COLUMNS)
    inside = (row < N)[:, None] & (column < K)[None, :]
    return tl.load(at + row[:, None].to(tl.int64) * K + column[None, :], inside, 0)


@triton.jit(do_not_specialize=["N", "B"])
def few(x, x_bits, w, w_bits, y, residual, opened, kept, held, held_steps, N, B, K: tl.constexpr, S: tl.constexpr,
        ACT: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, BB: tl.constexpr, AHEAD: tl.constexpr,
        STAGES: tl.constexpr, EARLY: tl.constexpr):  # fmt: skip
    """[BN] outputs of all rows from part S of the inputs. x, w: descriptors of [BB, BK] and [BN, BK].

    Of several maps, each of B rows of its own, the last axis of the grid says which. The weights of a part's first
    AHEAD inputs are asked for before x is there, kept in registers while the copy engine brings the others, and take
    part at the end.
    """
    n, s, p = tl.program_id(0) * BN, tl.program_id(1), tl.program_id(2)
    first = s * tl.cdiv(tl.cdiv(K, BK), S) * BK
    end = tl.minimum(first + tl.cdiv(tl.cdiv(K, BK), S) * BK, K)
    rn, rb = n + tl.arange(0, BN), tl.arange(0, BB)
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
    if AHEAD:
        ahead_1 = _bits(w_bits + p.to(tl.int64) * N * K, n, first, N, K, BN, AHEAD)
        if ACT == 1:
            ahead_2 = _bits(w_bits + N.to(tl.int64) * K, n, first, N, K, BN, AHEAD)
    if EARLY:
        tl.extra.cuda.gdc_wait()
    if AHEAD:
        ahead_x = _bits(x_bits + p * B * K, 0, first, B, K, BB, AHEAD)
    y_1 = tl.zeros((BN, BB), tl.float32)
    y_2 = tl.zeros((BN, BB), tl.float32)
    for i in tl.range(first + AHEAD, end, BK, num_stages=STAGES):
        a = x.load([p * B, i]).T
        y_1 = tl.dot(w.load([p * N + n, i]), a, y_1, input_precision="ieee")
        if ACT == 1:
            y_2 = tl.dot(w.load([N + n, i]), a, y_2, input_precision="ieee")
    if AHEAD:
        a = ahead_x.to(x.dtype, bitcast=True).T
        y_1 = tl.dot(ahead_1.to(w.dtype, bitcast=True), a, y_1, input_precision="ieee")
        if ACT == 1:
            y_2 = tl.dot(ahead_2.to(w.dtype, bitcast=True), a, y_2, input_precision="ieee")
    y_1 = _act(y_1, y_2, ACT)
    row = rb[None, :].to(tl.int64)
    out = ((p * S + s) * B + row) * N + rn[:, None]
    written = (rn < N)[:, None] & (rb < B)[None, :]
    if opened is not None:
        y_1 *= tl.sigmoid(tl.load(opened + row * N + rn[:, None], written, 0.0).to(tl.float32))
    if kept is not None:
        new = tl.load(kept + row * N + rn[:, None], written & (s == 0), 0.0)
        at_held = held + row * held_steps[0] + rn[:, None] * held_steps[1]
        tl.store(at_held, new.to(held.dtype.element_ty), written & (s == 0))
    if residual is not None:
        y_1 += tl.load(residual + out, written, 0.0).to(tl.float32)
    tl.store(y + out, y_1.to(y.dtype.element_ty), written)


@triton.jit
def _largest(x, places, N):
    """The largest of x, and the first of `places` where it is; N where no number is one."""
    top = tl.max(x, 0)
    return top, tl.min(tl.where(x == top, places, N), 0)


@triton.jit
def _choose(token, position, b, place, N):
    tl.store(token + b, tl.minimum(place, N - 1))
    if position is not None:
        tl.store(position, tl.load(position) + 1, b == 0)


@triton.jit
def largest(logits, tops, places, N, BLOCK: tl.constexpr, EARLY: tl.constexpr):
    """The largest of a block of a row, and the first place where it is."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    b, part, parts = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.num_programs(1)
    rn = part * BLOCK + tl.arange(0, BLOCK)
    top, place = _largest(tl.load(logits + b * N + rn, rn < N, float("-inf")).to(tl.float32), rn, N)
    tl.store(tops + b * parts + part, top)
    tl.store(places + b * parts + part, place)


@triton.jit
def likeliest(tops, places, token, position, PARTS: tl.constexpr, N, BLOCK: tl.constexpr, EARLY: tl.constexpr):
    """The first of the largest numbers of a row, of which the largest of each part are known; and the next position."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    b, r = tl.program_id(0), tl.arange(0, BLOCK)
    x = tl.load(tops + b * PARTS + r, r < PARTS, float("-inf"))
    _, place = _largest(x, tl.load(places + b * PARTS + r, r < PARTS, N), N)
    _choose(token, position, b, place, N)


@triton.jit
def likeliest_of_few(logits, token, position, N, BLOCK: tl.constexpr, EARLY: tl.constexpr):
    """The same of a row that one program holds."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    b, rn = tl.program_id(0), tl.arange(0, BLOCK)
    x = tl.load(logits + b.to(tl.int64) * N + rn, rn < N, float("-inf")).to(tl.float32)
    _, place = _largest(x, rn, N)
    _choose(token, position, b, place, N)
