"""The Triton programs of WKV: each walks over the tokens of one segment, a channel being a number of its vectors.

Letters: B batch, T tokens, C channels, N segments of L tokens; m, p and q as in `_wkv`. Marks [B, M + 1, 3, C] are the
states before every G-th token, M of them, and the last state: what the backward pass starts from.

S tokens are read before anything is written, so that many can be on their way from memory. S divides L, G divides S.
EVEN: S divides T; else tokens that are not there have no weight, no decay and no gradient. Rows are of constant length:
that spares a third of the instructions, which are addresses.
"""

import math

import triton
import triton.language as tl

from models import _wkv

FAR = tl.constexpr(_wkv.FAR)
NOTHING = tl.constexpr(_wkv.NOTHING)
LOG2_E = tl.constexpr(math.log2(math.e))


@triton.jit
def _place(N, C, BLOCK: tl.constexpr):
    """Of a program: its batch, its segment, its channels and which of these there are."""
    tiles = tl.cdiv(C, BLOCK)
    bn, tile = tl.program_id(0) // tiles, tl.program_id(0) % tiles
    c = tile * BLOCK + tl.arange(0, BLOCK)
    return (bn // N).to(tl.int64), bn % N, c, c < C


@triton.jit
def _rows(x, stride, t, T, inside, OTHER: tl.constexpr, S: tl.constexpr, EVEN: tl.constexpr):
    """Tokens t to t + S of what begins at x."""
    at, rows = x + t * stride, ()
    for i in tl.static_range(S):
        row = tl.load(at + i * stride, inside) if EVEN else tl.load(at + i * stride, inside & (t + i < T), OTHER)
        rows = rows + (row,)  # type: ignore[assignment]  # noqa: RUF005, for Triton unpacks no tuple
    return rows


@triton.jit
def _store(at, m, p, q, C, inside):
    tl.store(at, m, inside)
    tl.store(at + C, p, inside)
    tl.store(at + 2 * C, q, inside)


@triton.jit
def _exp(x):
    """A third of the instructions of `tl.exp`: what is below the range of normal numbers becomes zero."""
    return tl.exp2(x * LOG2_E)


@triton.jit
def _links(m, k, w):
    """The maximum after a token of key k, and the weights of the past and of the token beside it.

    One of the two is 1, but for what rounding m + w lost: beside a large m that is most of a slow decay.
    """
    faded = m + w
    now = k >= faded
    top = tl.maximum(faded, k)
    past = (m - top) + w
    e = _exp(tl.where(now, past, k - top))
    return top, tl.where(now, e, 1.0 + past), tl.where(now, 1.0, e)


@triton.jit
def _seen(m, q, k, u):
    """The weight of the past where that of the token is 1, and one over the sum of all weights."""
    past = _exp(tl.minimum((m - k) - u, FAR, propagate_nan=tl.PropagateNan.ALL))
    root = tl.rsqrt(1.0 + q * past)  # which, squared, is a quarter of the instructions of a division
    return past, root * root


@triton.jit(do_not_specialize=["N"])
def add(k, v, w, ms, ps, qs, k_step, v_step, L, N, K_ROW: tl.constexpr, V_ROW: tl.constexpr, C: tl.constexpr,
        BLOCK: tl.constexpr, S: tl.constexpr):  # fmt: skip
    """What each segment but the last makes of an empty state, in the place of the next in states [B, N, C]."""
    b, n, c, inside = _place(N - 1, C, BLOCK)
    k += b * k_step
    v += b * v_step
    w_c = tl.load(w + c, inside, 0.0)
    m = tl.full((BLOCK,), NOTHING, tl.float32)
    p = tl.zeros((BLOCK,), tl.float32)
    q = tl.zeros((BLOCK,), tl.float32)
    for j in range(L // S):
        t = (n * L + j * S).to(tl.int64)
        k_s = _rows(k + c, K_ROW, t, t, inside, NOTHING, S, True)
        v_s = _rows(v + c, V_ROW, t, t, inside, 0.0, S, True)
        for i in tl.static_range(S):
            m, link, weight = _links(m, k_s[i].to(tl.float32), w_c)
            p = p * link + weight * v_s[i].to(tl.float32)
            q = q * link + weight
    at = (b * N + n + 1) * C + c
    tl.store(ms + at, m, inside)
    tl.store(ps + at, p, inside)
    tl.store(qs + at, q, inside)


@triton.jit(do_not_specialize=["N"])
def carry(w, m_0, p_0, q_0, ms, ps, qs, L, N, C: tl.constexpr, BLOCK: tl.constexpr, S: tl.constexpr):
    """What `add` found becomes the state before each segment; before the first it is the one given."""
    b, _, c, inside = _place(1, C, BLOCK)
    faded = tl.load(w + c, inside, 0.0) * L
    m = tl.load(m_0 + b * C + c, inside, 0.0)
    p = tl.load(p_0 + b * C + c, inside, 0.0)
    q = tl.load(q_0 + b * C + c, inside, 0.0)
    first = b * N * C + c
    tl.store(ms + first, m, inside)
    tl.store(ps + first, p, inside)
    tl.store(qs + first, q, inside)
    for n in range(1, N, S):
        m_s = _rows(ms + first, C, n, N, inside, NOTHING, S, False)
        p_s = _rows(ps + first, C, n, N, inside, 0.0, S, False)
        q_s = _rows(qs + first, C, n, N, inside, 0.0, S, False)
        for i in tl.static_range(S):
            top = tl.maximum(m + faded, m_s[i])
            link, weight = _exp((m - top) + faded), _exp(m_s[i] - top)
            m, p, q = top, p * link + p_s[i] * weight, q * link + q_s[i] * weight
            at, there = first + (n + i) * C, inside & (n + i < N)
            tl.store(ms + at, m, there)
            tl.store(ps + at, p, there)
            tl.store(qs + at, q, there)


@triton.jit(do_not_specialize=["T", "N"])
def outputs(k, v, w, u, ms, ps, qs, y, m_T, p_T, q_T, marks, k_step, v_step, T, L, N, K_ROW: tl.constexpr,
            V_ROW: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr, S: tl.constexpr, G: tl.constexpr,
            EVEN: tl.constexpr, MARK: tl.constexpr):  # fmt: skip
    """y [B, T, C] and the last state [B, C], from states [B, N, C]; and where MARK, the marks."""
    b, n, c, inside = _place(N, C, BLOCK)
    k += b * k_step
    v += b * v_step
    y += b * T * C
    w_c = tl.load(w + c, inside, 0.0)
    u_c = tl.load(u + c, inside, 0.0)
    at = (b * N + n) * C + c
    m = tl.load(ms + at, inside, 0.0)
    p = tl.load(ps + at, inside, 0.0)
    q = tl.load(qs + at, inside, 0.0)
    begin = (n * L).to(tl.int64)
    M = tl.cdiv(T, G)
    if MARK:
        marks += b * (M + 1) * 3 * C + c
    for j in range(tl.cdiv(tl.minimum(L, T - n * L), S)):
        t = begin + j * S
        k_s = _rows(k + c, K_ROW, t, T, inside, NOTHING, S, EVEN)
        v_s = _rows(v + c, V_ROW, t, T, inside, 0.0, S, EVEN)
        y_s = y + t * C + c
        for i in tl.static_range(S):
            there = inside if EVEN else inside & (t + i < T)
            if MARK and i % G == 0:
                _store(marks + ((t + i) // G) * 3 * C, m, p, q, C, there)
            k_i, v_i = k_s[i].to(tl.float32), v_s[i].to(tl.float32)
            past, scale = _seen(m, q, k_i, u_c)
            tl.store(y_s + i * C, ((v_i + p * past) * scale).to(y.dtype.element_ty), there)
            m, link, weight = _links(m, k_i, w_c if EVEN else tl.where(t + i < T, w_c, 0.0))
            p = p * link + weight * v_i
            q = q * link + weight
    if n == N - 1:
        if MARK:
            _store(marks + M * 3 * C, m, p, q, C, inside)
        tl.store(m_T + b * C + c, m, inside)
        tl.store(p_T + b * C + c, p, inside)
        tl.store(q_T + b * C + c, q, inside)
