"""The chunkwise form of retention in torch, with its backward pass by hand; see `_retention` for what it computes.

Letters: B batch, H heads, T tokens, K size of a query or key head, V size of a value head, C chunk length, N chunks.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from models import _decay
from models._state import state_dtype

Decays = Float[Tensor, "H"]
States = Float[Tensor, "B H K V"]


class Chunkwise(torch.autograd.Function):
    """`chunkwise` with its backward pass by hand: one scan over the chunks each way, of states alone.

    In a chunk, with xi_j = gamma^(j+1), zeta_j = gamma^(C-1-j), j from 0, and R the state before it, the outputs are
    S V + (xi * Q) R with S = (Q K^T) * D, and the state after it is gamma^C R + (zeta * K)^T V.
    """

    @staticmethod
    def forward(ctx, q, k, v, log_decay, state, keep_state, C):
        T = q.shape[2]
        Q, K, V = (_chunks(x, C) for x in (q, k, v))
        D, xi, zeta, steps = _factors(log_decay, Q, T)
        S = (Q @ K.mT).mul_(D)
        o = S @ V
        R = final = None
        if len(steps) > 1 or state is not None or keep_state:
            R, final = _scan(_scaled(K, zeta), V, state, steps)
            _add_product(o, _scaled(Q, xi), R.to(q.dtype))
        ctx.save_for_backward(Q, K, V, S, R, log_decay, final if ctx.needs_input_grad[3] else None)
        ctx.length = T
        return o.flatten(2, 3)[:, :, :T], final if keep_state else None

    @staticmethod
    @once_differentiable
    def backward(ctx, do, dfinal):
        Q, K, V, S, R, log_decay, final = ctx.saved_tensors
        D, xi, zeta, steps = _factors(log_decay, Q, ctx.length)
        dO = _chunks(do, Q.shape[3])
        dS = (dO @ V.mT).mul_(D)
        dV = S.mT @ dO
        if R is None:
            dR, dstate, dQ, dK = None, None, dS @ K, dS.mT @ Q
        else:
            dR, dstate = _scan(_scaled(Q, xi), dO, dfinal, steps, backwards=True)  # of the state after each chunk
            short = dR.to(Q.dtype)
            _add_product(dV, _scaled(K, zeta), short)
            dQ, dK = dO @ R.to(Q.dtype).mT, V @ short.mT
            if xi is not None and zeta is not None:
                dQ, dK = dQ.mul_(xi), dK.mul_(zeta)
            _add_product(dQ, dS, K)
            _add_product(dK, dS.mT, Q)
        dlog = _decay_gradient(Q, dQ, K, dK, R, dR, final, ctx.length) if ctx.needs_input_grad[3] else None
        dq, dk, dv = (x.flatten(2, 3)[:, :, : ctx.length] for x in (dQ, dK, dV))
        return dq, dk, dv, dlog, dstate if ctx.needs_input_grad[4] else None, None, None


def _chunks(x: Float[Tensor, "B H T X"], C: int) -> Float[Tensor, "B H N C X"]:
    """Filled up to whole chunks, and contiguous: each batched product would copy anything else anew."""
    spare = -x.shape[2] % C
    return (F.pad(x, (0, 0, 0, spare)) if spare else x.contiguous()).unflatten(2, (-1, C))


def _factors(log_decay: Decays | None, Q: Tensor, T: int) -> tuple[Tensor, Tensor | None, Tensor | None, Sequence]:
    """D, xi and zeta to multiply [B, H, N, C, .] by, and what the state decays by in each chunk; None stands for 1."""
    N, C = Q.shape[2:4]
    if log_decay is None:
        return Q.new_ones(C, C).tril_(), None, None, [None] * N
    last = T - (N - 1) * C  # tokens in the last chunk; those that fill it up get zeta = 0
    M = _decay.matrix(log_decay.detach(), C + 1)  # every power that is needed
    zeta = M[:, None, C - 1, :C]
    if last < C:
        zeta = torch.cat((zeta.expand(-1, N - 1, -1), M[:, None, last - 1, :C]), 1)
    steps = [M[:, C, :1, None]] * (N - 1) + [M[:, last, :1, None]]
    D, xi, zeta = (x.to(Q.dtype) for x in (M[:, None, :C, :C], M[:, None, 1:, :1], zeta.unsqueeze(-1)))
    return D, xi, zeta, steps


def _scan(
    a: Tensor, b: Tensor, first: Tensor | None, steps: Sequence[Tensor | None], backwards: bool = False
) -> tuple[Float[Tensor, "B H N K V"], States]:
    """carry <- step * carry + a^T b, chunk by chunk: the carry before each chunk, and the last one.

    What is after a chunk is before the next. Two views, shifted by one, share their slots, so the scan runs in place.
    The slot after a head's last chunk is the one before the next head's first: that is why the ends are written last.
    """
    shape = (*a.shape[:3], a.shape[-1], b.shape[-1])
    slots = torch.empty(a.shape[:3].numel() + 1, *shape[3:], dtype=state_dtype(a.dtype), device=a.device)
    after, before = (slots[:-1], slots[1:]) if backwards else (slots[1:], slots[:-1])
    if slots.dtype == a.dtype:
        torch.bmm(a.flatten(0, 2).mT, b.flatten(0, 2), out=after)
    else:
        after.copy_(torch.bmm(a.flatten(0, 2).mT, b.flatten(0, 2)))
    after, before = after.view(shape), before.view(shape)
    ways = slice(None, None, -1 if backwards else 1)
    carry = first
    for part, step in zip(after.unbind(2)[ways], steps[ways], strict=True):
        if carry is not None:
            part.add_(carry) if step is None else part.addcmul_(carry, step)
        carry = part
    last = after[:, :, 0 if backwards else -1].clone()
    before[:, :, -1 if backwards else 0] = 0 if first is None else first
    return before, last


def _scaled(x: Tensor, factor: Tensor | None) -> Tensor:
    return x if factor is None else x * factor


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a @ b over [B, H, N, ., .], in one pass."""
    total.flatten(0, 2).baddbmm_(a.flatten(0, 2), b.flatten(0, 2))


def _decay_gradient(
    Q: Tensor, dQ: Tensor, K: Tensor, dK: Tensor, R: Tensor | None, dR: Tensor | None, final: Tensor | None, T: int
) -> Decays:
    """dL/d ln gamma. Let each chunk's tokens stand at j = 1..C, and the state before it at 0.

    What token j reads carries gamma^j and what it writes gamma^-j, so it counts j (q.dq - k.dk). The state after a
    chunk of C tokens carries gamma^C and counts C R.dR.
    """
    dtype, (N, C) = state_dtype(Q.dtype), Q.shape[2:4]
    j = torch.arange(1, C + 1, dtype=dtype, device=Q.device)
    reads, writes = ((x.to(dtype) * dx.to(dtype)).sum(-1) for x, dx in ((Q, dQ), (K, dK)))
    total = ((reads - writes) * j).sum((0, 2, 3))
    if R is not None and dR is not None and final is not None:
        total += C * (R[:, :, 1:] * dR[:, :, :-1]).sum((0, 2, 3, 4))
        total += (T - (N - 1) * C) * (final * dR[:, :, -1]).sum((0, 2, 3))
    return total
