"""WKV on a GPU by Triton: `_wkv.wkv` in any of its forms with the same arguments, results and gradients.

Letters: B batch, T tokens, C channels, N segments of L tokens, M marks of G tokens; m, p and q as in `_wkv`.

A thread has one or two channels and walks over the tokens; `_walk` and `_walk_back` say how, `_links` what a token
does. Where B C channels are too few to fill the multiprocessors, time is cut into segments: a first pass finds what
each adds to the state, and the walks then begin everywhere at once, each with what those before it added. Backwards the
same for the gradients of p and q, with a pass between that carries them over the segments. Nothing is added up in an
order that chance decides, so results repeat bit for bit.

Everything is computed in float32. Kept for the backward pass are the inputs and the state before every G-th token;
it walks from there to have the rest again. Bytes moved per token and channel, with inputs of e bytes (2 in bfloat16):

    forward     3 e, k and v to y; 12 / G for the marks in training; 2 e more where there are segments
    backward    5 e + 12 / G, k, v and dy to dk and dv; 3 e more where there are segments

The more is (N - 1) / N of that, and states: forwards 12 / L to write and N / 2 times that to read, backwards 48 / L.
In bfloat16 that is 6 and 11.5 without segments, 10 and 17.5 with many, where 6 and 10 are the least. So forwards there
are few segments, and a thread has much on its way; backwards, where what is kept fills the registers, there are many.
"""

from typing import Any

import torch
import triton
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from models._kernels import _walk, _walk_back, bound, empty, processors, segment
from models._wkv import Triple

BLOCK, BLOCK_BACK = 64, 64  # channels of a program
WARPS, WARPS_BACK = 1, 2  # of a program: a thread has two channels, and backwards one
S, S_BACK = 16, 16  # tokens that a program reads at once
AHEAD = True  # whether that is before it computes on those before them
G = 8  # tokens between marks, and those that `gradients` keeps in registers
CARRIED = 32  # channels of a program that carries states over segments: these are few, and wait for each other
FULL, FULL_BACK = 16, 16  # programs that a multiprocessor is to have before time is left uncut
SHORTEST = 128  # tokens of a segment, at least


@torch.compiler.disable
def wkv(
    k: Float[Tensor, "B T C"],
    v: Float[Tensor, "B T C"],
    w: Float[Tensor, "C"],
    u: Float[Tensor, "C"],
    state: Triple,
    L: int | None = None,
) -> tuple[Float[Tensor, "B T C"], Triple]:
    """The average at each token, in the dtype of v, and the state after the last one; w, u and states in float32.

    `L` overrules the length of a segment. Raises ValueError where it is no multiple of S.
    """
    if L is not None and (L < 1 or L % S):
        raise ValueError(f"L is {L}; it must be a multiple of {S}")
    training = torch.is_grad_enabled() and any(x.requires_grad for x in (k, v, w, u, *state))
    y, m, p, q = _WKV.apply(k, v, w, u, *state, L, training)
    return y, (m, p, q)


class _WKV(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, k, v, w, u, m_0, p_0, q_0, L, training):
        (B, T, C), tiles = k.shape, triton.cdiv(k.shape[2], BLOCK)
        ctx.L, L = L, L or segment(T, tiles * B, FULL * processors(k.device), SHORTEST, S)
        N, k, v = triton.cdiv(T, L), _rows(k), _rows(v)
        w, u, m_0, p_0, q_0 = (x.contiguous() for x in (w, u, m_0, p_0, q_0))
        steps, rows = (k.stride(0), v.stride(0)), (k.stride(1), v.stride(1))
        first: tuple[Tensor, ...] = m_0, p_0, q_0
        sums = first
        if N > 1:
            sums = empty(k, 3, B, N, C).unbind()
            _walk.add[(tiles * B * (N - 1),)](k, v, w, *sums, *steps, L, N, *rows, C, BLOCK, S, AHEAD, num_warps=WARPS)
        y, after = empty(k, B, T, C, dtype=v.dtype), [empty(k, B, C) for _ in range(3)]
        marks = empty(k, B, triton.cdiv(T, G) + 1, 3, C) if training else None
        _walk.outputs[(tiles * B * N,)](
            *(k, v, w, u, *first, *sums, y, *after, marks, *steps, T, L, N, *rows, C, BLOCK, S, G, T % S == 0),
            *(training, AHEAD and T % S == 0),
            num_warps=WARPS,
        )
        ctx.save_for_backward(k, v, w, u, marks)
        ctx.mark_non_differentiable(after[0])
        ctx.set_materialize_grads(False)
        return y, *after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy, _, dp_T, dq_T):
        k, v, w, u, marks = ctx.saved_tensors
        bound(k.device)
        (B, T, C), tiles, rates = k.shape, triton.cdiv(k.shape[2], BLOCK_BACK), any(ctx.needs_input_grad[2:4])
        L = ctx.L or segment(T, tiles * B, FULL_BACK * processors(k.device), SHORTEST, S)
        N = triton.cdiv(T, L)
        dy = torch.zeros_like(v) if dy is None else _rows(dy)
        ends: tuple[Tensor | None, ...] = (None, None)
        if dp_T is not None or dq_T is not None:
            ends = tuple(torch.zeros_like(marks[:, 0, 0]) if x is None else x.contiguous() for x in (dp_T, dq_T))
        inputs = k, v, dy, w, u, marks
        steps, rows = (tuple(x.stride(i) for x in (k, v, dy)) for i in (0, 1))
        after = ends
        if N > 1:
            after = empty(k, 2, B, N, C).unbind()
            _walk_back.add_back[(tiles * B * (N - 1),)](
                *(*inputs, *after, *steps, T, L, N, *rows, C, BLOCK_BACK, S_BACK, G, T % S_BACK == 0),
                num_warps=WARPS_BACK,
            )
            _walk_back.carry_back[(triton.cdiv(C, CARRIED) * B,)](
                *(w, marks, *ends, *after, T, L, N, C, CARRIED, S_BACK, G, ends[0] is not None), num_warps=1
            )
        dk, dv = (empty(k, B, T, C, dtype=x.dtype) for x in (k, v))
        parts = (empty(k, B * N, C), empty(k, B * N, C)) if rates else (None, None)
        d_0, h_0 = empty(k, B, C), empty(k, B, C)
        _walk_back.gradients[(tiles * B * N,)](
            *(*inputs, *after, dk, dv, *parts, d_0, h_0, *steps, T, L, N, *rows, C, BLOCK_BACK, G),
            *(T % G == 0, after[0] is not None, rates),
            num_warps=WARPS_BACK,
        )
        dw, du = (x if x is None else x.sum(0) for x in parts)
        dm_0 = d_0 * marks[:, 0, 1] + h_0 * marks[:, 0, 2] if ctx.needs_input_grad[4] else None
        return dk, dv, dw, du, dm_0, d_0, h_0, None, None


def _rows(x: Tensor) -> Tensor:
    """x itself, or a copy where the channels of a token are no neighbours."""
    return x if x.stride(-1) == 1 else x.contiguous()
