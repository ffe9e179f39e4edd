"""Retention on a GPU by Triton: `_retention.chunkwise` with the same arguments, results and gradients.

Letters: B batch, H heads, T tokens, K size of a query or key head, V size of a value head, C chunk length, N walks over
a sequence, segments of L tokens, S sequences: the batch, or as many as are packed one after the other.

One program per tile of values (and of keys, beyond 256 of them) of each sequence's head walks over the chunks with its
tile of the state in registers; `_scan` says how, and on Hopper `_roles`, `_specialised` and `_paired`. Where that would
leave multiprocessors idle, sequences are cut into walks: a first pass finds what each adds to the state, and then all
begin at once. A gamma that learns asks for the states between segments: programs with roles keep them on the way,
others walk over a segment each. Nothing is added up in an order that chance decides, so results repeat bit for bit.
"""

import math

import torch
import triton
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from models._kernels import bound, empty, processors, specialised
from models._kernels.blocks import aligned
from models._kernels.decay_gradient import by_place, decay_gradient
from models._kernels.plans import Plan, Tile, plan
from models._kernels.scans import Job, added, carried, scan, scores, weighed

LONGEST = 1024  # tokens between known states where gamma's gradient is wanted: it weighs rounded products by the place
SHORTEST = 256  # tokens of a walk: below, finding the states costs more than idle multiprocessors


@torch.compiler.disable
def retention(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B H T K"],
    v: Float[Tensor, "B H T V"],
    log_decay: Float[Tensor, "H"] | None = None,
    state: Float[Tensor, "S H K V"] | None = None,
    keep_state: bool = False,
    cu_lengths: Int[Tensor, "_"] | None = None,
    how: Plan | None = None,
    L: int | None = None,
) -> tuple[Float[Tensor, "B H T V"], Float[Tensor, "S H K V"] | None]:
    """The outputs and, where `keep_state`, the state in float32 after the last token.

    `cu_lengths`, int32 on the device: q, k and v, of batch 1, hold S sequences one after the other; the first begins
    at cu_lengths[0] = 0 and the last ends before cu_lengths[S] = T. `how` and `L` overrule the pinned plan and the
    length of a segment. Raises ValueError for packed sequences in a batch of more than one, for an L that is no
    multiple of the plan's chunk, and, where warps of the plan have roles, for those and for dtypes but bfloat16.
    """
    if cu_lengths is not None and len(q) != 1:
        raise ValueError(f"cu_lengths packs sequences into a batch of 1, and this batch is of {len(q)}")
    if how is not None and how.roles and (cu_lengths is not None or v.dtype != torch.bfloat16):
        raise ValueError(
            "`how` has programs whose warps have roles, which take bfloat16 and no packed sequences; this is "
            f"{v.dtype} {'without' if cu_lengths is None else 'with'} cu_lengths: give none as `how`"
        )
    q, k, v = (aligned(x) for x in (q, k, v))
    how = how or plan(q.shape[-1], v.shape[-1], v.dtype, cu_lengths is None and specialised(v.device))
    if L is not None and (L < 1 or L % how.C):
        raise ValueError(f"L is {L}; it must be a multiple of the chunk, {how.C}")
    with torch.autocast(v.device.type, enabled=False):
        return _Retention.apply(q, k, v, log_decay, state, keep_state, cu_lengths, how, L)


class _Retention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, log_decay, state, keep_state, cu_lengths, how, L):
        (B, H, T, K), V = q.shape, v.shape[-1]
        g = q.new_zeros(H, dtype=torch.float32) if log_decay is None else log_decay.float() * math.log2(math.e)
        S, learned = B if cu_lengths is None else len(cu_lengths) - 1, ctx.needs_input_grad[3]
        programs = S * H * triton.cdiv(K, how.outputs.keys) * triton.cdiv(V, how.outputs.values)
        if cu_lengths is not None:
            L = T
        N = max(1, min(processors(q.device) // programs, T // SHORTEST))
        keeps = learned and L is None and how.outputs.specialised and how.of_v.specialised
        job = Job(g, cu_lengths, how, S, T, *((L, L) if L else cut(N, T, how.C, learned, keeps)))
        P = None if how.inside[0] else scores(job, q, k)
        starts = None if state is None else state.float().contiguous()
        keep = keep_state or learned
        known = empty(q, B, H, job.segments, K, V) if job.keeps else None
        o, final, starts = _walked(job, q, k, v, P, starts, how.outputs, keep, known)
        ctx.save_for_backward(q, k, v, P, starts, known, log_decay, final if learned else None)
        ctx.job, ctx.has_state = job, state is not None
        return o, final if keep_state else None

    @staticmethod
    @once_differentiable
    def backward(ctx, do, dfinal):
        q, k, v, P, starts, known, log_decay, final = ctx.saved_tensors
        job, how, learned = ctx.job, ctx.job.how, ctx.needs_input_grad[3]
        bound(q.device)
        do = aligned(do)
        G = None if how.inside[1] else scores(job, do, v)
        dfinal = None if dfinal is None else dfinal.float().contiguous()
        dknown = None if known is None else torch.empty_like(known)
        dv, dstate, ends = _walked(job, k, q, do, P, dfinal, how.of_v, ctx.has_state, dknown, backwards=True)
        total: Tensor | None = None
        if learned and how.of_qk.specialised:
            dq, reads = weighed(job, do, v, k, G, starts, how.of_qk, q)
            dk, writes = weighed(job, v, do, q, G, ends, how.of_qk, k, backwards=True)
            total = reads - writes
        else:
            exact = torch.float32 if learned else None
            dq, _ = scan(job, do, v, k, G, starts, how.of_qk, transposed=True, dtype=exact)
            dk, _ = scan(job, v, do, q, G, ends, how.of_qk, backwards=True, transposed=True, dtype=exact)
            if learned:
                total, dq, dk = by_place(job, (q, dq), (k, dk))
        dlog = None
        if total is not None:
            known, dknown = (starts, ends) if known is None else (known, dknown)
            dlog = decay_gradient(job, total, known, dknown, final, dfinal, dstate).to(log_decay.dtype)
        return dq, dk, dv, dlog, dstate, None, None, None, None


def _walked(
    job: Job,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    P: Tensor | None,
    start: Tensor | None,
    tile: Tile,
    keep: bool,
    saved: Tensor | None,
    backwards: bool = False,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Outputs, the state after the last token where `keep`, and the states before the walks, all from `start`."""
    if job.walks == 1:
        return *scan(job, q, k, v, P, start, tile, backwards, keep=keep, saved=saved), start
    starts = added(job, k, v, tile, backwards)
    end = carried(job, starts, start, keep, backwards)
    o, _ = scan(job, q, k, v, P, starts, tile, backwards, saved=saved)
    return o, end, starts


def cut(N: int, T: int, C: int, learned: bool, keeps: bool) -> tuple[int, int]:
    """Tokens of a segment and of a walk, of N walks or, where gamma learns and no states are kept on the way, more."""
    if learned and not keeps:
        N = max(N, triton.cdiv(T, LONGEST))
    walk = triton.cdiv(T, N)
    segments = triton.cdiv(walk, LONGEST) if keeps else 1
    L = triton.cdiv(triton.cdiv(walk, segments), C) * C
    return L, segments * L
