"""One step of softmax attention over a cache whose slots are reserved: bound by reading the cache, which is read once.

Letters: B batch, H query heads, G heads of keys and values, R = H/G queries over the same keys, K size of a head,
P = K/2 pairs, S slots of the cache.

    o = sum_s softmax_s(q . k_s / sqrt(K)) v_s     over the slots padding <= s <= position

Which slot is the new token's is read on the device, so that a step recorded in a CUDA graph can be replayed: the host
cuts the cache into shares by what it could hold, and `_attend` says what each program makes of the position. A second
launch merges the shares, where there are several. Nothing is added up in an order that chance decides, so results
repeat bit for bit.
"""

import dataclasses
import math

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from models import _rotary
from models._kernels import _attend, bucket, early, empty, processors

BLOCK_BYTES = 16384  # of keys, and as many of values, that a program asks for at once
MERGED = 16384  # numbers of shares that a program which merges them holds at once
REST = 8  # a round of merging that is of fewer shares than one in so many is left out
ROWS = 16  # of the tensor cores' products, at least


@dataclasses.dataclass(frozen=True)
class Walk:
    """How the cache is cut into shares, and how a program walks through one."""

    slots: int  # of a block
    warps: int
    stages: int  # blocks on their way at once
    programs: int  # of a multiprocessor, for which the cache is cut
    shortest: int  # slots of a share, of a full cache: below, merging costs more than idle multiprocessors
    at_once: int  # shares, at most, that are merged in one round


def walk(K: int, dtype: torch.dtype) -> Walk:
    """As pinned, by the size of a head: on an H200 the best of twelve at B x H of 16 to 256 heads of 128, and how
    shares are cut and merged the best of five at 1 and 8 heads of 256."""
    row_bytes = bucket(K) * dtype.itemsize
    slots = max(16, min(128, BLOCK_BYTES // row_bytes))
    shortest, at_once = (64, 64) if K > 128 else (128, 32)
    return Walk(slots, 8, 3 if slots * row_bytes <= 2 * BLOCK_BYTES else 2, 2, shortest, at_once)


@torch.compiler.disable
def attend_(
    q: Float[Tensor, "B H K"],
    k: Float[Tensor, "B G K"],
    v: Float[Tensor, "B G K"],
    turn: Complex[Tensor, "*#any P"] | None,
    keys: Float[Tensor, "B G S K"],
    values: Float[Tensor, "B G S K"],
    position: Int[Tensor, ""],
    padding: Int[Tensor, "B"] | None = None,
    how: Walk | None = None,
    shares: int | None = None,
) -> Float[Tensor, "B H K"]:
    """Rotates q and k, writes k and v into slot `position` of the cache, and attends to the slots up to it.

    `turn`, what pairs of features are multiplied by, is one for all, or has axes that fit [B, H + G, P]: rows for
    queries, then for keys. Nothing here can check that the position, on the device, is one of the S slots: it must be.
    `how` and `shares` overrule how the walk is cut. Raises ValueError for a cache whose slots are not neighbours in
    memory, which could not be written in place.
    """
    (B, H, K), (G, S) = q.shape, keys.shape[1:3]
    if turn is not None and turn.dtype != torch.complex64:
        q, k = _rotary.turned(torch.cat((q, k), 1), turn).split((H, G), 1)
        turn = None
    q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v))
    by = None if turn is None else torch.view_as_real(turn).flatten(-2).expand(B, H + G, K)
    steps = [step for cache in (keys, values) for step in _rows(cache)]
    how = how or walk(K, keys.dtype)
    shares = shares or cut(B * G, S, how, q.device)
    wait, launch = early(q.device)
    R, block, one = H // G, bucket(K), shares == 1
    o = empty(q, B, H, K, dtype=v.dtype)
    parts = o if one else empty(q, B * G, shares, R, K)
    ends = None if one else empty(q, B * G, shares, R, 2)
    _attend.attend[(B * G, shares)](
        *(q, k, v, by, keys, values, position, padding, parts, ends, math.log2(math.e) / math.sqrt(K)),
        *(H, G, shares, *steps, *(x.stride()[:2] for x in (q, k, v)), (0, 0) if by is None else by.stride()[:2]),
        *(R, 1 if R == 1 else bucket(R, ROWS), K, block, how.slots, how.stages),
        *(by is not None, padding is not None, one, wait),
        num_warps=how.warps,
        **launch,
    )
    if not one:
        at_once = max(8, min(how.at_once, MERGED // block))
        _attend.merge[(B * H,)](parts, ends, o, shares, R, K, block, at_once, wait, **launch)
    return o


def cut(groups: int, S: int, how: Walk, device: torch.device) -> int:
    """Shares of each group's slots: such that all programs fit on the device at once, by what the cache could hold."""
    shares = max(1, min(how.programs * processors(device) // groups, S // how.shortest))
    rest = shares % how.at_once
    return shares - rest if rest * REST < shares else shares


def _rows(cache: Float[Tensor, "B G S K"]) -> tuple[int, int]:
    """Slots from sequence to sequence and from head to head."""
    K = cache.shape[-1]
    usual = zip(cache.shape, cache.stride(), (0, 0, K, 1), strict=True)
    *steps, slot, one = (stride if n > 1 else alone for n, stride, alone in usual)
    if (slot, one) != (K, 1) or any(step % K for step in steps):
        raise ValueError(f"a cache of strides {cache.stride()}; its slots of {K} numbers must follow one another")
    return steps[0] // K, steps[1] // K
