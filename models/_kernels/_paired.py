"""The scan of `_specialised` where a head's keys are one tile and its scores are found on the way: see `_roles`.

One group of warps has the state and what queries read from it, another the scores within chunks and what becomes of
both; the third warp brings the tiles. What was read goes from the first to the second in float32 through two places in
shared memory, so that neither waits for the other within a chunk.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import (
    fence_async_shared,
    mbarrier,
    tma,
    warpgroup_mma,
    warpgroup_mma_wait,
)

from models._kernels._roles import REACH, _ask, _barriers, _fade, _keep, _pass, _start, _weighed, _written

PLACES = gl.constexpr(2)  # for what was read


@gluon.jit
def _across(states, shared, handed, place, sizes: gl.constexpr):
    """The state: what the queries of a chunk read from it, and what its keys and values add."""
    C: gl.constexpr = sizes[0]
    BK: gl.constexpr = sizes[1]
    BV: gl.constexpr = sizes[2]
    STAGES: gl.constexpr = sizes[3]
    REVERSED: gl.constexpr = sizes[4]
    K: gl.constexpr = sizes[5]
    V: gl.constexpr = sizes[6]
    of_state: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BK, 16])
    of_o: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, C, 16])
    by_o: gl.constexpr = gl.DotOperandLayout(0, of_o, 2)
    by_state: gl.constexpr = gl.DotOperandLayout(0, of_state, 2)
    qs, ks, vs, ready, free = shared[0], shared[1], shared[2], shared[5], shared[6]
    log2_decay, start, end, saved, kept, bhn = states
    read, given, taken = handed
    DTYPE: gl.constexpr = vs.dtype
    h, count, iv = place[1], place[3], place[4]
    chunks = gl.cdiv(count, C)
    g = gl.load(log2_decay + h)
    rv = iv * BV + gl.arange(0, BV, gl.SliceLayout(1, of_state))
    rk = gl.arange(0, BK, gl.SliceLayout(0, of_state))
    S = _start(None if start is None else start + bhn.to(gl.int64) * K * V, rv, rk, of_state, sizes)
    r_write = gl.arange(0, C, gl.SliceLayout(0, by_state))
    r_read = gl.arange(0, C, gl.SliceLayout(0, of_o))
    e = 0.0
    for c in range(chunks):
        slot = c % STAGES
        position = chunks - 1 - c if REVERSED else c
        m = gl.minimum(C, count - position * C)
        if saved is not None:
            _pass(saved, S, e, rv, rk, c, position, m, kept, sizes)
        faded, unit = _fade(e, m, g)
        A = gl.convert_layout(S.to(DTYPE), by_o)
        mbarrier.wait(ready.index(slot), c // STAGES & 1)
        q_c = qs.index(slot).reshape([C, BK]).permute([1, 0])
        v_c = vs.index(slot).reshape([C, BV]).permute([1, 0])
        a = warpgroup_mma(A, q_c, gl.zeros([BV, C], gl.float32, of_o), use_acc=False, is_async=True)
        up = gl.exp2((m - 1 - r_read if REVERSED else r_read + 1) * g + e)
        written = _written(v_c.load(by_state), m, r_write, g, unit, REVERSED)
        a, _ = warpgroup_mma_wait(0, [a, A])
        if gl.abs(faded) > REACH:
            S = S * gl.exp2(faded)
        e = unit
        S = warpgroup_mma(written, ks.index(slot).reshape([C, BK]), S, is_async=True)
        mbarrier.wait(taken.index(c % PLACES), (c // PLACES & 1) ^ 1)
        read.index(c % PLACES).store(a * up[None, :])
        mbarrier.arrive(given.index(c % PLACES), count=1)
        S, _ = warpgroup_mma_wait(0, [S, written])
        mbarrier.arrive(free.index(slot), count=1)
    if end is not None:
        _keep(end + bhn.to(gl.int64) * K * V, S, e, rv, rk, sizes)


@gluon.jit
def _within(o, out, log2_decay, EVERY, sums, shared, handed, place, sizes: gl.constexpr):
    """The scores of a chunk, and its outputs: the values that they weigh, and what was read."""
    C: gl.constexpr = sizes[0]
    BK: gl.constexpr = sizes[1]
    BV: gl.constexpr = sizes[2]
    STAGES: gl.constexpr = sizes[3]
    REVERSED: gl.constexpr = sizes[4]
    of_o: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, C, 16])
    qs, ks, vs, scores, xs, ready, free = shared
    read, given, taken = handed
    b, h, first, count, iv = place[0], place[1], place[2], place[3], place[4]
    chunks = gl.cdiv(count, C)
    g = gl.load(log2_decay + h)
    r_query = gl.arange(0, C, gl.SliceLayout(0, of_o))
    r_key = gl.arange(0, C, gl.SliceLayout(1, of_o))
    distance = r_key[:, None] - r_query[None, :] if REVERSED else r_query[None, :] - r_key[:, None]
    D = gl.where(distance >= 0, gl.exp2(distance * g), 0.0)
    if sums is not None:
        weighed = gl.zeros([BV], gl.float32, gl.SliceLayout(1, of_o))
    for c in range(chunks):
        slot = c % STAGES
        position = chunks - 1 - c if REVERSED else c
        mbarrier.wait(ready.index(slot), c // STAGES & 1)
        q_c = qs.index(slot).reshape([C, BK]).permute([1, 0])
        v_c = vs.index(slot).reshape([C, BV]).permute([1, 0])
        s = gl.zeros([C, C], gl.float32, of_o)
        s = warpgroup_mma(ks.index(slot).reshape([C, BK]), q_c, s, use_acc=False, is_async=True)
        s = warpgroup_mma_wait(0, [s])
        s = gl.where(r_key[:, None] < count - position * C, s * D, 0.0)
        scores.store(s.to(vs.dtype))
        fence_async_shared()
        mbarrier.wait(given.index(c % PLACES), c // PLACES & 1)
        a = read.index(c % PLACES).load(of_o)
        mbarrier.arrive(taken.index(c % PLACES), count=1)
        a = warpgroup_mma(v_c, scores, a, is_async=True)
        a = warpgroup_mma_wait(0, [a])
        if sums is not None:
            m = gl.minimum(C, count - position * C)
            weighed += _weighed(xs.index(slot).reshape([C, BV]), a, position, m, EVERY, C, of_o)
        mbarrier.arrive(free.index(slot), count=1)
        tma.store_wait(0)
        out.reshape([C, BV]).permute([1, 0]).store(a.to(o.dtype))
        fence_async_shared()
        tma.async_copy_shared_to_global(o, [b, h, first + position * C, iv * BV], out)
    tma.store_wait(0)
    if sums is not None:
        gl.store(sums + gl.arange(0, BV, gl.SliceLayout(1, of_o)), weighed)


@gluon.jit(do_not_specialize=["T", "L", "N", "H", "TILES", "EVERY"])
def scan(q, k, v, x, o, log2_decay, start, end, saved, sums, T, L, N, H, TILES, EVERY, K: gl.constexpr,
         V: gl.constexpr, C: gl.constexpr, BK: gl.constexpr, BV: gl.constexpr, REVERSED: gl.constexpr,
         TRANSPOSED: gl.constexpr, STAGES: gl.constexpr):  # fmt: skip
    """As `_specialised.scan`; o by descriptors of [1, 1, C, BV]."""
    DTYPE: gl.constexpr = v.dtype
    iv, bhn = gl.program_id(0) % TILES, gl.program_id(0) // TILES
    bh, n = bhn // N, bhn % N
    ready, free = _barriers(STAGES, 2)
    given, taken = _barriers(PLACES, 1)
    qs = gl.allocate_shared_memory(DTYPE, [STAGES, 1, 1, C, BK], q.layout)
    ks = gl.allocate_shared_memory(DTYPE, [STAGES, 1, 1, C, BK], k.layout)
    vs = gl.allocate_shared_memory(DTYPE, [STAGES, 1, 1, C, BV], v.layout)
    out = gl.allocate_shared_memory(o.dtype, [1, 1, C, BV], o.layout)
    of_scores: gl.constexpr = gl.NVMMASharedLayout.get_default_for([C, C], DTYPE)
    scores = gl.allocate_shared_memory(DTYPE, [C, C], of_scores)
    of_read: gl.constexpr = gl.NVMMASharedLayout.get_default_for([BV, C], gl.float32)
    read = gl.allocate_shared_memory(gl.float32, [PLACES, BV, C], of_read)
    sizes: gl.constexpr = (C, BK, BV, STAGES, REVERSED, K, V, TRANSPOSED)
    place = (bh // H, bh % H, n * L, gl.minimum(L, T - n * L), iv, 0)
    xs = vs  # or what outputs are weighed by
    if x is not None:
        xs = gl.allocate_shared_memory(DTYPE, [STAGES, 1, 1, C, BV], x.layout)
    shared = (qs, ks, vs, scores, xs, ready, free)
    kept = (EVERY, bh * gl.cdiv(T, EVERY * C) + n * (L // (EVERY * C)))
    states = (log2_decay, start, end, saved, kept, bhn)
    if x is not None:
        sums += gl.program_id(0) * BV
    handed = (read, given, taken)
    gl.warp_specialize(
        [
            (_across, (states, shared, handed, place, sizes)),
            (_within, (o, out, log2_decay, EVERY, sums, shared, handed, place, sizes)),
            (_ask, (q, k, v, None, x, shared, place, sizes)),
        ],
        [4, 1],
        [208, 24],
    )
