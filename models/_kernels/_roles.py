"""What programs share whose warps have roles: for Hopper, in Gluon. Letters are those of `_scan`, and: a program has a
[BK, BV] tile of the state [K, V], and STAGES places in shared memory for the tiles of a chunk.

One warp asks for what the next chunks need as soon as their places in shared memory are free. Each of CONSUMERS groups
of four warps, PARTNER is which, goes at its own pace, so that the tensor cores have one group's products while another
rounds, scales and writes. Within a group, products run beside whatever does not need them.

Groups are told `sizes`: C, BK, BV, STAGES, whether they walk REVERSED, K, V, whether states are TRANSPOSED, [V, K] in
memory, and what else a program adds; `place`: the program's sequence, head, first token and number of tokens, tile of
values and tile of keys; and `shared`: the tiles of q, k, v, scores and what outputs are weighed by, and the barriers of
each place for them.

A state is kept in units of 2^e: fading a chunk is a new `e`, and only where that leaves REACH is the state itself
scaled, so that heads that fade slowly hardly ever are. In those units it is rounded for the products: bfloat16 reaches
as far as float32, float16 does not.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.hopper import fence_async_shared, mbarrier, tma

REACH = gl.constexpr(40.0)  # of e: powers of two that a state may be away from its own size, of 126 that there are


@gluon.jit
def _barriers(STAGES: gl.constexpr, CONSUMERS: gl.constexpr):
    """Of each of STAGES places: that what is to be there is, and that all groups are done with it."""
    ready = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    free = gl.allocate_shared_memory(gl.int64, [STAGES, 1], mbarrier.MBarrierLayout())
    for i in gl.static_range(STAGES):
        mbarrier.init(ready.index(i), count=1)
        mbarrier.init(free.index(i), count=CONSUMERS)
    fence_async_shared()
    return ready, free


@gluon.jit
def _ask(q, k, v, p, x, shared, place, sizes: gl.constexpr):
    """The warp that brings the tiles of the chunks, of those tensors that there are."""
    C: gl.constexpr = sizes[0]
    BK: gl.constexpr = sizes[1]
    BV: gl.constexpr = sizes[2]
    STAGES: gl.constexpr = sizes[3]
    REVERSED: gl.constexpr = sizes[4]
    qs, ks, vs, ps, xs, ready, free = shared
    b, h, first, count, iv, ik = place
    chunks = gl.cdiv(count, C)
    WIDTHS: gl.constexpr = BK + BV + (0 if q is None else BK) + (0 if p is None else C) + (0 if x is None else BV)
    for c in range(chunks):
        slot = c % STAGES
        t = first + (chunks - 1 - c if REVERSED else c) * C
        mbarrier.wait(free.index(slot), (c // STAGES & 1) ^ 1)
        here = ready.index(slot)
        mbarrier.expect(here, 2 * C * WIDTHS)
        tma.async_copy_global_to_shared(k, [b, h, t, ik * BK], here, ks.index(slot))
        if q is not None:
            tma.async_copy_global_to_shared(q, [b, h, t, ik * BK], here, qs.index(slot))
        tma.async_copy_global_to_shared(v, [b, h, t, iv * BV], here, vs.index(slot))
        if p is not None:
            tma.async_copy_global_to_shared(p, [b, h, t, 0], here, ps.index(slot))
        if x is not None:
            tma.async_copy_global_to_shared(x, [b, h, t, iv * BV], here, xs.index(slot))


@gluon.jit
def _start(at, rv, rk, layout: gl.constexpr, sizes: gl.constexpr):
    """A tile [rv, rk], transposed, of the state of which `at` is the first number; zeros where it is None.

    Beyond the state's sizes there is any of its numbers: no query or output has those. That is cheaper than a mask.
    """
    S = gl.zeros([rv.shape[0], rk.shape[0]], gl.float32, layout)
    if at is not None:
        if sizes[6] % sizes[2] != 0:
            rv = gl.minimum(rv, sizes[6] - 1)
        if sizes[5] % sizes[1] != 0:
            rk = gl.minimum(rk, sizes[5] - 1)
        S += gl.load(_of_state(at, rv, rk, sizes))
    return S


@gluon.jit
def _of_state(at, rv, rk, sizes: gl.constexpr):
    """Where the numbers of a tile [rv, rk] are; by strides that the compiler knows, or it would hold every address."""
    if sizes[7]:
        return at + (rv[:, None] * sizes[5] + rk[None, :])
    return at + (rv[:, None] + rk[None, :] * sizes[6])


@gluon.jit
def _keep(at, S, e, rv, rk, sizes: gl.constexpr):
    """Stores a tile of a state as `_start` loads it, as far as the state goes."""
    to = _of_state(at, rv, rk, sizes)
    if sizes[5] % sizes[1] != 0 or sizes[6] % sizes[2] != 0:
        gl.store(to, S * gl.exp2(e), mask=(rv < sizes[6])[:, None] & (rk < sizes[5])[None, :])
    else:
        gl.store(to, S * gl.exp2(e))


@gluon.jit
def _pass(saved, S, e, rv, rk, c, position, m, kept, sizes: gl.constexpr):
    """Keeps a tile of the state that chunk `position`, the c-th of the walk, begins with, where segments meet there.

    `kept`: chunks of a segment, and the number of the walk's first one among all heads'.
    """
    if c == 0 or (position + (1 if sizes[4] else 0)) % kept[0] == 0:
        zero = gl.minimum(m, 0)  # unknown to the compiler, which would find all numbers' places before the loop
        at = saved + (kept[1] + position // kept[0]).to(gl.int64) * sizes[5] * sizes[6]
        _keep(at, S, e, rv ^ zero, rk ^ zero, sizes)


@gluon.jit
def _fade(e, tokens, g):
    """The units after as many tokens if the state is left as it is, and those after it is scaled if it must be."""
    faded = e + tokens * g
    return faded, gl.where(gl.abs(faded) > REACH, 0.0, faded)


@gluon.jit
def _written(v_c, m, r, g, e, REVERSED: gl.constexpr):
    """The values [V, C] of a chunk of m tokens, as they fade to its end, in units of 2^e; REVERSED, to its start."""
    write = gl.exp2((r + 1 if REVERSED else m - 1 - r) * g - e)
    return (v_c.to(gl.float32) * gl.where(r < m, write, 0.0)[None, :]).to(v_c.dtype)


@gluon.jit
def _weighed(x_c, a, position, m, EVERY, C: gl.constexpr, layout: gl.constexpr):
    """Of outputs a [V, C] of m tokens: the sums over them of place x a, the place that `decay_gradient` counts."""
    r = gl.arange(0, C, gl.SliceLayout(0, layout))
    place = (position % EVERY * C + 1 - EVERY * C // 2 + r).to(gl.float32)
    x = x_c.permute([1, 0]).load(layout).to(gl.float32) * place[None, :]
    return gl.sum(gl.where((r < m)[None, :], x * a, 0.0), axis=1)
