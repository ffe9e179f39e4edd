"""The scan of `_scan`, whose letters these are, by programs whose warps have roles: see `_roles`.

A group of warps holds a [BV / CONSUMERS, BK] tile of the state, in HALVES of the keys: one at a time is rounded.
`_scan` computes the same by any card's means, is what the interpreter can run, and takes packed sequences.
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


@gluon.jit
def _group(  # noqa: PLR0915, as `_scan.scan`
    o, out, states, shared, place, sums, sizes: gl.constexpr, WIDE: gl.constexpr, PARTNER: gl.constexpr
):
    """A group of warps: [WIDE] values of the BV that its program has."""
    C: gl.constexpr = sizes[0]
    BK: gl.constexpr = sizes[1]
    BV: gl.constexpr = sizes[2]
    STAGES: gl.constexpr = sizes[3]
    REVERSED: gl.constexpr = sizes[4]
    K: gl.constexpr = sizes[5]
    V: gl.constexpr = sizes[6]
    HALVES: gl.constexpr = sizes[8]
    SPLITS: gl.constexpr = sizes[9]
    PART: gl.constexpr = BK // HALVES
    of_state: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, PART, 16])
    of_o: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, C, 16])
    by_o: gl.constexpr = gl.DotOperandLayout(0, of_o, 2)
    by_state: gl.constexpr = gl.DotOperandLayout(0, of_state, 2)
    qs, ks, vs, ps, xs, ready, free = shared
    log2_decay, start, end, saved, kept, bhn, B = states
    DTYPE: gl.constexpr = vs.dtype
    b, h, first, count, iv, ik = place
    chunks = gl.cdiv(count, C)
    g = gl.load(log2_decay + h)
    at = bhn.to(gl.int64) * K * V
    rv = iv * BV + PARTNER * WIDE + gl.arange(0, WIDE, gl.SliceLayout(1, of_state))
    r1 = ik * BK + gl.arange(0, PART, gl.SliceLayout(0, of_state))
    r2 = r1 + PART
    S_1 = _start(None if start is None else start + at, rv, r1, of_state, sizes)
    if HALVES == 2:
        S_2 = _start(None if start is None else start + at, rv, r2, of_state, sizes)
    r_write = gl.arange(0, C, gl.SliceLayout(0, by_state))
    r_read = gl.arange(0, C, gl.SliceLayout(0, of_o))
    if sums is not None:
        weighed = gl.zeros([WIDE], gl.float32, gl.SliceLayout(1, of_o))
    e = 0.0
    for c in range(chunks):
        slot = c % STAGES
        position = chunks - 1 - c if REVERSED else c
        m = gl.minimum(C, count - position * C)
        if saved is not None:
            _pass(saved, S_1, e, rv, r1, c, position, m, kept, sizes)
            if HALVES == 2:
                _pass(saved, S_2, e, rv, r2, c, position, m, kept, sizes)
        faded, unit = _fade(e, m, g)
        A_1 = gl.convert_layout(S_1.to(DTYPE), by_o)
        mbarrier.wait(ready.index(slot), c // STAGES & 1)
        q_c = qs.index(slot).reshape([C, BK])
        k_c = ks.index(slot).reshape([C, BK])
        v_c = vs.index(slot).reshape([C, BV]).slice(PARTNER * WIDE, WIDE, dim=1).permute([1, 0])
        p_c = ps.index(slot).reshape([C, C])
        if not REVERSED:
            p_c = p_c.permute([1, 0])
        a = gl.zeros([WIDE, C], gl.float32, of_o)
        q_1 = q_c.slice(0, PART, dim=1).permute([1, 0])
        a = warpgroup_mma(A_1, q_1, a, use_acc=False, is_async=True)
        if HALVES == 2:
            A_2 = gl.convert_layout(S_2.to(DTYPE), by_o)
            a, _ = warpgroup_mma_wait(0, [a, A_1])
            q_2 = q_c.slice(PART, PART, dim=1).permute([1, 0])
            a = warpgroup_mma(A_2, q_2, a, is_async=True)
            a, _ = warpgroup_mma_wait(0, [a, A_2])
        else:
            a, _ = warpgroup_mma_wait(0, [a, A_1])
        a = a * gl.exp2((m - 1 - r_read if REVERSED else r_read + 1) * g + e)[None, :]
        if SPLITS > 1:  # every term has its share of the scores', so that their sum has it once
            a = a * SPLITS
        a = warpgroup_mma(v_c, p_c, a, is_async=True)
        if gl.abs(faded) > REACH:
            S_1 = S_1 * gl.exp2(faded)
            if HALVES == 2:
                S_2 = S_2 * gl.exp2(faded)
        e = unit
        written = _written(v_c.load(by_state), m, r_write, g, e, REVERSED)
        S_1 = warpgroup_mma(written, k_c.slice(0, PART, dim=1), S_1, is_async=True)
        if HALVES == 2:
            S_2 = warpgroup_mma(written, k_c.slice(PART, PART, dim=1), S_2, is_async=True)
        a = warpgroup_mma_wait(HALVES, [a])
        if SPLITS > 1:
            a = a * (1.0 / SPLITS)
        if sums is not None:
            x_c = xs.index(slot).reshape([C, BV]).slice(PARTNER * WIDE, WIDE, dim=1)
            weighed += _weighed(x_c, a, position, m, kept[0], C, of_o)
        tma.store_wait(0)
        out.reshape([C, WIDE]).permute([1, 0]).store(a.to(o.dtype))
        fence_async_shared()
        t = first + position * C
        tma.async_copy_shared_to_global(o, [ik * B + b, h, t, iv * BV + PARTNER * WIDE], out)
        if HALVES == 2:
            S_1, S_2, _ = warpgroup_mma_wait(0, [S_1, S_2, written])
        else:
            S_1, _ = warpgroup_mma_wait(0, [S_1, written])
        mbarrier.arrive(free.index(slot), count=1)
    tma.store_wait(0)
    if end is not None:
        _keep(end + at, S_1, e, rv, r1, sizes)
        if HALVES == 2:
            _keep(end + at, S_2, e, rv, r2, sizes)
    if sums is not None:
        gl.store(sums + PARTNER * WIDE + gl.arange(0, WIDE, gl.SliceLayout(1, of_o)), weighed)


@gluon.jit(do_not_specialize=["T", "L", "N", "H", "B", "TILES", "EVERY"])
def scan(q, k, v, p, x, o, log2_decay, start, end, saved, sums, T, L, N, H, B, TILES, EVERY,
         SPLITS: gl.constexpr, K: gl.constexpr, V: gl.constexpr, C: gl.constexpr, BK: gl.constexpr, BV: gl.constexpr,
         HALVES: gl.constexpr, CONSUMERS: gl.constexpr, REVERSED: gl.constexpr, TRANSPOSED: gl.constexpr,
         STAGES: gl.constexpr):  # fmt: skip
    """Outputs as of `_scan.scan`; q and k by descriptors of [1, 1, C, BK], o of [1, 1, C, BV/CONSUMERS].

    `saved`: states before every EVERY-th chunk of a sequence; REVERSED, after every EVERY-th. `sums`, where there is x,
    like o: of each program and each of its values, the outputs times x by their place between such chunks.
    """
    DTYPE: gl.constexpr = v.dtype
    WIDE: gl.constexpr = BV // CONSUMERS
    iv, bhn, ik = gl.program_id(0) % TILES, gl.program_id(0) // TILES, gl.program_id(1)
    bh, n = bhn // N, bhn % N
    ready, free = _barriers(STAGES, CONSUMERS)
    qs = gl.allocate_shared_memory(DTYPE, [STAGES, 1, 1, C, BK], q.layout)
    ks = gl.allocate_shared_memory(DTYPE, [STAGES, 1, 1, C, BK], k.layout)
    vs = gl.allocate_shared_memory(DTYPE, [STAGES, 1, 1, C, BV], v.layout)
    ps = gl.allocate_shared_memory(DTYPE, [STAGES, 1, 1, C, C], p.layout)
    xs = vs  # or what outputs are weighed by
    if x is not None:
        xs = gl.allocate_shared_memory(DTYPE, [STAGES, 1, 1, C, BV], x.layout)
    out_1 = gl.allocate_shared_memory(o.dtype, [1, 1, C, WIDE], o.layout)
    sizes: gl.constexpr = (C, BK, BV, STAGES, REVERSED, K, V, TRANSPOSED, HALVES, SPLITS)
    place = (bh // H, bh % H, n * L, gl.minimum(L, T - n * L), iv, ik)
    shared = (qs, ks, vs, ps, xs, ready, free)
    kept = (EVERY, bh * gl.cdiv(T, EVERY * C) + n * (L // (EVERY * C)))
    states = (log2_decay, start, end, saved, kept, bhn, B)
    if x is not None:
        sums += (gl.program_id(0) * SPLITS + ik) * BV
    asked = (q, k, v, p, x, shared, place, sizes)
    if CONSUMERS == 2:
        out_2 = gl.allocate_shared_memory(o.dtype, [1, 1, C, WIDE], o.layout)
        gl.warp_specialize(
            [
                (_group, (o, out_1, states, shared, place, sums, sizes, WIDE, 0)),
                (_group, (o, out_2, states, shared, place, sums, sizes, WIDE, 1)),
                (_ask, asked),
            ],
            [4, 1],
            [240, 24],
        )
    else:
        gl.warp_specialize(
            [(_group, (o, out_1, states, shared, place, sums, sizes, WIDE, 0)), (_ask, asked)],
            [1],
            [24],
        )
