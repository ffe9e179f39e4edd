"""The Triton programs of a step of softmax attention over a cache: one share of the slots each, and their merging.

Letters: B batch, H query heads, G heads of keys and values, R = H/G queries over the same keys, K size of a head.

The slots before the new token's are cut into shares, which the program finds from the position; late ones may be empty.
The program of the last share also rotates and writes the new key and value, and takes them from its registers: no
program reads that slot.

One query: each row of a block of slots keeps a softmax of its own, merged when all blocks are through, so that no
thread waits for another in between. Several queries over the same keys: rows of the tensor cores' products, at least
16. Powers are of two, and scores are in units of its logarithm. All but the products' inputs is in float32.
"""

import triton
import triton.language as tl

# Of a maximum before there are scores: float32's lowest, so that no difference of two is of infinities.
LOWEST = tl.constexpr(-3.4028234663852886e38)


@triton.jit
def _read(x, turns, turn, rk, inside, TURNED: tl.constexpr):
    """Heads that begin at x, in float32, turned by what begins at turns + turn. The other number of each pair is read
    as well, so that none changes threads."""
    y = tl.load(x + rk, inside, 0.0).to(tl.float32)
    if TURNED:
        pair = tl.load(x + (rk ^ 1), inside, 0.0).to(tl.float32)
        by = turns + turn + rk // 2 * 2
        c, s = tl.load(by, inside, 0.0), tl.load(by + 1, inside, 0.0)
        y = y * c + pair * tl.where(rk % 2 == 0, -s, s)
    return y


@triton.jit
def _block(at, end, K: tl.constexpr, BLOCK: tl.constexpr, SLOTS: tl.constexpr):
    """Which slots from `at` there are, where their numbers are, and which of those."""
    rs, rk = at + tl.arange(0, SLOTS), tl.arange(0, BLOCK)
    there = rs < end
    inside = there[:, None] & (rk < K)[None, :] if K < BLOCK else there[:, None]
    return there, rs[:, None] * K + rk[None, :], inside


@triton.jit
def _one(q, k_x, v_x, keys, values, span, K: tl.constexpr, BLOCK: tl.constexpr, SLOTS: tl.constexpr,
         STAGES: tl.constexpr):  # fmt: skip
    """Of one query its largest score, its sum of powers, and values by powers; the new token's too where it is own."""
    begin, end, own = span
    tops = tl.full((SLOTS,), LOWEST, tl.float32)
    sums = tl.zeros((SLOTS,), tl.float32)
    held = tl.zeros((SLOTS, BLOCK), tl.float32)
    for at in tl.range(begin, end, SLOTS, num_stages=STAGES):
        there, slots, inside = _block(at, end, K, BLOCK, SLOTS)
        k_s = tl.load(keys + slots, inside, 0.0).to(tl.float32)
        v_s = tl.load(values + slots, inside, 0.0).to(tl.float32)
        scores = tl.where(there, tl.sum(k_s * q[None, :], 1), float("-inf"))
        top = tl.maximum(tops, scores)
        fade, p = tl.exp2(tops - top), tl.exp2(scores - top)
        sums = sums * fade + p
        held = held * fade[:, None] + p[:, None] * v_s
        tops = top
    score = tl.where(own, tl.sum(q * k_x, 0), float("-inf"))
    m = tl.maximum(tl.max(tops, 0), score)
    fade, p = tl.exp2(tops - m), tl.exp2(score - m)
    a = tl.sum(held * fade[:, None], 0) + p * v_x
    nought = tl.zeros((1,), tl.float32)
    return m + nought, tl.sum(sums * fade, 0) + p + nought, a[None, :]


@triton.jit
def _several(q, k_x, v_x, keys, values, span, ROWS: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr,
             SLOTS: tl.constexpr, STAGES: tl.constexpr):  # fmt: skip
    """As `_one`, of each row of q."""
    begin, end, own = span
    m = tl.full((ROWS,), LOWEST, tl.float32)
    l = tl.zeros((ROWS,), tl.float32)  # noqa: E741, as in the papers
    a = tl.zeros((ROWS, BLOCK), tl.float32)
    rounded = q.to(keys.dtype.element_ty)
    for at in tl.range(begin, end, SLOTS, num_stages=STAGES):
        there, slots, inside = _block(at, end, K, BLOCK, SLOTS)
        k_s, v_s = tl.load(keys + slots, inside, 0.0), tl.load(values + slots, inside, 0.0)
        scores = tl.where(there[None, :], tl.dot(rounded, k_s.T, input_precision="ieee"), float("-inf"))
        top = tl.maximum(m, tl.max(scores, 1))
        fade, p = tl.exp2(m - top), tl.exp2(scores - top[:, None])
        l = l * fade + tl.sum(p, 1)  # noqa: E741
        a = tl.dot(p.to(v_s.dtype), v_s, a * fade[:, None], input_precision="ieee")
        m = top
    score = tl.where(own, tl.sum(q * k_x[None, :], 1), float("-inf"))
    top = tl.maximum(m, score)
    fade, p = tl.exp2(m - top), tl.exp2(score - top)
    return top, l * fade + p, a * fade[:, None] + p[:, None] * v_x[None, :]


