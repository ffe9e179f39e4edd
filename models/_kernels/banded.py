"""AFT's averages over a window of biased keys and all older keys on a GPU by Triton: `_window.blocks`, and its state.

Letters: B batch, T tokens, D channels, H heads, W window, Q tokens of a block, N segments of L tokens.

As in `_average.banded`, queries take the keys of their own block and of the one before by products with e^w, and all
older ones as a sum. A first pass reads the keys and values once, for the sums of each block and of each segment; a
second one carries those of the segments on; and then the averages are computed everywhere at once, each program walking
over the blocks of a segment, its products waiting for nothing but the small sums. Backwards the same: a first pass
finds the gradients of the table, and what the queries of each segment send to all older keys. `_banded` and
`_banded_back` say how. Kept for the backward pass are the inputs and three numbers per block and channel; what the
queries found is computed again from these. Nothing is added up in an order that chance decides, so results repeat bit
for bit.

Bytes moved per token and channel, with inputs of e bytes (2 in bfloat16), and states of segments left out:

    forward     5 e + 24 / Q, k and v twice, to y; 12 / Q more for the marks in training
    backward    8 e + 24 / Q, k, v and dy twice, to dk and dv; 16 Q^2 / (L BLOCK_ADD) more for the table's gradient

In bfloat16 and with Q = 32 that is 11 and 17, where 6 and 10 are the least.

What `_average` says of keys that lie far apart holds here with 81 and 117 in place of 100 and 137.
"""

from typing import Any

import torch
import triton
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from models import _window, _wkv
from models._kernels import _banded, _banded_back, _walk, bound, bucket, empty, processors, segment

Keys = Float[Tensor, "B T D"]
Key = Float[Tensor, "B D"]

BLOCK, BLOCK_ADD, BLOCK_BACK = 64, 16, 64  # channels of a program of `outputs`, `add_back` and `gradients`
WARPS, WARPS_ADD, WARPS_BACK = 4, 2, 4
BLOCK_SUMS, WARPS_SUMS = 64, 1  # the same of `add`
CARRIED = 32  # channels of a program that carries states over segments
S = 16  # tokens that `add` reads at once: they divide a block
NARROW, FEW = (32, 16, 16), (4, 2, 2)  # the same for blocks of more than 32 tokens, or products in float32
STAGES = 2  # blocks on their way from memory or at work, in each
LEAST = 16  # Q
FULL, FULL_BACK = 32, 4  # programs that a multiprocessor is to have before time is left uncut
BATCH = 8  # segments that are read before their sums are carried over, backwards
SHORTEST = 128  # tokens of a segment, at least


@torch.compiler.disable
def banded(
    k: Keys,
    v: Keys,
    table: Float[Tensor, "H W"],
    older: tuple[Key, Key] | None = None,
    keep_older: bool = False,
    L: int | None = None,
) -> tuple[Keys, tuple[Key, Key] | None]:
    """The averages in the dtype of v, with gradients of k, v and the table; and where `keep_older`, the one key and
    value that weigh as much as all but the W - 1 last ones, in float32.

    `older` stands for the keys before these in the same way. `L` overrules the length of a segment. Raises ValueError
    where it is no multiple of a block, and for a window of more than `PROGRAMMED`.
    """
    W = table.shape[1]
    if W > _window.PROGRAMMED:
        raise ValueError(f"the window is {W}; it must be at most {_window.PROGRAMMED}")
    Q = bucket(W, LEAST)
    if L is not None and (L < 1 or L % Q):
        raise ValueError(f"L is {L}; it must be a multiple of {Q}")
    training = torch.is_grad_enabled() and any(x.requires_grad for x in (k, v, table))
    y, key, value = _Averages.apply(k, v, table, older, keep_older, Q, L, training)
    return y, (key, value) if keep_older else None


