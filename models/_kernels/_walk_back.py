"""The Triton programs of WKV's backward pass: see `_walk`, whose letters these are.

d and h are the gradients of p and of q, in units of e^m: given m, they obey the recurrence backwards in time.
"""

import triton
import triton.language as tl

from models._kernels._links import NOTHING, _exp, _links, _seen
from models._kernels._walk import _place, _rows


@triton.jit(do_not_specialize=["T", "N"])
def add_back(k, v, dy, w, u, marks, ds, hs, k_step, v_step, dy_step, T, L, N, K_ROW: tl.constexpr, V_ROW: tl.constexpr,
             DY_ROW: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr, S: tl.constexpr, G: tl.constexpr,
             EVEN: tl.constexpr):  # fmt: skip
    """What the outputs of each segment but the first send to d and h before it: in the place of the one before."""
    b, n, c, inside = _place(N - 1, C, BLOCK)
    n += 1
    k += b * k_step
    v += b * v_step
    dy += b * dy_step
    w_c = tl.load(w + c, inside, 0.0)
    u_c = tl.load(u + c, inside, 0.0)
    begin = (n * L).to(tl.int64)
    mark = marks + (b * (tl.cdiv(T, G) + 1) + begin // G) * 3 * C + c
    m = tl.load(mark, inside, 0.0)
    p = tl.load(mark + C, inside, 0.0)
    q = tl.load(mark + 2 * C, inside, 0.0)
    d = tl.zeros((BLOCK,), tl.float32)
    h = tl.zeros((BLOCK,), tl.float32)
    reach = tl.full((BLOCK,), 1.0, tl.float32)  # of the state before the segment: its links so far, as one
    for j in range(tl.cdiv(tl.minimum(L, T - n * L), S)):
        t = begin + j * S
        k_s = _rows(k + c, K_ROW, t, T, inside, NOTHING, S, EVEN)
        v_s = _rows(v + c, V_ROW, t, T, inside, 0.0, S, EVEN)
        dy_s = _rows(dy + c, DY_ROW, t, T, inside, 0.0, S, EVEN)
        for i in tl.static_range(S):
            k_i, v_i = k_s[i].to(tl.float32), v_s[i].to(tl.float32)
            past, scale = _seen(m, q, k_i, u_c)
            sent = dy_s[i].to(tl.float32) * scale * past * reach
            d += sent
            h -= sent * ((v_i + p * past) * scale)
            m, link, weight = _links(m, k_i, w_c if EVEN else tl.where(t + i < T, w_c, 0.0))
            p = p * link + weight * v_i
            q = q * link + weight
            reach *= link
    at = (b * N + n - 1) * C + c
    tl.store(ds + at, d, inside)
    tl.store(hs + at, h, inside)


@triton.jit(do_not_specialize=["T", "N"])
def carry_back(w, marks, d_T, h_T, ds, hs, T, L, N, C: tl.constexpr, BLOCK: tl.constexpr, S: tl.constexpr,
               G: tl.constexpr, HAS_END: tl.constexpr):  # fmt: skip
    """What `add_back` found becomes d and h after each segment; after the last they are those given, or none."""
    b, _, c, inside = _place(1, C, BLOCK)
    w_c = tl.load(w + c, inside, 0.0)
    d = tl.zeros((BLOCK,), tl.float32)
    h = tl.zeros((BLOCK,), tl.float32)
    if HAS_END:
        d += tl.load(d_T + b * C + c, inside, 0.0)
        h += tl.load(h_T + b * C + c, inside, 0.0)
    M = tl.cdiv(T, G).to(tl.int64)
    mark = marks + b * (M + 1) * 3 * C + c
    m = tl.load(mark + M * 3 * C, inside, 0.0)
    last = (b * N + N - 1) * C + c
    tl.store(ds + last, d, inside)
    tl.store(hs + last, h, inside)
    before_last = mark + ((N - 1) * (L // G)).to(tl.int64) * 3 * C
    for r in range(0, N - 1, S):
        m_s = _rows(before_last, -(L // G).to(tl.int64) * 3 * C, r, N - 1, inside, NOTHING, S, False)
        d_s = _rows(ds + last - C, -C, r, N - 1, inside, 0.0, S, False)
        h_s = _rows(hs + last - C, -C, r, N - 1, inside, 0.0, S, False)
        for i in tl.static_range(S):
            tokens = tl.where(r + i == 0, T - (N - 1) * L, L)
            link = _exp((m_s[i] - m) + w_c * tokens)
            m, d, h = m_s[i], d * link + d_s[i], h * link + h_s[i]
            there = inside & (r + i < N - 1)
            tl.store(ds + last - (r + i + 1) * C, d, there)
            tl.store(hs + last - (r + i + 1) * C, h, there)


@triton.jit(do_not_specialize=["T", "N"])
def gradients(  # noqa: PLR0915, for Triton inlines no closures and what a program keeps are its locals
    k, v, dy, w, u, marks, ds, hs, dk, dv, dw, du, d_0, h_0, k_step, v_step, dy_step, T, L, N, K_ROW: tl.constexpr,
    V_ROW: tl.constexpr, DY_ROW: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr, G: tl.constexpr,
    EVEN: tl.constexpr, HAS_END: tl.constexpr, RATES: tl.constexpr,
):  # fmt: skip
    """dk, dv [B, T, C], d and h [B, C] of the state given, and where RATES each segment's part of dw, du [B N, C].

    Backwards over the marks; between two of them forwards, to have what is not kept, and then backwards. w acts on
    outputs through p and q, whose derivatives a and b start at nothing at a mark: what they are at the next one acts
    on all later outputs, through d and h.
    """
    b, n, c, inside = _place(N, C, BLOCK)
    k += b * k_step
    v += b * v_step
    dy += b * dy_step
    dk += b * T * C
    dv += b * T * C
    w_c = tl.load(w + c, inside, 0.0)
    u_c = tl.load(u + c, inside, 0.0)
    at = (b * N + n) * C + c
    d = tl.zeros((BLOCK,), tl.float32)
    h = tl.zeros((BLOCK,), tl.float32)
    if HAS_END:
        d += tl.load(ds + at, inside, 0.0)
        h += tl.load(hs + at, inside, 0.0)
    of_w = tl.zeros((BLOCK,), tl.float32)
    of_u = tl.zeros((BLOCK,), tl.float32)
    begin = (n * L).to(tl.int64)
    blocks = tl.cdiv(tl.minimum(L, T - n * L), G)
    mark = marks + (b * (tl.cdiv(T, G) + 1) + begin // G + blocks) * 3 * C + c
    unit = tl.load(mark, inside, 0.0)  # m at the next mark: at a segment's end not bit for bit that of this walk
    for j in range(blocks):
        t = begin + (blocks - 1 - j) * G
        k_s = _rows(k + c, K_ROW, t, T, inside, NOTHING, G, EVEN)
        v_s = _rows(v + c, V_ROW, t, T, inside, 0.0, G, EVEN)
        dy_s = _rows(dy + c, DY_ROW, t, T, inside, 0.0, G, EVEN)
        mark -= 3 * C
        m = tl.load(mark, inside, 0.0)
        p = tl.load(mark + C, inside, 0.0)
        q = tl.load(mark + 2 * C, inside, 0.0)
        before, a_w, b_w = m, tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
        kept = ()
        for i in tl.static_range(G):
            k_i, v_i = k_s[i].to(tl.float32), v_s[i].to(tl.float32)
            past, scale = _seen(m, q, k_i, u_c)
            y = (v_i + p * past) * scale
            g = dy_s[i].to(tl.float32) * scale
            sent, own = g * past, (v_i - y) * g
            m, link, weight = _links(m, k_i, w_c if EVEN else tl.where(t + i < T, w_c, 0.0))
            if RATES:
                of_u += own
                of_w += sent * (a_w - y * b_w)
                a_w = link * (a_w + (p if EVEN else tl.where(t + i < T, p, 0.0)))
                b_w = link * (b_w + (q if EVEN else tl.where(t + i < T, q, 0.0)))
            p = p * link + weight * v_i
            q = q * link + weight
            kept = kept + ((link, weight, g, sent, sent * y, own),)  # type: ignore[assignment]  # noqa: RUF005
        same = _exp(m - unit)
        d, h, unit = d * same, h * same, before
        if RATES:
            of_w += d * a_w + h * b_w
        last = (t + G - 1) * C + c
        for i in tl.static_range(G):
            link, weight, g, sent, sent_y, own = kept[G - 1 - i]  # type: ignore[var-annotated]
            there = inside if EVEN else inside & (t + G - 1 - i < T)
            tl.store(dv + last - i * C, (g + weight * d).to(dv.dtype.element_ty), there)
            v_i = v_s[G - 1 - i].to(tl.float32)
            tl.store(dk + last - i * C, ((d * v_i + h) * weight + own).to(dk.dtype.element_ty), there)
            d = d * link + sent
            h = h * link - sent_y
    if RATES:
        tl.store(dw + (b * N + n) * C + c, of_w, inside)
        tl.store(du + (b * N + n) * C + c, of_u, inside)
    if n == 0:
        tl.store(d_0 + b * C + c, d, inside)
        tl.store(h_0 + b * C + c, h, inside)
