"""The Triton programs of retention: one scan, run forwards or backwards in time, is its outputs and all its gradients.

Letters: B sequences, H heads, T tokens, K size of a query or key head, V size of a value head, C tokens of a chunk,
N walks of L tokens, m tokens of a chunk that there are. Powers of gamma are taken from its base-2 logarithm.

In a chunk, with R the state before it and j its tokens from 0, gamma^(j+1) being `up` and gamma^(m-1-j) `down`:

    o = P v + up q R        R <- gamma^m R + (down k)^T v        P_ij = gamma^(i-j) q_i . k_j for i >= j, else 0

Backwards in time, `up` and `down` change places and P is transposed: that is the gradient of v, of q and k in turn, so

    dv = scan backwards of (k, q, do)        dq = scan of (do, v, k)        dk = scan backwards of (v, do, q)

with P of (q, k) for dv and P of (do, v) for dq and dk.

The state is held transposed, [V, K] in float32 in registers: from there it is the first operand of the tensor cores'
product with q^T, which never writes it to shared memory. Its key dimension comes in two halves, so that the half which
is being rounded to the inputs' dtype needs few registers. No product is ever transposed: Triton before 3.7 miscompiles
that on Hopper.
"""

import triton
import triton.language as tl


@triton.jit
def _span(cu_lengths, b, n, T, L, VARLEN: tl.constexpr):
    """First token and number of tokens of a walk: over packed sequence b, or the n-th over any sequence."""
    if VARLEN:
        first = tl.load(cu_lengths + b)
        count = tl.load(cu_lengths + b + 1) - first
    else:
        first = n * L
        count = tl.minimum(L, T - first)
    return first, count


@triton.jit(do_not_specialize=["T", "H", "CHUNKS"])
def scores(
    q,
    k,
    p,
    log2_decay,
    cu_lengths,
    T,
    H,
    CHUNKS,
    C: tl.constexpr,
    PARTS: tl.constexpr,
    PART: tl.constexpr,
    VARLEN: tl.constexpr,
    STAGES: tl.constexpr,
):
    """P [B, H, T, C] of a chunk; q and k by descriptors of [1, 1, C, PART], PARTS of them."""
    n, bh = tl.program_id(0) % CHUNKS, tl.program_id(0) // CHUNKS
    b, h = bh // H, bh % H
    first, count = _span(cu_lengths, b, 0, T, T, VARLEN)
    if n * C >= count:
        return
    g = tl.load(log2_decay + h)
    row = 0 if VARLEN else b
    t = first + n * C
    s = tl.zeros((C, C), tl.float32)
    for part in tl.range(PARTS, num_stages=STAGES):
        q_c = q.load([row, h, t, part * PART]).reshape(C, PART)
        k_c = k.load([row, h, t, part * PART]).reshape(C, PART)
        s = tl.dot(q_c, k_c.T, s, input_precision="ieee")
    rc = tl.arange(0, C)
    distance = rc[:, None] - rc[None, :]
    m = count - n * C
    there = (distance >= 0) & (rc[:, None] < m) & (rc[None, :] < m)
    s = tl.where(there, s * tl.exp2(distance * g), 0.0)
    at = p + (row * H + h).to(tl.int64) * T * C + (t + rc[:, None]).to(tl.int64) * C + rc[None, :]
    tl.store(at, s.to(p.dtype.element_ty), mask=rc[:, None] < m)


