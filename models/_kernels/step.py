"""One token of retention: the state, read and written once, is all that counts.

Letters: B batch, H heads, K size of a query or key head, P = K/2 pairs, V size of a value head.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from models._kernels import bucket, early
from models._portions import Portions

WARPS = 4
MANY = 2**25  # numbers of a state from which on programs hold more


@triton.jit
def _scrambled(x):
    """A hash of 32 bits (Wellons' lowbias32)."""
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def _up_or_down(x, chance):
    """To one of the two neighbours in bfloat16, as `chance` of 16 bits decides. NaN, on a GPU 0x7FFFFFFF, stays."""
    bits = tl.minimum(x.to(tl.int32, bitcast=True), 0x7FFF0000) + chance.to(tl.int32, bitcast=True)
    return (bits >> 16).to(tl.int16).to(tl.bfloat16, bitcast=True)


@triton.jit
def _dithered(x, pair, BK: tl.constexpr, BV: tl.constexpr):
    """Rounded by chance, so that what decays by less than half a step does: as `models._rounding`.

    A hash of the number `pair`, [BK, BV / 2], of two neighbours has the chances of both.
    """
    chance = _scrambled(pair.to(tl.uint32))
    low, high = tl.split(x.reshape(BK, BV // 2, 2))
    return tl.join(_up_or_down(low, chance & 0xFFFF), _up_or_down(high, chance >> 16)).reshape(BK, BV)


@triton.jit
def _turned(x, turn, BK: tl.constexpr):
    """Pairs (2i, 2i+1) as complex numbers, times `turn`."""
    a, b = tl.split(x.reshape(BK // 2, 2))
    c, s = tl.split(turn.reshape(BK // 2, 2))
    return tl.join(a * c - b * s, a * s + b * c).reshape(BK)


@triton.jit(do_not_specialize=["H", "TILES"])
def step(qkv, turn, gamma, state, o, position, row, turn_steps, factor, H, TILES, K: tl.constexpr, V: tl.constexpr,
         BK: tl.constexpr, BV: tl.constexpr, DITHER: tl.constexpr, EARLY: tl.constexpr):  # fmt: skip
    """A [BK, BV] tile of one head's state, all of its keys. `turn` [2, B or 1, K] is that of q and k, or None."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
    iv, bh = tl.program_id(0) % TILES, tl.program_id(0) // TILES
    b, h = bh // H, bh % H
    rk, rv = tl.arange(0, BK), iv * BV + tl.arange(0, BV)
    keys, values = rk < K, rv < V
    inside = keys[:, None] & values[None, :]
    at_state = state + bh.to(tl.int64) * K * V + rk[:, None] * V + rv[None, :]
    S = tl.load(at_state, inside, 0.0).to(tl.float32)
    if EARLY:
        tl.extra.cuda.gdc_wait()
    at = qkv + b.to(tl.int64) * row + h * K + rk
    q = tl.load(at, keys, 0.0).to(tl.float32)
    k = tl.load(at + H * K, keys, 0.0).to(tl.float32)
    v = tl.load(qkv + b.to(tl.int64) * row + 2 * H * K + h * V + rv, values, 0.0).to(tl.float32)
    if gamma is not None:
        S *= tl.load(gamma + h).to(tl.float32)
    if turn is not None:
        of_q = tl.load(turn + b * turn_steps[1] + rk, keys, 0.0)
        of_k = tl.load(turn + b * turn_steps[1] + turn_steps[0] + rk, keys, 0.0)
        q, k = _turned(q, of_q, BK), _turned(k, of_k, BK)
    else:
        k *= factor
    S += k[:, None] * v[None, :]
    tl.store(o + bh.to(tl.int64) * V + rv, tl.sum(S * q[:, None], 0), values)
    if DITHER:
        pairs = (V + 1) // 2
        start = (bh * K * pairs + iv * (BV // 2) + tl.load(position) * 0x9E3779B1).to(tl.uint32)
        S = _dithered(S, start + (rk[:, None] * pairs + tl.arange(0, BV // 2)[None, :]), BK, BV)
    tl.store(at_state, S.to(state.dtype.element_ty), inside)


def step_(
    qkv: Float[Tensor, "B M"],
    turn: Tensor | None,
    factor: float,
    gamma: Float[Tensor, "H 1 1"] | None,
    state: Float[Tensor, "B H K V"],
    position: Tensor | None = None,
    alone: int = Portions.state,
) -> Float[Tensor, "B H V"]:
    """`_retention.step_` of queries, keys and values as a projection gives them, side by side; overwrites `state`.

    `turn` complex [2, B or 1, K/2] rotates q and k and scales k; without it `factor` scales k. A state in bfloat16 is
    rounded up or down by chance, as the first of `position`, on the device, decides. Of one sequence a program holds
    `alone` numbers of the state at most.
    """
    B, H, K, V = state.shape
    o = torch.empty(B, H, V, dtype=torch.float32, device=state.device)
    dither = state.dtype == torch.bfloat16
    BK = bucket(K, 16)
    BV = min(bucket(V, 16), max(8, (held(state) if B > 1 else alone) // BK))
    real = None if turn is None else torch.view_as_real(turn)
    steps = (0, 0) if real is None else (real.stride(0), real.stride(1) if real.shape[1] > 1 else 0)
    wait, how = early(state.device)
    tiles = triton.cdiv(V, BV)
    step[(tiles * B * H,)](
        *(qkv, real, gamma, state, o, position if dither else None, qkv.stride(0), steps, factor, H, tiles),
        *(K, V, BK, BV, dither, wait),
        num_warps=WARPS,
        **how,
    )
    return o


def held(state: Float[Tensor, "B H K V"]) -> int:
    """Numbers of several sequences' state that a program holds: more where there are many programs anyway.

    As timed on an H200 with retention, of 8 heads of 256 by 512. A state of 2^28 numbers in float32: 515 us for a layer
    with 16,384, 526 with 8,192; with 32,768 registers spill and it is slower. In bfloat16 the hash behind the rounding
    is what takes time.
    """
    return 16384 if state.dtype == torch.float32 and state.numel() >= MANY else 8192