class _Averages(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, k, v, table, older, keep_older, Q, L, training):
        (B, T, D), (H, W) = k.shape, table.shape
        k, v, table = (x if x.stride(-1) == 1 else x.contiguous() for x in (k, v, table))
        (block, *_), (warps, *_), product = *shape(Q, v), products(v, backwards=False)
        tiles, steps, rows = H * triton.cdiv(D // H, block), (k.stride(0), v.stride(0)), (k.stride(1), v.stride(1))
        cut = L or segment(T, B * tiles, FULL * processors(k.device), SHORTEST, Q)
        N, M, even = triton.cdiv(T, cut), triton.cdiv(T, Q), T % Q == 0
        starts: tuple[Tensor, ...] = _wkv.empty(B, D, k)
        if older is not None:
            starts = older[0].contiguous(), older[1].contiguous(), torch.ones_like(older[0])
        before, sums = starts, empty(k, B, M, 3, D)
        if N > 1:
            starts = empty(k, 3, B, N, D).unbind()
        _banded.add[(triton.cdiv(D, BLOCK_SUMS) * B * triton.cdiv((M + 1) * Q, cut),)](
            *(k, v, sums, *starts, *steps, T, cut, N, *rows, D, Q, BLOCK_SUMS, S, even), num_warps=WARPS_SUMS
        )
        if N > 1:
            w = torch.zeros(D, dtype=torch.float32, device=k.device)
            _walk.carry[(triton.cdiv(D, CARRIED) * B,)](w, *before, *starts, cut, N, D, CARRIED, S, num_warps=1)
        y = empty(k, B, T, D, dtype=v.dtype)
        marks = empty(k, B, M, 3, D) if training else None
        key, value = (empty(k, B, D), empty(k, B, D)) if keep_older else (None, None)
        _banded.outputs[(B * tiles * N,)](
            *(k, v, table, sums, *starts, y, marks, key, value, *steps, T, cut, N, *rows),
            *(H, D // H, W, Q, block, product, even and D // H % block == 0),
            num_warps=warps,
            num_stages=STAGES,
        )
        ctx.save_for_backward(k, v, table, marks)
        ctx.Q, ctx.L = Q, L
        ctx.mark_non_differentiable(*(x for x in (key, value) if x is not None))
        return y, key, value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy, *_: Any):
        k, v, table, marks = ctx.saved_tensors
        bound(k.device)
        (B, T, D), (H, W), Q = k.shape, table.shape, ctx.Q
        dy = dy if dy.stride(-1) == 1 else dy.contiguous()
        inputs, heads, product = (k, v, dy), (H, D // H, W, Q), products(v, backwards=True)
        steps, rows = (tuple(x.stride(i) for x in inputs) for i in (0, 1))
        blocks, warps = (each[1:] for each in shape(Q, v))
        adding, tiles = (H * triton.cdiv(D // H, block) for block in blocks)
        L = ctx.L or segment(T, B * min(adding, tiles), FULL_BACK * processors(k.device), SHORTEST, Q)
        N, fits = triton.cdiv(T, L), [T % Q == 0 and D // H % block == 0 for block in blocks]
        sums, parts = empty(k, 4, B, N, D) if N > 1 else None, empty(k, B, H, adding // H * N, 2, Q, Q)
        _banded_back.add_back[(B * adding * N,)](
            *(*inputs, table, marks, sums, parts, *steps, T, L, N, B, *rows, *heads, blocks[0], product, fits[0]),
            num_warps=warps[0],
            num_stages=STAGES,
        )
        if N > 1:
            _banded_back.carry_back[(triton.cdiv(D, CARRIED) * B,)](
                *(marks, sums, T, L, N, B, D, Q, CARRIED, BATCH), num_warps=1
            )
        dk, dv = (empty(k, B, T, D, dtype=x.dtype) for x in (k, v))
        _banded_back.gradients[(B * tiles * N,)](
            *(*inputs, table, marks, sums, dk, dv, *steps, T, L, N, B, *rows, *heads, blocks[1], product, fits[1]),
            num_warps=warps[1],
            num_stages=STAGES,
        )
        return dk, dv, by_distance(parts, W).to(table.dtype), None, None, None, None, None


def by_distance(parts: Float[Tensor, "B H P 2 Q Q"], W: int) -> Float[Tensor, "H W"]:
    """The sums of what queries, the rows, found of the keys at each distance in their own block and the one before."""
    Q = parts.shape[-1]
    now, past = parts.sum((0, 2)).unbind(1)
    ago = torch.arange(W, device=parts.device)
    key = torch.arange(Q, 2 * Q, device=parts.device)[:, None] - ago
    return torch.cat((past, now), -1).gather(-1, key.expand(len(now), -1, -1)).sum(1)


def shape(Q: int, v: Tensor) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Channels and warps of a program of `outputs`, `add_back` and `gradients`."""
    if Q <= 32 and v.dtype == torch.bfloat16:
        return (BLOCK, BLOCK_ADD, BLOCK_BACK), (WARPS, WARPS_ADD, WARPS_BACK)
    return NARROW, FEW


def products(v: Tensor, backwards: bool) -> str:
    """How factors are rounded where the inputs are of bfloat16: like these, or backwards, where differences of near
    numbers count, to tf32."""
    return "ieee" if v.dtype != torch.bfloat16 else "tf32" if backwards else "bf16"
