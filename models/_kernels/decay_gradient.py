"""The gradient of a learned decay: sums of queries and keys times their gradients, and products of states.

Letters: B batch, H heads, T tokens, K size of a head, V size of a value head, G segments of L tokens.

`_chunkwise._decay_gradient` says what it is, of chunks; here they are segments. The sums are taken where the gradients
of queries and keys are made, by `scans.weighed`; or here from gradients in float32, in one pass where torch would read
and write each of the four tensors several times.

Places in a segment are counted from its middle, which halves what rounding adds: with S and dS at a segment's ends,

    sum_t q_t . dq_t - k_t . dk_t = <S, dS>_start - <S, dS>_end

as q can be made larger by what k and S_start are made smaller by. So moving the origin by c moves c <S, dS>, from one
end to the other, and between segments nothing changes.

The sums cancel down to what a head remembers, so what rounding leaves of them is small beside the gradient of a head
that remembers many tokens and not beside that of one that forgets within a few.
"""

from typing import Any

import torch
import triton
from jaxtyping import Float
from torch import Tensor

from models._kernels import _weigh, bucket, empty
from models._kernels.blocks import reachable

NUMBERS = 8192  # of a tensor, that one program holds
BLOCK, ROUNDS = 2048, 8  # numbers of a state that a program reads at once, and how often


def decay_gradient(
    job: Any,
    total: Float[Tensor, "H"],
    starts: Float[Tensor, "S H *G K V"] | None,
    ends: Float[Tensor, "S H *G K V"] | None,
    final: Float[Tensor, "S H K V"] | None,
    dfinal: Float[Tensor, "S H K V"] | None,
    dstate: Float[Tensor, "S H K V"] | None,
) -> Float[Tensor, "H"]:
    """dL/d ln gamma. `total` is the sum over all tokens of place (q . dq - k . dk); the rest, states and gradients."""
    if job.cu_lengths is None:
        middle = job.L / 2
        last = torch.full((job.S,), job.T - (job.segments - 1) * job.L - middle, dtype=total.dtype, device=total.device)
        if starts is not None and dstate is not None:
            first = starts[:, :, 0] if job.segments > 1 else starts
            total = total + middle * (first * dstate).sum((0, 2, 3))
    else:
        last = job.cu_lengths.diff()
    if starts is not None and ends is not None and job.segments > 1:
        total = total + job.L * _states(starts, ends)
    if final is not None and dfinal is not None:
        total = total + ((final * dfinal).sum((2, 3)) * last[:, None]).sum(0)
    return total


def by_place(job: Any, queries: tuple[Tensor, Tensor], keys: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The `total` [H] of `decay_gradient`, and the gradients of q and k, given in float32, in the dtypes of q and k.

    `queries` are q and its gradient, `keys` k and its, all [B, H, T, K].
    """
    return (_tokens if job.cu_lengths is None else _packed)(job, queries, keys)


def _tokens(job, queries, keys) -> tuple[Float[Tensor, "H"], Tensor, Tensor]:
    (q, dq), (k, dk) = queries, keys
    B, H, T, K = q.shape
    of_q, of_k = (reachable(B, H, T, K, x.dtype, x.device) for x in (q, k))
    BK = bucket(K, 16)
    BT = max(1, NUMBERS // BK)
    blocks = triton.cdiv(T, BT)
    sums = empty(q, B, H, blocks)
    _weigh.tokens[(B * H * blocks,)](
        *(q, dq, k, dk, of_q, of_k, sums, T, job.L, H, blocks),
        *(x.stride()[:3] for x in (q, dq, k, dk, of_q, of_k)),
        *(K, BT, BK),
        num_warps=8,
    )
    return sums.sum((0, 2)), of_q, of_k


def _states(starts, ends) -> Float[Tensor, "H"]:
    """Sums over the batch of the states after segments times their gradients."""
    B, H, G = starts.shape[:3]
    size = starts[0, 0, 0].numel()
    blocks = triton.cdiv(size, BLOCK * ROUNDS)
    sums = empty(starts, B, H, (G - 1) * blocks)
    _weigh.states[(B * H * (G - 1) * blocks,)](starts, ends, sums, G, size, blocks, BLOCK, ROUNDS, num_warps=8)
    return sums.sum((0, 2))


def _packed(job, queries, keys) -> tuple[Float[Tensor, "H"], Tensor, Tensor]:
    """By torch, of sequences one after the other: places from each one's beginning."""
    first = torch.repeat_interleave(job.cu_lengths[:-1], job.cu_lengths.diff(), output_size=job.T)
    place = torch.arange(job.T, device=job.g.device) - first + 1.0
    reads, writes = ((x.float() * dx).sum(-1) for x, dx in (queries, keys))
    (q, dq), (k, dk) = queries, keys
    return ((reads - writes) * place).sum((0, 2)), dq.to(q.dtype), dk.to(k.dtype)
