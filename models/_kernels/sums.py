"""One token of linear attention whose features are those of elu or relu: the sums, read and written once.

Letters: B batch, H heads, F features, V size of a value head. z is the sum of the keys' features, what divides.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Complex, Float
from torch import Tensor

from models._kernels import bucket, early
from models._kernels.step import WARPS, _turned, held
from models._sums import PROGRAMMED


@triton.jit
def _features(x, inside, MAP: tl.constexpr):
    phi = tl.maximum(x, 0.0) if MAP == 1 else tl.where(x > 0.0, x + 1.0, tl.exp(tl.minimum(x, 0.0)))
    return tl.where(inside, phi, 0.0)


@triton.jit(do_not_specialize=["H", "TILES"])
def sums(qkv, turn, state, z, new, y, row, state_step, z_steps, turn_step, eps, H, TILES, F: tl.constexpr,
         V: tl.constexpr, MAP: tl.constexpr, BF: tl.constexpr, BV: tl.constexpr, EARLY: tl.constexpr):  # fmt: skip
    """A [BF, BV] tile of one head's sums, all of its features. z is left as it is, as others read it: `new` is next."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
    iv, bh = tl.program_id(0) % TILES, tl.program_id(0) // TILES
    b, h = (bh // H).to(tl.int64), bh % H
    rf, rv = tl.arange(0, BF), iv * BV + tl.arange(0, BV)
    features, values = rf < F, rv < V
    inside = features[:, None] & values[None, :]
    at_state = state + bh.to(tl.int64) * F * state_step + rf[:, None] * state_step + rv[None, :]
    S = tl.load(at_state, inside, 0.0).to(tl.float32)
    if EARLY:
        tl.extra.cuda.gdc_wait()
    at = qkv + b * row + h * F + rf
    q = _features(tl.load(at, features, 0.0).to(tl.float32), features, MAP)
    k = _features(tl.load(at + H * F, features, 0.0).to(tl.float32), features, MAP)
    v = tl.load(qkv + b * row + 2 * H * F + h * V + rv, values, 0.0).to(tl.float32)
    if z is not None:
        sum_z = tl.load(z + b * z_steps[0] + (h * F + rf) * z_steps[1], features, 0.0).to(tl.float32) + k
        total = tl.sum(q * sum_z, 0) + eps
        tl.store(new + bh.to(tl.int64) * F + rf, sum_z, features & (iv == 0))
    if turn is not None:
        turns = tl.load(turn + b * turn_step + rf, features, 0.0)
        q, k = _turned(q, turns, BF), _turned(k, turns, BF)
    S += k[:, None] * v[None, :]
    o = tl.sum(S * q[:, None], 0)
    if z is not None:
        o /= total
    tl.store(y + bh.to(tl.int64) * V + rv, o.to(y.dtype.element_ty), values)
    tl.store(at_state, S.to(state.dtype.element_ty), inside)


def step_(
    qkv: Float[Tensor, "B M"],
    kind: str,
    turn: Complex[Tensor, "*any P"] | None,
    state: Float[Tensor, "B H F C"],
    z: Float[Tensor, "B H F"] | None,
    V: int,
    eps: float,
    dtype: torch.dtype,
) -> tuple[Float[Tensor, "B N"], tuple[Float[Tensor, "B H*F"], Float[Tensor, "B H*F"]] | None]:
    """phi(q) S, with z over phi(q) . z + eps; of queries, keys and values as a projection gives them, side by side.

    Adds to `state`, in place, the values of its first V columns. What z becomes is given back with z, to be copied:
    there are several programs to a head, and none knows when the others have read it. `turn`, [1, P] or [B, P], rotates
    features in S, but not in z. z may be a column of `state`.
    """
    B, H, F, C = state.shape
    y = torch.empty(B, H * V, dtype=dtype, device=state.device)
    moved = None
    if z is not None:  # flattened, it is a view: its last two axes have one step
        moved = torch.empty(B, H * F, dtype=torch.float32, device=state.device), z.flatten(1)
    new, flat = moved or (None, None)
    real = None if turn is None else torch.view_as_real(turn)
    BF = bucket(F, 16)
    BV = min(bucket(V, 16), max(8, held(state) // BF))
    wait, how = early(state.device)
    tiles = triton.cdiv(V, BV)
    sums[(tiles * B * H,)](
        *(qkv, real, state, flat, new, y, qkv.stride(0), C, (0, 0) if flat is None else flat.stride()),
        *(0 if real is None or len(real) == 1 else real.stride(0), eps, H, tiles, F, V, PROGRAMMED[kind], BF, BV, wait),
        num_warps=WARPS,
        **how,
    )
    return y, moved
