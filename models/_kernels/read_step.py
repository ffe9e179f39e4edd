"""One token of one sequence: `skinny.read` of a projection and `step.step_` with that by one program, not two.

Letters: D width, N outputs of the projection: q and k of H heads of K, v of H heads of V, and more; S parts of x; P =
K/2 pairs.

Programs of the values' outputs change the part of the state that belongs to those, and wait for the programs of their
head's queries and keys. These stand before them in the grid, so they run or have run: GPUs start programs in that
order, though CUDA does not promise it. `counts` [2, H] holds, of each head, the programs of queries and keys that are
done, and those of values that went on, the last of which sets both back to zero.
"""

import math

import torch
import triton
import triton.language as tl
from jaxtyping import Complex, Float, Int
from torch import Tensor

from models._kernels import bucket, early
from models._kernels._skinny import normal, summed
from models._kernels.skinny import HELD, ONE_WARPS
from models._kernels.step import advanced, put

STATE = 4096  # numbers of the state that a program holds at most
LEAST = 8  # outputs of a program: their numbers of the state are 32 bytes of a row, the least that a GPU reads
WIDEST = 2048  # row; beside the weights and numbers of a wider one too few programs fit on a multiprocessor
REGISTERS = 168  # of a thread: so that three do


@triton.jit
def _tell(count):
    """That all threads have written what they made: a barrier first, as one of them counts for all."""
    tl.debug_barrier()
    tl.atomic_add(count, 1, sem="release")


@triton.jit
def _wait(count, wanted):
    """Until so many programs have told."""
    there = tl.atomic_add(count, 0, sem="acquire")
    while there < wanted:
        there = tl.atomic_add(count, 0, sem="acquire")
    tl.debug_barrier()


@triton.jit
def _leave(done, left, programs):
    """The last of so many sets both counts back, as none waits any more."""
    if tl.atomic_add(left, 1, sem="relaxed") == programs - 1:
        tl.store(done, 0)
        tl.store(left, 0)


@triton.jit(do_not_specialize=["N", "H"])
def read_step(x, parts, total, w, y, scale, bias, eps, N, counts, state, o, turn, turn_step, factor, gamma, position,
              H, S: tl.constexpr, D: tl.constexpr, K: tl.constexpr, V: tl.constexpr, BN: tl.constexpr,
              BD: tl.constexpr, BK: tl.constexpr, DITHER: tl.constexpr, EARLY: tl.constexpr):  # fmt: skip
    """[BN] outputs of the norm of x, as of `skinny.one`, and where they are values the step of their [BK, BN] of the
    state."""
    if EARLY:
        tl.extra.cuda.gdc_launch_dependents()
    first, column, rk, rd = tl.program_id(0) * BN, tl.arange(0, BN), tl.arange(0, BK), tl.arange(0, BD)
    rn, inside = first + column, rd < D
    weights = tl.load(w + rn[:, None].to(tl.int64) * D + rd[None, :], (rn < N)[:, None] & inside[None, :], 0.0)
    s = tl.load(scale + rd, inside, 0.0).to(tl.float32)
    c = None
    if bias is not None:
        c = tl.load(bias + rd, inside, 0.0).to(tl.float32)
    if EARLY:
        tl.extra.cuda.gdc_wait()
    a = normal(summed(x, parts, total, 0, D, rd, inside, first == 0, S), inside, s, c, eps, D)
    made = tl.sum(weights.to(tl.float32) * a[None, :], 1).to(y.dtype.element_ty)
    tl.store(y + rn, made, rn < N)
    if first < 2 * H * K:
        _tell(counts + first % (H * K) // K)
    elif first < H * (2 * K + V):
        h, n = (first - 2 * H * K) // V, (first - 2 * H * K) % V
        at_state = state + (h.to(tl.int64) * K + rk[:, None]) * V + (n + column)[None, :]
        keys = (rk < K)[:, None] & (column < BN)[None, :]  # all columns, as the state has
        held = tl.load(at_state, keys, 0.0).to(tl.float32)
        _wait(counts + h, 2 * K // BN)
        out, held = advanced(held, y + h * K, H * K, made.to(tl.float32), turn, turn_step, factor, gamma, h, K, BK)
        tl.store(o + h * V + n + column, out)
        put(at_state, held, keys, position, h, n, K, V, BK, BN, DITHER)
        _leave(counts + h, counts + H + h, V // BN)


def outputs(D: int, K: int, V: int) -> int:
    """Of a program: 0 where rows or heads are too wide, and where none divides both a head's keys and its values."""
    most = min(HELD // bucket(D), STATE // bucket(K, 16)) if D <= WIDEST else 0
    divides = math.gcd(K, V, most) if most else 0
    return divides if divides >= LEAST else 0


def step_(
    x: Float[Tensor, "1 D"],
    parts: Float[Tensor, "S 1 D"] | None,
    scale: Float[Tensor, "D"],
    eps: float,
    weight: Float[Tensor, "N D"],
    bias: Float[Tensor, "D"] | None,
    turn: Complex[Tensor, "2 1 P"] | None,
    factor: float,
    gamma: Float[Tensor, "H 1 1"] | None,
    state: Float[Tensor, "1 H K V"],
    counts: Int[Tensor, "2 H"],
    position: Int[Tensor, "_"] | None = None,
) -> tuple[Float[Tensor, "1 D"], Float[Tensor, "1 N"], Float[Tensor, "1 H V"]]:
    """x plus the sum of the parts, a projection of that, both as by `skinny.read`, and `step.step_` of the projection.

    Overwrites `state`. `counts` is zeros, and so it is again after the step; no other step may use it meanwhile.
    """
    (_, H, K, V), (N, D) = state.shape, weight.shape
    total = x if parts is None else torch.empty(x.shape, dtype=x.dtype, device=x.device)
    y = torch.empty(1, N, dtype=weight.dtype, device=x.device)
    o = torch.empty(1, H, V, dtype=torch.float32, device=x.device)
    real = None if turn is None else torch.view_as_real(turn)
    BN, dither = outputs(D, K, V), state.dtype == torch.bfloat16
    wait, how = early(x.device)
    read_step[(triton.cdiv(N, BN),)](
        *(x, None if parts is None else parts.contiguous(), total, weight, y, scale, bias, eps, N, counts, state, o),
        *(real, 0 if real is None else real.stride(0), factor, gamma, position if dither else None, H),
        *(0 if parts is None else len(parts), D, K, V, BN, bucket(D), bucket(K, 16), dither, wait),
        num_warps=ONE_WARPS,
        maxnreg=REGISTERS,
        **how,
    )
    return total, y, o
