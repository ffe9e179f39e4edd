"""What walks add to the states between them, by programs whose warps have roles: see `_roles`."""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import mbarrier, warpgroup_mma, warpgroup_mma_wait

from models._kernels._roles import REACH, _ask, _barriers, _fade, _keep, _written


@gluon.jit
def _gather(states, shared, place, sizes: gl.constexpr, WIDE: gl.constexpr, PARTNER: gl.constexpr):
    """A group of warps of `gather`: makes a chunk's values ready while the one before is multiplied."""
    C: gl.constexpr = sizes[0]
    BK: gl.constexpr = sizes[1]
    BV: gl.constexpr = sizes[2]
    STAGES: gl.constexpr = sizes[3]
    REVERSED: gl.constexpr = sizes[4]
    K: gl.constexpr = sizes[5]
    V: gl.constexpr = sizes[6]
    of_state: gl.constexpr = gl.NVMMADistributedLayout([3, 0], [4, 1], [16, BK, 16])
    by_state: gl.constexpr = gl.DotOperandLayout(0, of_state, 2)
    ks, vs, ready, free = shared[1], shared[2], shared[5], shared[6]
    log2_decay, end, bhn = states
    h, count, iv, ik = place[1], place[3], place[4], place[5]
    chunks = gl.cdiv(count, C)
    g = gl.load(log2_decay + h)
    rv = iv * BV + PARTNER * WIDE + gl.arange(0, WIDE, gl.SliceLayout(1, of_state))
    rk = ik * BK + gl.arange(0, BK, gl.SliceLayout(0, of_state))
    r = gl.arange(0, C, gl.SliceLayout(0, by_state))
    S = gl.zeros([WIDE, BK], gl.float32, of_state)
    m = gl.minimum(C, count - (chunks - 1) * C) if REVERSED else gl.minimum(C, count)
    e = 0.0
    faded, unit = _fade(e, m, g)
    mbarrier.wait(ready.index(0), 0)
    v_c = vs.index(0).reshape([C, BV]).slice(PARTNER * WIDE, WIDE, dim=1).permute([1, 0])
    written = _written(v_c.load(by_state), m, r, g, unit, REVERSED)
    for c in range(chunks):
        if gl.abs(faded) > REACH:
            S = S * gl.exp2(faded)
        e = unit
        S = warpgroup_mma(written, ks.index(c % STAGES).reshape([C, BK]), S, is_async=True)
        following = gl.minimum(c + 1, chunks - 1)  # the last one twice
        slot = following % STAGES
        m = gl.minimum(C, count - (chunks - 1 - following if REVERSED else following) * C)
        faded, unit = _fade(e, m, g)
        mbarrier.wait(ready.index(slot), following // STAGES & 1)
        v_c = vs.index(slot).reshape([C, BV]).slice(PARTNER * WIDE, WIDE, dim=1).permute([1, 0])
        after = _written(v_c.load(by_state), m, r, g, unit, REVERSED)
        S, _ = warpgroup_mma_wait(0, [S, written])
        written = after
        mbarrier.arrive(free.index(c % STAGES), count=1)
    _keep(end + bhn.to(gl.int64) * K * V, S, e, rv, rk, sizes)


@gluon.jit(do_not_specialize=["T", "L", "N", "H", "TILES"])
def gather(k, v, log2_decay, end, T, L, N, H, TILES, K: gl.constexpr, V: gl.constexpr, C: gl.constexpr,
           BK: gl.constexpr, BV: gl.constexpr, WIDE: gl.constexpr, REVERSED: gl.constexpr,
           TRANSPOSED: gl.constexpr, STAGES: gl.constexpr):  # fmt: skip
    """What a walk adds to the state after it; REVERSED, to the one before it."""
    DTYPE: gl.constexpr = v.dtype
    iv, bhn, ik = gl.program_id(0) % TILES, gl.program_id(0) // TILES, gl.program_id(1)
    bh, n = bhn // N, bhn % N
    ready, free = _barriers(STAGES, BV // WIDE)
    ks = gl.allocate_shared_memory(DTYPE, [STAGES, 1, 1, C, BK], k.layout)
    vs = gl.allocate_shared_memory(DTYPE, [STAGES, 1, 1, C, BV], v.layout)
    sizes: gl.constexpr = (C, BK, BV, STAGES, REVERSED, K, V, TRANSPOSED)
    place = (bh // H, bh % H, n * L, gl.minimum(L, T - n * L), iv, ik)
    shared = (ks, ks, vs, ks, ks, ready, free)
    states = (log2_decay, end, bhn)
    asked = (None, k, v, None, None, shared, place, sizes)
    if BV == 2 * WIDE:
        gl.warp_specialize(
            [
                (_gather, (states, shared, place, sizes, WIDE, 0)),
                (_gather, (states, shared, place, sizes, WIDE, 1)),
                (_ask, asked),
            ],
            [4, 1],
            [240, 24],
        )
    else:
        gl.warp_specialize([(_gather, (states, shared, place, sizes, WIDE, 0)), (_ask, asked)], [1], [24])
