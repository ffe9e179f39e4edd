"""Causal averages whose weights add a key and a bias of two positions: AFT with biases (Zhai et al. 2021).

    y_t = (sum_s e^{k_s + w_{t,s}} v_s + p e^m) / (sum_s e^{k_s + w_{t,s}} + q e^m)     per channel

over the keys s in reach, with w = -inf for those in the future, and the keys beyond reach summed up in a triple
(m, p, q) as in `models._wkv`. `exact` is the definition. `banded` multiplies the matrices e^w and e^{k - c}, where c
stands, per channel, RANGE below the largest key up to the last query, so also above keys that a query may not see; as c
cancels, gradients take it as given. In float32 a key vanishes that is e^137 times smaller than a later one in the same
product, and a query that sees no other key gets 0. Results are right to rounding while the keys of one product lie
within 100 of each other and |w| <= 20.

Letters: B batch, N blocks, Q queries of a block, R keys that they reach, S keys, D channels, H heads of d channels.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from models import _wkv

RANGE = 50.0  # e^50 times e^20 of the biases, times values and their number, stays in range in float32
TINY = 1e-35  # below any sum of weights that a real key is part of; what is divided by it stays in range

Keys = Float[Tensor, "B S D"]
Key = Float[Tensor, "B 1 D"]


def exact(k: Float[Tensor, "B S D"], v: Float[Tensor, "B S D"], w: Float[Tensor, "*B S H 1"]) -> Float[Tensor, "B D"]:
    """One query: the definition."""
    by_head = k.shape[0], k.shape[1], w.shape[-2], -1
    return ((k.view(by_head) + w).softmax(1) * v.view(by_head)).sum(1).flatten(1)


def joined(k: Key, v: Key, k_1: Key, v_1: Key) -> tuple[Key, Key]:
    """The one key and value that weigh as much as two."""
    return torch.logaddexp(k, k_1), torch.lerp(v, v_1, torch.sigmoid(k_1 - k))


def as_key(triple: _wkv.Triple) -> tuple[Key, Key]:
    """The one key and value that weigh as much as all those in a triple with q > 0."""
    m, p, q = (part.unsqueeze(1) for part in triple)
    return m + q.log(), p / q


def banded(k: Keys, v: Keys, w: Float[Tensor, "*w Q R"], before: _wkv.Triple) -> Float[Tensor, "B NQ D"]:
    """N blocks of Q queries, each over its own R keys with biases and over all keys before those without.

    Block n reaches the keys nQ .. nQ + R - 1; the keys given must be exactly those. w is [H, Q, R], of every block, or
    [B or 1, N, Q, R], of each. Several blocks reach at most 2Q keys each. A single one, all queries by one product,
    reaches any number: w is [H, Q, S], or [B or 1, 1, Q, S].
    """
    return Banded.apply(k, v, w, *before)


class Banded(torch.autograd.Function):
    """The products and what divides them, with the backward pass written out.

    Keys and results stand in pairs, of e^{k - c} v and of e^{k - c}. Sums of earlier keys are kept in units of each
    block's e^c: x_n = (x_{n-1} + what leaves reach after block n - 1) e^{c_{n-1} - c_n}.
    """

    @staticmethod
    def forward(ctx: Any, k, v, w, m_0, p_0, q_0):
        (Q, R), heads = w.shape[-2:], w.shape[0] if w.dim() == 3 else 1
        k_n, v_n = (x.unfold(1, R, Q).mT.unflatten(-1, (heads, -1)) for x in (k, v))
        B, N, _, H, d = k_n.shape
        c = torch.cat((m_0.unsqueeze(1), k_n.amax(2).flatten(2)), 1).cummax(1).values[:, 1:] - RANGE
        columns = k.new_empty((H, R, B * N * 2 * d) if w.dim() == 3 else (B, N, R, 2 * d))
        values, weights = as_pairs(columns, B, N).unbind(3)
        torch.sub(k_n, c.view(B, N, 1, H, d), out=weights).exp_()
        torch.mul(weights, v_n, out=values)
        links, start = (c[:, :-1] - c[:, 1:]).exp_(), (m_0 - c[:, 0]).exp_()
        x = k.new_empty(B, N, 2, H * d)
        x[:, 0] = torch.stack((p_0, q_0), 1).mul_(start.unsqueeze(1))
        leaving = as_pairs(columns, B, N)[:, :-1, :Q].sum(2).view(B, N - 1, 2, H * d)
        torch.mul(leaving, links.unsqueeze(2), out=x[:, 1:])
        _wkv.scan(links.unsqueeze(2).expand(-1, -1, 2, -1).transpose(1, 2), x.transpose(1, 2), _wkv.SUM)
        matrix = w.exp()
        sums = as_pairs(matrix @ columns, B, N).add_(x.view(B, N, 1, 2, H, d))
        total = sums[:, :, :, 1].clamp_(min=TINY)
        y = torch.div(sums[:, :, :, 0], total, out=k.new_empty(B, N, Q, H, d))
        ctx.save_for_backward(matrix, columns, y, total, links, start, p_0, q_0)
        return y.view(B, N * Q, H * d)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy):
        matrix, columns, y, total, links, start, p_0, q_0 = ctx.saved_tensors
        B, N, Q, H, d = y.shape
        dsums = columns.new_empty(*columns.shape[:-2], Q, columns.shape[-1])
        of_values, of_weights = as_pairs(dsums, B, N).unbind(3)
        torch.div(dy.view(B, N, Q, H, d), total, out=of_values)
        torch.mul(of_values, y, out=of_weights).neg_()
        dx = as_pairs(dsums, B, N).sum(2).view(B, N, 2, H * d)
        every = links.unsqueeze(2)
        _wkv.scan(every.expand(-1, -1, 2, -1).transpose(1, 2), dx.transpose(1, 2), _wkv.SUM, backwards=True)
        dcolumns = matrix.mT @ dsums
        pairs, dpairs = as_pairs(columns, B, N), as_pairs(dcolumns, B, N)
        dpairs[:, :-1, :Q].add_((dx[:, 1:] * every).view(B, N - 1, 1, 2, H, d))
        dv = torch.mul(pairs[:, :, :, 1], dpairs[:, :, :, 0])
        dk = dpairs.mul_(pairs).sum(3)
        dw = None
        if ctx.needs_input_grad[2]:
            dw = (dsums @ columns.mT).sum_to_size(matrix.shape).mul_(matrix)
        dp, dq = (dx[:, 0] * start.unsqueeze(1)).unbind(1)
        return fold(dk, Q), fold(dv, Q), dw, dp * p_0 + dq * q_0, dp, dq


def as_pairs(columns: Tensor, B: int, N: int) -> Float[Tensor, "B N rows 2 H d"]:
    """Of [H, rows, B N 2 d], where one matrix per head serves all blocks and is read once, or of [B, N, rows, 2 D]."""
    if columns.dim() == 4:
        return columns.view(B, N, columns.shape[2], 2, 1, -1)
    return columns.view(*columns.shape[:2], B, N, 2, -1).permute(2, 3, 1, 4, 0, 5)


def fold(x: Float[Tensor, "B N R H d"], Q: int) -> Float[Tensor, "B S D"]:
    """The sum of what overlapping blocks hold: the keys nQ .. nQ + R - 1 of block n."""
    B, N, R = x.shape[:3]
    if N == 1:
        return x.reshape(B, R, -1)
    whole = x.new_zeros(B, N + 1, Q, x.shape[3] * x.shape[4])
    whole[:, :-1] = x[:, :, :Q].flatten(3)
    whole[:, 1:, : R - Q] += x[:, :, Q:].flatten(3)
    return whole.flatten(1, 2)[:, : N * Q + R - Q]
