"""Launches of retention's scans, by the programs that a plan names; `retention` says what they make together.

Letters: B batch, H heads, T tokens, K size of a query or key head, V size of a value head, C chunk length, N walks over
a sequence, G segments of L tokens, S sequences: the batch, or as many as are packed one after the other.
"""

import dataclasses
import functools

import torch
import triton
from jaxtyping import Float, Int
from torch import Tensor

from models._kernels import _scan, bucket, empty
from models._kernels.blocks import blocks, reachable, swizzled
from models._kernels.plans import Plan, Tile

REGISTERS = {1: 128, 2: 168}  # of a thread before warps share them out, by the groups that have a state or outputs
PART = 64  # numbers of a query and a key that a program of `scores` takes at once
SCORES = 4  # such parts on their way
BLOCK = 1024  # numbers of a state that a program of `carry` takes


@dataclasses.dataclass(frozen=True)
class Job:
    """What every program of one call is told: the base-2 logarithm of each gamma, and how the time is cut.

    Programs walk over `walk` tokens each. States are known between segments of L: those of a walk of several are kept.
    """

    g: Float[Tensor, "H"]
    cu_lengths: Int[Tensor, "_"] | None
    how: Plan
    S: int
    T: int
    L: int
    walk: int

    @property
    def segments(self) -> int:
        return triton.cdiv(self.T, self.L)

    @property
    def walks(self) -> int:
        """Over a sequence."""
        return triton.cdiv(self.T, self.walk)

    @property
    def keeps(self) -> bool:
        """Whether walks keep states on their way."""
        return self.walk > self.L


def scores(job: Job, q: Tensor, k: Tensor) -> Float[Tensor, "B H T C"]:
    """P of every chunk; what lies beyond a sequence's end is zero, or never written and never read."""
    (B, H, T, K), C = q.shape, job.how.C
    part, chunks = min(bucket(K), 32 if q.dtype == torch.float32 else PART), triton.cdiv(T, C)
    P = torch.empty(B, H, T, C, dtype=q.dtype, device=q.device)
    _scan.scores[(chunks * job.S * H,)](
        *(blocks(q, C, part), blocks(k, C, part), P, job.g, job.cu_lengths, T, H, chunks),
        *(C, triton.cdiv(K, part), part, job.cu_lengths is not None, SCORES),
        num_warps=4,
    )
    return P


def added(job: Job, k: Tensor, v: Tensor, tile: Tile, backwards: bool) -> Float[Tensor, "B H N K V"]:
    """What each walk adds to the state after it; backwards, to the gradient of the state before it."""
    states = empty(k, *k.shape[:2], job.walks, k.shape[-1], v.shape[-1])
    _launch(job, None, k, v, None, None, None, states, tile, backwards, transposed=False)
    return states


def carried(
    job: Job, states: Float[Tensor, "B H N K V"], start: Tensor | None, keep: bool, backwards: bool
) -> Float[Tensor, "B H K V"] | None:
    """Overwrites what `added` found by the states before the walks (after them), and returns the last one."""
    B, H, N, K, V = states.shape
    final = empty(states, B, H, K, V) if keep else None
    parts = triton.cdiv(K * V, BLOCK)
    _scan.carry[(parts * B * H,)](
        *(states, start, final, job.g, job.T, job.walk, N, H, K * V, parts),
        *(backwards, start is not None, keep, BLOCK),
    )
    return final


def scan(
    job: Job,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    P: Tensor | None,
    start: Tensor | None,
    tile: Tile,
    backwards: bool = False,
    transposed: bool = False,
    keep: bool = False,
    dtype: torch.dtype | None = None,
    saved: Float[Tensor, "B H G K V"] | None = None,
    weigh: tuple[Tensor, Tensor] | None = None,
) -> tuple[Float[Tensor, "B H T V"], Float[Tensor, "S H K V"] | None]:
    """Outputs, of `dtype` if not of v's, from the state before each walk; and the one after, where `keep`.

    Into `saved` go the states between segments, those that a walk passes, and `weigh` is as `weighed` says: of
    specialised tiles alone. Of `transposed` states the axes are the other way round: [V, K].
    """
    B, H, T, K = q.shape
    splits = triton.cdiv(K, tile.keys)
    o = reachable(splits * B, H, T, v.shape[-1], dtype or v.dtype, v.device)
    end = empty(v, job.S, H, K, v.shape[-1]) if keep else None
    _launch(job, q, k, v, P, o, start, end, tile, backwards, transposed, saved, weigh)
    terms = o.split(B)
    return functools.reduce(torch.add, terms), end


