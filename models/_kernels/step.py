"""One token of retention: the state, read and written once, is all that counts.

Letters: B batch, H heads, K size of a query or key head, P = K/2 pairs, V size of a value head.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Complex, Float, Int
from torch import Tensor

from models import _rounding
from models._kernels import bucket, early
from models._portions import Portion, Portions

WARPS = 4
MANY = 2**25  # numbers of a state from which on programs hold more, and a rounded one is read in passes
PASSES = (32, 128, 2, 4)  # of a rounded state: keys and values of a pass, warps, passes on their way
FIRST, SECOND, STEP = (tl.constexpr(number & 0xFFFFFFFF) for number in (*_rounding.FACTORS, _rounding.STEP))


@triton.jit
def _up_or_down(x, chance):
    """The bits of one of the two neighbours in bfloat16, as `chance` of 16 bits decides."""
    return ((x.to(tl.int32, bitcast=True) + chance.to(tl.int32, bitcast=True)) >> 16).to(tl.int16)


@triton.jit
def _dithered(x, product, BK: tl.constexpr, BV: tl.constexpr):
    """Rounded by chance, so that what decays by less than half a step does: as `models._rounding`, but NaN.

    A hash, of which `product` [BK, BV / 2] is the first, has the chances of two neighbours.
    """
    h = (product ^ (product >> 15)) * SECOND
    upper = h >> 16
    low, high = tl.split(x.reshape(BK, BV // 2, 2))
    both = tl.join(_up_or_down(low, (h ^ upper) & 0xFFFF), _up_or_down(high, upper)).reshape(BK, BV)
    return both.to(tl.bfloat16, bitcast=True)


@triton.jit
def _kept(S, at, inside, product, DITHER: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, POLICY: tl.constexpr):
    """Writes a tile of the state in its format; where DITHER, rounded by chance."""
    if DITHER:
        tl.store(at, _dithered(S, product, BK, BV), inside, eviction_policy=POLICY)
    else:
        tl.store(at, S.to(at.dtype.element_ty), inside, eviction_policy=POLICY)


@triton.jit
def _turned(x, turn, BK: tl.constexpr):
    """Pairs (2i, 2i+1) as complex numbers, times `turn`."""
    a, b = tl.split(x.reshape(BK // 2, 2))
    c, s = tl.split(turn.reshape(BK // 2, 2))
    return tl.join(a * c - b * s, a * s + b * c).reshape(BK)


@triton.jit
def _advanced(S, k, v, gamma, decay):
    """The tile after the token; without a gamma nothing decays."""
    if gamma is not None:
        S *= decay
    return S + k[:, None] * v[None, :]


@triton.jit
def _lose(lost, values, at_state, rk, K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr):
    """NaN for all keys of the values that are `lost`."""
    if tl.max(lost.to(tl.int32), 0) > 0:
        tl.debug_barrier()  # another thread may have written these numbers of the state, and its must not come last
        for first in range(0, K, BK):
            tl.store(at_state + first * V, float("nan"), (first + rk < K)[:, None] & (values & lost)[None, :])


@triton.jit
def _query_and_key(at, key_step, turn, turn_step, factor, rk, keys, BK: tl.constexpr):
    """Of the keys `rk`: turned where there is a `turn`, scaled where there is none."""
    q = tl.load(at + rk, keys, 0.0).to(tl.float32)
    k = tl.load(at + key_step + rk, keys, 0.0).to(tl.float32)
    if turn is not None:
        q = _turned(q, tl.load(turn + rk, keys, 0.0), BK)
        k = _turned(k, tl.load(turn + turn_step + rk, keys, 0.0), BK)
    else:
        k *= factor
    return q, k


@triton.jit
def _in_passes(at_state, at, key_step, turn, turn_step, factor, v, gamma, decay, product, pairs, rk, values,
               K: tl.constexpr, V: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr, DITHER: tl.constexpr,
               POLICY: tl.constexpr, STAGES: tl.constexpr):  # fmt: skip
    """Writes the state and returns what is read from it, BK keys in a pass while the next are on their way."""
    terms = tl.zeros((BK, BV), tl.float32)
    for first in tl.range(0, K, BK, num_stages=STAGES):
        keys = first + rk < K
        inside = keys[:, None] & values[None, :]
        S = tl.load(at_state + first * V, inside, 0.0, eviction_policy=POLICY).to(tl.float32)
        q, k = _query_and_key(at, key_step, turn, turn_step, factor, first + rk, keys, BK)
        S = _advanced(S, k, v, gamma, decay)
        terms += S * q[:, None]
        now = product + tl.cast(first, tl.uint32) * pairs * FIRST
        _kept(S, at_state + first * V, inside, now, DITHER, BK, BV, POLICY)
    return tl.sum(terms, 0)


@triton.jit(do_not_specialize=["H", "TILES"])
def step(qkv, turn, gamma, state, o, position, row, turn_steps, factor, H, TILES, K: tl.constexpr, V: tl.constexpr,
         BK: tl.constexpr, BV: tl.constexpr, DITHER: tl.constexpr, POLICY: tl.constexpr, EARLY: tl.constexpr,
         STAGES: tl.constexpr):  # fmt: skip
    """BV values of one head's state, all of its keys: at once, or BK in a pass while the next are on their way.

    `turn` [2, B or 1, K] is that of q and k, or None. Of a rounded state, the values whose sum is NaN become NaN for
    all keys: they would be read as NaN ever after, but rounding turns a GPU's NaN, 0x7FFFFFFF, into a zero.
    """
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
    iv, bh = tl.program_id(0) % TILES, tl.program_id(0) // TILES
    b, h = bh // H, bh % H
    rk, rv = tl.arange(0, BK), iv * BV + tl.arange(0, BV)
    keys, values = rk < K, rv < V
    at_state = state + bh.to(tl.int64) * K * V + rk[:, None] * V + rv[None, :]
    at_o = o + bh.to(tl.int64) * V + rv
    inside = keys[:, None] & values[None, :]
    if BK >= K:
        S = tl.load(at_state, inside, 0.0, eviction_policy=POLICY).to(tl.float32)
    if EARLY:
        tl.extra.cuda.gdc_wait()
    at = qkv + b.to(tl.int64) * row
    v = tl.load(at + 2 * H * K + h * V + rv, values, 0.0).to(tl.float32)
    at += h * K
    if turn is not None:
        turn += b * turn_steps[1]
    decay = 1.0
    if gamma is not None:
        decay = tl.load(gamma + h).to(tl.float32)
    pairs: tl.constexpr = (V + 1) // 2
    product = 0
    if DITHER:
        place = (bh * K * pairs + iv * (BV // 2) + tl.load(position) * STEP).to(tl.uint32)
        product = (place + (rk[:, None] * pairs + tl.arange(0, BV // 2)[None, :]).to(tl.uint32)) * FIRST
    if BK >= K:
        q, k = _query_and_key(at, H * K, turn, turn_steps[0], factor, rk, keys, BK)
        S = _advanced(S, k, v, gamma, decay)
        read = tl.sum(S * q[:, None], 0)
        tl.store(at_o, read, values)
        _kept(S, at_state, inside, product, DITHER, BK, BV, POLICY)
    else:
        read = _in_passes(
            *(at_state, at, H * K, turn, turn_steps[0], factor, v, gamma, decay, product, pairs, rk, values),
            *(K, V, BK, BV, DITHER, POLICY, STAGES),
        )
        tl.store(at_o, read, values)
    if DITHER:
        _lose(read != read, values, at_state, rk, K, V, BK)


def step_(
    qkv: Float[Tensor, "B M"],
    turn: Complex[Tensor, "2 _ P"] | None,
    factor: float,
    gamma: Float[Tensor, "H 1 1"] | None,
    state: Float[Tensor, "B H K V"],
    position: Int[Tensor, "*any"] | None = None,
    portion: Portion = Portions.state,
) -> Float[Tensor, "B H V"]:
    """`_retention.step_` of queries, keys and values as a projection gives them, side by side; overwrites `state`.

    `turn` complex [2, B or 1, K/2] rotates q and k and scales k; without it `factor` scales k. A state in bfloat16 is
    rounded up or down by chance, as the first of `position`, on the device, decides: ValueError where there is none. Of
    one sequence a program holds as much of the state as its `portion` says.
    """
    B, H, K, V = state.shape
    if state.dtype == torch.bfloat16 and position is None:
        raise ValueError("a state in bfloat16 is rounded by chance: give the position of the token, which decides")
    o = torch.empty(B, H, V, dtype=torch.float32, device=state.device)
    dither = state.dtype == torch.bfloat16
    BK, BV, warps, stages = cut(state, portion.most)
    real = None if turn is None else torch.view_as_real(turn)
    steps = (0, 0) if real is None else (real.stride(0), real.stride(1) if real.shape[1] > 1 else 0)
    wait, how = early(state.device)
    tiles = triton.cdiv(V, BV)
    step[(tiles * B * H,)](
        *(qkv, real, gamma, state, o, position if dither else None, qkv.stride(0), steps, factor, H, tiles),
        *(K, V, BK, BV, dither, portion.policy if B == 1 else "", wait, stages),
        num_warps=warps,
        **how,
    )
    return o


def held(state: Float[Tensor, "B H K V"]) -> int:
    """Numbers of several sequences' state that a program holds: more where there are many programs anyway.

    As timed on an H200 with retention, of 8 heads of 256 by 512. A state of 2^28 numbers in float32: 515 us for a layer
    with 16,384, 526 with 8,192; with 32,768 registers spill and it is slower.
    """
    return 16384 if state.numel() >= MANY else 8192


def cut(state: Float[Tensor, "B H K V"], alone: int) -> tuple[int, int, int, int]:
    """Keys and values that a program takes at once, its warps, and passes on their way.

    On an H200 a rounded state of 64 sequences takes 74 us a layer in these passes and 100 at once; in float32 131.
    """
    B, _, K, V = state.shape
    BK, BV = bucket(K, 16), bucket(V, 16)
    if state.dtype == torch.bfloat16 and state.numel() >= MANY:
        keys, values, warps, stages = PASSES
        return min(BK, keys), min(BV, values), warps, stages
    return BK, min(BV, max(8, (held(state) if B > 1 else alone) // BK)), WARPS, 1
