"""Softmax attention, the bare operation: which slots a query sees, and its two forms.

Letters: B batch, T new tokens, S token slots up to the last of them, H query heads, G heads of keys and values, K size
of a head.
"""

import contextlib
import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from models._state import Call, state_dtype

Queries = Float[Tensor, "B H T K"]
Keys = Float[Tensor, "B G S K"]
# cuDNN, which torch prefers on Hopper, plans for every number of slots anew, and each token adds one.
WITHOUT_PLANS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]

Visible = Bool[Tensor, "*any #T S"] | None  # None: every slot, or in parallel form all up to the query's own


def visible_slots(call: Call, length: int, device: torch.device) -> Bool[Tensor, "*any T S"]:
    """True where query n may look at slot m: not behind it, and not padding. [T, S], or [B, 1, T, S] with padding.

    A query that is padding itself sees its own slot alone: its result is discarded, but must not be NaN.
    """
    slots = torch.arange(call.seen + length, device=device)
    own = slots[call.seen :].unsqueeze(1)
    if call.padding is None:
        return slots <= own
    real = slots >= call.padding.view(-1, 1, 1, 1)
    return (slots <= own) & real | (slots == own)


def reserved_slots(call: Call, keys: Keys) -> Bool[Tensor, "*any 1 S"]:
    """`visible_slots` of one query among all slots that the cache has, where the host does not know the position."""
    slots = torch.arange(keys.shape[2], device=keys.device)
    assert call.position is not None
    seen = (slots <= call.position).unsqueeze(0)
    return seen if call.padding is None else seen & (slots >= call.padding.view(-1, 1, 1, 1))


def attend(q: Queries, k: Keys, v: Keys, visible: Visible, causal: bool, implementation: str) -> Queries:
    """softmax(q k^T / sqrt(K)) v over the visible slots, or up to each query's own; the softmax at least in float32."""
    heads, groups = q.shape[1], k.shape[1]
    if groups < heads and q.shape[2] == 1:  # the queries of one group are so many tokens over the same keys
        out = attend(q.unflatten(1, (groups, -1)).squeeze(3), k, v, visible, False, implementation)
        return out.flatten(1, 2).unsqueeze(2)
    if implementation == "sdpa":
        with sdpa_kernel(WITHOUT_PLANS) if q.is_cuda and q.shape[2] == 1 else contextlib.nullcontext():
            return F.scaled_dot_product_attention(q, k, v, visible, is_causal=causal, enable_gqa=groups < heads)
    if groups < heads:
        k, v = (x.repeat_interleave(heads // groups, 1) for x in (k, v))
    scores = (q / math.sqrt(q.shape[-1])) @ k.mT
    if visible is not None:
        scores = scores.masked_fill(~visible, -math.inf)
    return scores.softmax(-1, dtype=state_dtype(q.dtype)).to(v.dtype) @ v


def recurrent(q: Queries, k: Keys, v: Keys, visible: Visible, implementation: str) -> Queries:
    """The definition: one token after the other, each over the slots up to its own."""
    T, S = q.shape[2], k.shape[2]
    if T == 1:
        return attend(q, k, v, visible, False, implementation)
    out = []
    for n, end in enumerate(range(S - T + 1, S + 1)):
        row = None if visible is None else visible[..., n : n + 1, :end]
        out.append(attend(q[:, :, n : n + 1], k[:, :, :end], v[:, :, :end], row, False, implementation))
    return torch.cat(out, 2)


def parallel(q: Queries, k: Keys, v: Keys, visible: Visible, implementation: str) -> Queries:
    """All tokens at once. Without a mask the kernel is told that it is causal, which a single query need not be."""
    return attend(q, k, v, visible, visible is None and q.shape[2] > 1, implementation)