def weighed(
    job: Job,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    P: Tensor | None,
    start: Tensor | None,
    tile: Tile,
    x: Float[Tensor, "B H T V"],
    backwards: bool = False,
) -> tuple[Float[Tensor, "B H T V"], Float[Tensor, "H"]]:
    """Outputs from transposed states; and, before they are rounded, the sum over all tokens of place (x . output), the
    place that `decay_gradient` counts. By a specialised tile."""
    programs = triton.cdiv(v.shape[-1], tile.values) * triton.cdiv(q.shape[-1], tile.keys)
    sums = empty(q, job.S, q.shape[1], job.walks * programs * tile.values)
    o, _ = scan(job, q, k, v, P, start, tile, backwards, transposed=True, weigh=(x, sums))
    return o, sums.sum((0, 2))


def _launch(
    job: Job,
    q: Tensor | None,
    k: Tensor,
    v: Tensor,
    P: Tensor | None,
    o: Tensor | None,
    start: Tensor | None,
    end: Tensor | None,
    tile: Tile,
    backwards: bool,
    transposed: bool,
    saved: Tensor | None = None,
    weigh: tuple[Tensor, Tensor] | None = None,
) -> None:
    """One scan by the program of its tile. Gluon is imported where it runs: a Triton without it has the other one."""
    assert tile.specialised or (saved is None and weigh is None)
    (B, H, T, K), V, C = k.shape, v.shape[-1], job.how.C
    L, N, steps = job.walk, job.walks, (1, K) if transposed else (V, 1)
    groups, (x, sums) = tile.warps // 4 if tile.specialised else 1, weigh or (None, None)
    tiles, splits = triton.cdiv(V, tile.values), triton.cdiv(K, tile.keys)
    grid, part = (tiles * job.S * H * N, splits), tile.keys if tile.specialised else tile.keys // tile.halves
    widths = ((q, part), (k, part), (v, tile.values), (P, C), (x, tile.values), (o, tile.values // groups))
    cut = swizzled if tile.specialised else blocks
    q_, k_, v_, P_, x_, o_ = (None if x is None else cut(x, C, width) for x, width in widths)
    inside = o is not None and P is None
    if tile.specialised:
        launch = {"num_warps": 4, "maxnreg": REGISTERS[2 if inside else groups]}
        if o is None:
            from models._kernels import _gathered

            _gathered.gather[grid](
                *(k_, v_, job.g, end, T, L, N, H, tiles, K, V, C, tile.keys, tile.values),
                *(tile.values // groups, backwards, transposed, 2 * tile.stages),  # two tiles a stage, not more
                **launch,
            )
        elif inside:
            from models._kernels import _paired

            _paired.scan[grid](
                *(q_, k_, v_, x_, o_, job.g, start, end, saved, sums, T, L, N, H, tiles, job.L // C),
                *(K, V, C, tile.keys, tile.values, backwards, transposed),
                tile.stages - (x is not None),  # its tiles take the room of a stage
                **launch,
            )
        else:
            from models._kernels import _specialised

            _specialised.scan[grid](
                *(q_, k_, v_, P_, x_, o_, job.g, start, end, saved, sums, T, L, N, H, B, tiles, job.L // C),
                *(splits, K, V, C, tile.keys, tile.values, tile.halves, groups, backwards, transposed, tile.stages),
                **launch,
            )
        return
    _scan.scan[grid](
        *(q_, k_, v_, P_, o_, o, (0, 0, 0) if o is None else o.stride()[:3], job.g, job.cu_lengths, start, end),
        *(steps, T, L, N, H, B, tiles, splits, K, V, C),
        *(tile.keys, tile.values, tile.halves, backwards, job.cu_lengths is not None),
        *(start is not None, end is not None, o is not None, inside, tile.stages),
        num_warps=tile.warps,
    )