@triton.jit(do_not_specialize=["H", "G", "SHARES", "K_B", "K_G", "V_B", "V_G"])
def attend(q, k, v, turns, keys, values, position, padding, o, ends, scale, H, G, SHARES, K_B, K_G, V_B, V_G,
           q_strides, k_strides, v_strides, t_strides, R: tl.constexpr, ROWS: tl.constexpr, K: tl.constexpr,
           BLOCK: tl.constexpr, SLOTS: tl.constexpr, STAGES: tl.constexpr, TURNED: tl.constexpr,
           PADDED: tl.constexpr, ONE: tl.constexpr, EARLY: tl.constexpr):  # fmt: skip
    """The R queries of one group over one share: o, and unless ONE its largest score and its sum of powers in `ends`.

    `keys` and `values` have rows of K numbers; K_B and K_G, V_B and V_G are rows from sequence to sequence and from
    head to head.
    """
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    now = tl.load(position).to(tl.int32)
    bg, share = tl.program_id(0).to(tl.int64), tl.program_id(1)
    b, g = bg // G, bg % G
    first = 0
    if PADDED:  # a token that is padding itself sees its own slot alone
        first = tl.minimum(tl.load(padding + b).to(tl.int32), now)
    own = share == SHARES - 1
    rr, rk = tl.arange(0, ROWS), tl.arange(0, BLOCK)
    q_in = (rr < R)[:, None] & (rk < K)[None, :]
    k_in = rk < K
    new = k_in & own

    heads, turn = g * R + rr[:, None], b * t_strides[0]
    q += b * q_strides[0] + heads * q_strides[1]
    k += b * k_strides[0] + g * k_strides[1]
    x = _read(q, turns, turn + heads * t_strides[1], rk[None, :], q_in, TURNED)
    k_x = _read(k, turns, turn + (H + g) * t_strides[1], rk, new, TURNED)
    v_x = tl.load(v + b * v_strides[0] + g * v_strides[1] + rk, new, 0.0).to(values.dtype.element_ty)
    k_x = k_x.to(keys.dtype.element_ty)
    x *= scale

    count = tl.cdiv(tl.cdiv(now - first, SHARES), SLOTS) * SLOTS
    begin = first + share * count
    end = tl.minimum(begin + count, now)
    keys += (b * K_B + g * K_G) * K
    values += (b * V_B + g * V_G) * K
    tl.store(keys + now.to(tl.int64) * K + rk, k_x, new)
    tl.store(values + now.to(tl.int64) * K + rk, v_x, new)
    k_x, v_x = k_x.to(tl.float32), v_x.to(tl.float32)

    span = begin, end, own
    if ROWS == 1:
        m, l, a = _one(x.reshape(BLOCK), k_x, v_x, keys, values, span, K, BLOCK, SLOTS, STAGES)  # noqa: E741
    else:
        m, l, a = _several(x, k_x, v_x, keys, values, span, ROWS, K, BLOCK, SLOTS, STAGES)  # noqa: E741
    at = (bg * SHARES + share) * R + rr
    if ONE:
        a /= l[:, None]
    else:
        tl.store(ends + at * 2, m, rr < R)
        tl.store(ends + at * 2 + 1, l, rr < R)
    tl.store(o + at[:, None] * K + rk[None, :], a.to(o.dtype.element_ty), q_in)


@triton.jit(do_not_specialize=["SHARES"])
def merge(parts, ends, o, SHARES, R: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr, MERGED: tl.constexpr,
          EARLY: tl.constexpr):  # fmt: skip
    """The output of one query from its shares, as from blocks of one program."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
    pid = tl.program_id(0).to(tl.int64)
    bg, r = pid // R, pid % R
    rn, rk = tl.arange(0, MERGED), tl.arange(0, BLOCK)
    tops = tl.full((MERGED,), LOWEST, tl.float32)
    sums = tl.zeros((MERGED,), tl.float32)
    held = tl.zeros((MERGED, BLOCK), tl.float32)
    for n in range(0, SHARES, MERGED):
        there = n + rn < SHARES
        at = (bg * SHARES + n + rn) * R + r
        m = tl.load(ends + at * 2, there, LOWEST)
        l = tl.load(ends + at * 2 + 1, there, 0.0)  # noqa: E741
        a = tl.load(parts + at[:, None] * K + rk[None, :], there[:, None] & (rk < K)[None, :], 0.0)
        top = tl.maximum(tops, m)
        fade, p = tl.exp2(tops - top), tl.exp2(m - top)
        sums = sums * fade + l * p
        held = held * fade[:, None] + a * p[:, None]
        tops = top
    fade = tl.exp2(tops - tl.max(tops, 0))
    merged = tl.sum(held * fade[:, None], 0) / tl.sum(sums * fade, 0)
    tl.store(o + pid * K + rk, merged.to(o.dtype.element_ty), rk < K)