@triton.jit(do_not_specialize=["T", "L", "N", "H", "B", "TILES"])
def scan(  # noqa: PLR0915, for Triton inlines no closures and a program's state are its locals
    q,
    k,
    v,
    p,
    o,
    o_pointer,
    o_strides,
    log2_decay,
    cu_lengths,
    start,
    end,
    state_strides,
    T,
    L,
    N,
    H,
    B,
    TILES,
    SPLITS: tl.constexpr,
    K: tl.constexpr,
    V: tl.constexpr,
    C: tl.constexpr,
    BK: tl.constexpr,
    BV: tl.constexpr,
    HALVES: tl.constexpr,
    REVERSED: tl.constexpr,
    VARLEN: tl.constexpr,
    HAS_START: tl.constexpr,
    KEEP_END: tl.constexpr,
    OUTPUTS: tl.constexpr,
    INSIDE: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Outputs of a [BV] tile of values from a [BK] tile of keys: one of `SPLITS` terms where BK is less than K.

    q, k: descriptors of [1, 1, C, BK/HALVES]; v, o: of [1, 1, C, BV]; p: of [1, 1, C, C]. `start` and `end` are
    states [B H N, K, V] with the strides given. Without OUTPUTS only the state is carried.
    """
    iv, bhn, ik = tl.program_id(0) % TILES, tl.program_id(0) // TILES, tl.program_id(1)
    bh, n = bhn // N, bhn % N
    b, h = bh // H, bh % H
    g = tl.load(log2_decay + h)
    first, count = _span(cu_lengths, b, n, T, L, VARLEN)
    row = 0 if VARLEN else b
    PART: tl.constexpr = BK // HALVES
    rc = tl.arange(0, C)
    rv = iv * BV + tl.arange(0, BV)
    rk = ik * BK + tl.arange(0, PART)
    state_at = bhn.to(tl.int64) * K * V + rv[:, None] * state_strides[1] + rk[None, :] * state_strides[0]
    inside = (rv[:, None] < V) & (rk[None, :] < K)
    inside_2 = (rv[:, None] < V) & (rk[None, :] + PART < K)
    S_1 = tl.zeros((BV, PART), tl.float32)
    S_2 = tl.zeros((BV, PART), tl.float32)
    if HAS_START:
        S_1 += tl.load(start + state_at, mask=inside, other=0.0)
        if HALVES == 2:
            S_2 += tl.load(start + state_at + PART * state_strides[0], mask=inside_2, other=0.0)
    if INSIDE:
        distance = rc[:, None] - rc[None, :] if REVERSED else rc[None, :] - rc[:, None]
        D = tl.where(distance >= 0, tl.exp2(distance * g), 0.0)
    chunks = tl.cdiv(count, C)
    for c in tl.range(0, chunks, num_stages=STAGES):
        at = (chunks - 1 - c if REVERSED else c) * C
        t = first + at
        m = tl.minimum(C, count - at)
        up = tl.exp2((rc + 1) * g)
        down = tl.exp2((m - 1 - rc) * g)
        read, write = (down, up) if REVERSED else (up, down)
        write = tl.where(rc < m, write, 0.0)
        faded = tl.exp2(m * g)
        v_c = v.load([row, h, t, iv * BV]).reshape(C, BV).T
        if VARLEN:  # what follows a sequence is another one
            v_c = tl.where(rc[None, :] < m, v_c, 0.0).to(v_c.dtype)
        written = (v_c * write[None, :]).to(v_c.dtype)
        k_1 = k.load([row, h, t, ik * BK]).reshape(C, PART)
        if OUTPUTS:
            q_1 = q.load([row, h, t, ik * BK]).reshape(C, PART).T
            a = tl.dot(S_1.to(q_1.dtype), q_1, input_precision="ieee")
            if INSIDE:
                s = tl.dot(k_1, q_1, input_precision="ieee")
        S_1 = tl.dot(written, k_1, S_1 * faded, input_precision="ieee")
        if HALVES == 2:
            k_2 = k.load([row, h, t, ik * BK + PART]).reshape(C, PART)
            if OUTPUTS:
                q_2 = q.load([row, h, t, ik * BK + PART]).reshape(C, PART).T
                a = tl.dot(S_2.to(q_2.dtype), q_2, a, input_precision="ieee")
                if INSIDE:
                    s = tl.dot(k_2, q_2, s, input_precision="ieee")
            S_2 = tl.dot(written, k_2, S_2 * faded, input_precision="ieee")
        if OUTPUTS:
            if INSIDE:
                p_c = tl.where(rc[:, None] < m, s * D, 0.0).to(v_c.dtype)
            elif REVERSED:
                p_c = p.load([row, h, t, 0]).reshape(C, C)
            else:
                p_c = p.load([row, h, t, 0]).reshape(C, C).T
            if SPLITS > 1:  # every term has its share, so that their sum has it once
                v_c = (v_c * (1.0 / SPLITS)).to(v_c.dtype)
            a = tl.dot(v_c, p_c, a * read[None, :], input_precision="ieee")
            if VARLEN:
                o_at = (
                    o_pointer
                    + ((ik * B + row).to(tl.int64) * o_strides[0] + h * o_strides[1])
                    + (t + rc[None, :]).to(tl.int64) * o_strides[2]
                )
                tl.store(
                    o_at + rv[:, None], a.to(o_pointer.dtype.element_ty), mask=(rv[:, None] < V) & (rc[None, :] < m)
                )
            else:
                o.store([ik * B + row, h, t, iv * BV], a.to(o_pointer.dtype.element_ty).T.reshape(1, 1, C, BV))
    if KEEP_END:
        tl.store(end + state_at, S_1, mask=inside)
        if HALVES == 2:
            tl.store(end + state_at + PART * state_strides[0], S_2, mask=inside_2)


@triton.jit(do_not_specialize=["T", "L", "N", "H", "SIZE", "BLOCKS"])
def carry(
    states,
    start,
    final,
    log2_decay,
    T,
    L,
    N,
    H,
    SIZE,
    BLOCKS,
    REVERSED: tl.constexpr,
    HAS_START: tl.constexpr,
    KEEP_FINAL: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """What each walk adds, [B H, N, SIZE], becomes the state before it; in time's order or backwards."""
    block, bh = tl.program_id(0) % BLOCKS, tl.program_id(0) // BLOCKS
    g = tl.load(log2_decay + bh % H)
    r = block * BLOCK + tl.arange(0, BLOCK)
    inside = r < SIZE
    S = tl.zeros((BLOCK,), tl.float32)
    if HAS_START:
        S += tl.load(start + bh.to(tl.int64) * SIZE + r, mask=inside, other=0.0)
    for c in range(N):
        n = N - 1 - c if REVERSED else c
        at = states + (bh.to(tl.int64) * N + n) * SIZE + r
        added = tl.load(at, mask=inside, other=0.0)
        tl.store(at, S, mask=inside)
        S = S * tl.exp2(tl.minimum(L, T - n * L) * g) + added
    if KEEP_FINAL:
        tl.store(final + bh.to(tl.int64) * SIZE + r, S, mask=inside)
