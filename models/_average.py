"""Causal averages whose weights add a key and a bias of two positions: AFT with biases (Zhai et al. 2021).

    y_t = (sum_s e^{k_s + w_{t,s}} v_s + p e^m) / (sum_s e^{k_s + w_{t,s}} + q e^m)     per channel

over the keys s in reach, with w = -inf for those in the future, and the keys beyond reach summed up in a triple
(m, p, q) as in `models._wkv`. `exact` takes each row's own maximum and is the definition. `weighted` and `banded` are
matrix products of e^w and e^{k - c}, where c is, per channel, the middle of the keys of one product; since c cancels,
gradients take it as given. That is right to rounding while the keys of one product lie within 2 RANGE of each other
and |w| <= 20; keys further from c are moved to its RANGE.

Letters: B batch, T queries, S keys in reach, D channels, H heads of D/H channels, N blocks of Q
queries with R keys each.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from models import _wkv

RANGE = 60.0  # e^(60 + 20) times thousands of keys stays in range in float32, and e^-60 times e^-20 above zero

Keys = Float[Tensor, "B S D"]


def exact(k: Keys, v: Keys, w: Float[Tensor, "*b S D"], before: _wkv.Triple) -> Float[Tensor, "B D"]:
    """One query, w given per channel."""
    m, p, q = before
    logits = k + w
    top = torch.maximum(logits.amax(1), m).detach()
    weights, past = (logits - top.unsqueeze(1)).exp(), (m - top).exp()
    return ((weights * v).sum(1) + past * p) / (weights.sum(1) + past * q)


def middle(k: Float[Tensor, "*n S D"]) -> Float[Tensor, "*n 1 D"]:
    """Halfway between the smallest and the largest key, those without weight left out."""
    k = k.detach()
    absent = k < _wkv.NOTHING / 2
    low = k.masked_fill(absent, torch.inf).amin(-2, keepdim=True)
    high = k.masked_fill(absent, -torch.inf).amax(-2, keepdim=True)
    return torch.where(low > high, torch.zeros_like(low), (low + high) / 2)


def sums(
    k: Float[Tensor, "*n S D"], v: Float[Tensor, "*n S D"], c: Float[Tensor, "*n 1 D"]
) -> Float[Tensor, "*n S 2 D"]:
    """e^{k - c} v and e^{k - c}, side by side, 0 for keys without weight."""
    weights = (k - c).clamp(-RANGE, RANGE).exp().masked_fill(k < _wkv.NOTHING / 2, 0)
    return torch.stack((weights * v, weights), -2)


def average(
    pq: Float[Tensor, "*n T 2 D"], c: Float[Tensor, "*n 1 D"], before: tuple[Tensor, Tensor, Tensor]
) -> Float[Tensor, "*n T D"]:
    """Sums in units of e^c and a triple [*n, 1 or T, D] that comes before them, as one average."""
    m, p, q = before
    top = torch.maximum(m, c).detach()
    here, past = (c - top).exp(), (m - top).exp()
    numerator, denominator = pq.unbind(-2)
    numerator, denominator = here * numerator + past * p, here * denominator + past * q
    return numerator / torch.where(denominator > 0, denominator, 1)  # nothing has weight where all is padding


def weighted(k: Keys, v: Keys, w: Float[Tensor, "*w T S"], before: _wkv.Triple) -> Float[Tensor, "B T D"]:
    """All queries by one product of a T by S matrix: of each head, or [B, 1, T, S] of each sequence."""
    c = middle(k)
    x = sums(k, v, c)
    pq = _by_head(w.exp(), x) if w.dim() == 3 else _by_row(w.exp(), x)
    m, p, q = (part.unsqueeze(1) for part in before)
    return average(pq, c, (m, p, q))


def banded(k: Keys, v: Keys, w: Float[Tensor, "*w Q R"], blocks: int, before: _wkv.Triple) -> Float[Tensor, "B rows D"]:
    """N blocks of Q queries, each over its own R keys with biases and over all keys before those without.

    Block n has the keys nQ .. nQ + R - 1; the keys given must be exactly those. w is [H, Q, R], of every block, or
    [B or 1, N, 1, Q, R], of each.
    """
    Q, R = w.shape[-2:]
    k_n, v_n = (x.unfold(1, R, Q).mT for x in (k, v))
    c = middle(k_n)
    x = sums(k_n, v_n, c)
    pq = _by_head(w.exp(), x.flatten(0, 1)).unflatten(0, x.shape[:2]) if w.dim() == 3 else _by_row(w.exp(), x)
    return average(pq, c, _earlier(k_n[:, :, :Q], v_n[:, :, :Q], blocks, before)).flatten(1, 2)


def _by_head(weights: Float[Tensor, "H T S"], x: Float[Tensor, "B S 2 D"]) -> Float[Tensor, "B T 2 D"]:
    """Sequences side by side in the columns, so that a head's matrix is read once for the whole batch."""
    B, S, _, D = x.shape
    H = weights.shape[0]
    columns = x.reshape(B, S, 2, H, D // H).permute(3, 1, 0, 2, 4).reshape(H, S, -1)
    return (weights @ columns).view(H, -1, B, 2, D // H).permute(2, 1, 3, 0, 4).reshape(B, -1, 2, D)


def _by_row(weights: Float[Tensor, "*w 1 T S"], x: Float[Tensor, "*n S 2 D"]) -> Float[Tensor, "*n T 2 D"]:
    """A matrix for each sequence or block, the same for all channels."""
    return (weights.squeeze(-3) @ x.flatten(-2)).unflatten(-1, (2, -1))


def _earlier(
    k: Float[Tensor, "B N Q D"], v: Float[Tensor, "B N Q D"], blocks: int, before: _wkv.Triple
) -> tuple[Tensor, Tensor, Tensor]:
    """The triple [B, N, 1, D] of all keys before each block. A block's keys count as one, of their summed weight."""
    m, p, q = before
    top = k.detach().amax(2, keepdim=True)
    weights = (k - top).exp()
    total = weights.sum(2)
    key, mean = top.squeeze(2) + total.log(), (weights * v).sum(2) / total
    present = q > 0
    first = torch.where(present, m + torch.where(present, q, 1.0).log(), torch.full_like(m, _wkv.NOTHING))
    start = torch.where(present, p / torch.where(present, q, 1.0), torch.zeros_like(p))
    keys = torch.cat((first.unsqueeze(1), key[:, :-1]), 1)
    means = torch.cat((start.unsqueeze(1), mean[:, :-1]), 1)
    zero = keys.new_zeros(keys.shape[-1])
    y, _ = _wkv.wkv(keys, means, zero, zero, _wkv.empty(keys.shape[0], keys.shape[2], keys), "scan")
    weight = torch.logcumsumexp(keys.clamp(min=-1e30), 1)
    return weight.unsqueeze(2), y.unsqueeze(2), torch.ones_like(y).unsqueeze(2)
