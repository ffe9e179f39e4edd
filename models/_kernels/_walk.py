"""The Triton programs of WKV: each walks over the tokens of one segment, a channel being a number of its vectors.

Letters: B batch, T tokens, C channels, N segments of L tokens; m, p and q as in `_wkv`. Marks [B, M + 1, 3, C] are the
states before every G-th token, M of them, and the last state: what the backward pass starts from.

S tokens are read before anything is written, so that many can be on their way from memory; where AHEAD, before those
before them are computed on. S divides L, G divides S. EVEN: S divides T; else tokens that are not there have no weight,
no decay and no gradient, and none are read ahead: that takes the compiler long. Rows are of constant length: that
spares a third of the instructions, which are addresses.
"""

import triton
import triton.language as tl

from models._kernels._links import NOTHING, _decay, _exp, _floats, _join, _links, _near, _reach, _seen


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


@triton.jit(do_not_specialize=["N"])
def add(k, v, w, ms, ps, qs, k_step, v_step, L, N, K_ROW: tl.constexpr, V_ROW: tl.constexpr, C: tl.constexpr,
        BLOCK: tl.constexpr, S: tl.constexpr, AHEAD: tl.constexpr):  # fmt: skip
    """What each segment but the last makes of an empty state, in the place of the next in states [B, N, C]."""
    b, n, c, inside = _place(N - 1, C, BLOCK)
    k += b * k_step
    v += b * v_step
    w_c = tl.load(w + c, inside, 0.0)
    link_c, lost = _decay(w_c)
    reach = _reach(0.0 * w_c, inside)
    m = tl.full((BLOCK,), NOTHING, tl.float32)
    p = tl.zeros((BLOCK,), tl.float32)
    q = tl.zeros((BLOCK,), tl.float32)
    begin = (n * L).to(tl.int64)
    k_s = _floats(_rows(k + c, K_ROW, begin, begin, inside, NOTHING, S, True), S)
    v_s = _floats(_rows(v + c, V_ROW, begin, begin, inside, 0.0, S, True), S)
    for j in range(L // S):
        t = begin + (tl.minimum(j + 1, L // S - 1) if AHEAD else j) * S
        k_n = _rows(k + c, K_ROW, t, t, inside, NOTHING, S, True)
        v_n = _rows(v + c, V_ROW, t, t, inside, 0.0, S, True)
        if not AHEAD:
            k_s, v_s = _floats(k_n, S), _floats(v_n, S)
        top, near = _near(m, k_s, reach, S)
        if near:
            same = _exp(m - top)
            m, p, q = top, p * same, q * same
            for i in tl.static_range(S):
                weight = _exp(k_s[i] - m)
                p = p * link_c + weight * v_s[i]
                q = q * link_c + weight
            p, q = p + p * (S * lost), q + q * (S * lost)
        else:
            for i in tl.static_range(S):
                m, link, weight = _links(m, k_s[i], w_c)
                p = p * link + weight * v_s[i]
                q = q * link + weight
        k_s, v_s = _floats(k_n, S), _floats(v_n, S)
    at = (b * N + n + 1) * C + c
    tl.store(ms + at, m, inside)
    tl.store(ps + at, p, inside)
    tl.store(qs + at, q, inside)


@triton.jit(do_not_specialize=["N"])
def carry(w, m_0, p_0, q_0, ms, ps, qs, L, N, C: tl.constexpr, BLOCK: tl.constexpr, S: tl.constexpr):
    """What was found of segments becomes the state before each; before the first it is the one given. For `banded`."""
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
            m, p, q = _join(m, p, q, m_s[i], p_s[i], q_s[i], faded)
            at, there = first + (n + i) * C, inside & (n + i < N)
            tl.store(ms + at, m, there)
            tl.store(ps + at, p, there)
            tl.store(qs + at, q, there)


@triton.jit
def _before(w, m_0, p_0, q_0, ms, ps, qs, b, n, c, inside, L, N, C: tl.constexpr, S: tl.constexpr):
    """The state before segment n: the one given, with what `add` found of all before."""
    m = tl.load(m_0 + b * C + c, inside, 0.0)
    p = tl.load(p_0 + b * C + c, inside, 0.0)
    q = tl.load(q_0 + b * C + c, inside, 1.0)
    at = b * N * C + c
    for r in range(1, n + 1, S):
        m_s = _rows(ms + at, C, r, n + 1, inside, NOTHING, S, False)
        p_s = _rows(ps + at, C, r, n + 1, inside, 0.0, S, False)
        q_s = _rows(qs + at, C, r, n + 1, inside, 0.0, S, False)
        for i in tl.static_range(S):
            m, p, q = _join(m, p, q, m_s[i], p_s[i], q_s[i], tl.where(r + i <= n, w * L, 0.0))
    return m, p, q


@triton.jit(do_not_specialize=["T", "N"])
def outputs(  # noqa: PLR0915, as are those of `_walk_back`
    k, v, w, u, m_0, p_0, q_0, ms, ps, qs, y, m_T, p_T, q_T, marks, k_step, v_step, T, L, N, K_ROW: tl.constexpr,
    V_ROW: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr, S: tl.constexpr, G: tl.constexpr, EVEN: tl.constexpr,
    MARK: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    """y [B, T, C] and the last state [B, C], from the first and what `add` found; and where MARK, the marks."""
    b, n, c, inside = _place(N, C, BLOCK)
    k += b * k_step
    v += b * v_step
    y += b * T * C
    w_c = tl.load(w + c, inside, 0.0)
    u_c = tl.load(u + c, inside, 0.0)
    m, p, q = _before(w_c, m_0, p_0, q_0, ms, ps, qs, b, n, c, inside, L, N, C, 4)
    link_c, lost = _decay(w_c)
    bonus, reach = _exp(u_c), _reach(u_c, inside)
    begin = (n * L).to(tl.int64)
    M = tl.cdiv(T, G).to(tl.int64)
    if MARK:
        marks += b * (M + 1) * 3 * C + c
    blocks = tl.cdiv(tl.minimum(L, T - n * L), S)
    k_s = _floats(_rows(k + c, K_ROW, begin, T, inside, NOTHING, S, EVEN), S)
    v_s = _floats(_rows(v + c, V_ROW, begin, T, inside, 0.0, S, EVEN), S)
    for j in range(blocks):
        t = begin + j * S
        later = begin + tl.minimum(j + 1, blocks - 1) * S if AHEAD else t
        k_n = _rows(k + c, K_ROW, later, T, inside, NOTHING, S, EVEN)
        v_n = _rows(v + c, V_ROW, later, T, inside, 0.0, S, EVEN)
        if not AHEAD:
            k_s, v_s = _floats(k_n, S), _floats(v_n, S)
        y_s = y + t * C + c
        top, near = _near(m, k_s, reach, S)
        if near:
            if MARK:
                _store(marks + (t // G) * 3 * C, m, p, q, C, inside)
            same = _exp(m - top)
            m, p, q = top, p * same, q * same
            for i in tl.static_range(S):
                if MARK and i % G == 0 and i > 0:
                    _store(marks + ((t + i) // G) * 3 * C, m, p, q, C, inside)
                weight = _exp(k_s[i] - m)
                x = weight * v_s[i]
                root = tl.rsqrt(q + weight * bonus)
                tl.store(y_s + i * C, ((p + x * bonus) * (root * root)).to(y.dtype.element_ty), inside)
                p = p * link_c + x
                q = q * link_c + weight
            p, q = p + p * (S * lost), q + q * (S * lost)
        else:
            for i in tl.static_range(S):
                there = inside if EVEN else inside & (t + i < T)
                if MARK and i % G == 0:
                    _store(marks + ((t + i) // G) * 3 * C, m, p, q, C, there)
                past, scale = _seen(m, q, k_s[i], u_c)
                tl.store(y_s + i * C, ((v_s[i] + p * past) * scale).to(y.dtype.element_ty), there)
                m, link, weight = _links(m, k_s[i], w_c if EVEN else tl.where(t + i < T, w_c, 0.0))
                p = p * link + weight * v_s[i]
                q = q * link + weight
        k_s, v_s = _floats(k_n, S), _floats(v_n, S)
    if n == N - 1:
        if MARK:
            _store(marks + M * 3 * C, m, p, q, C, inside)
        tl.store(m_T + b * C + c, m, inside)
        tl.store(p_T + b * C + c, p, inside)
        tl.store(q_T + b * C + c, q, inside)
