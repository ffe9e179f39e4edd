"""What a token does to WKV's state, for the programs that walk: m, p and q as in `_wkv`, k a key, w a decay, u a bonus.

Forwards, instructions are what is short. Where the keys of S tokens and m are within NEAR of their maximum, in all
channels of a program, that maximum is m for all of them: past and token then need one power of e between them, links
are constant, and a token takes 22 instructions in place of 35. No sum of weights is less than e^-NEAR then, so that
what falls out of the range of float32 is e^-47 of it at most. Elsewhere, as at the first tokens, m is the maximum at
each.
"""

import math

import triton
import triton.language as tl

from models import _wkv

FAR = tl.constexpr(_wkv.FAR)
NOTHING = tl.constexpr(_wkv.NOTHING)
NEAR = tl.constexpr(40.0)  # less than FAR by enough that q e^FAR is large whatever q
MILD = tl.constexpr(20.0)  # a bonus up to which its power, beside that of a key so near, stays in range
SLOW = tl.constexpr(-0.1)  # a decay whose e^w is found by a series, that what its rounding lost be known
LOG2_E = tl.constexpr(math.log2(math.e))


@triton.jit
def _exp(x):
    """A third of the instructions of `tl.exp`: what is below the range of normal numbers becomes zero."""
    return tl.exp2(x * LOG2_E)


@triton.jit
def _float(x):
    """In float32: of two neighbours in bfloat16 by one instruction each, where the compiler's own takes three."""
    if x.dtype == tl.bfloat16:
        return (x.to(tl.int16, bitcast=True).to(tl.int32) << 16).to(tl.float32, bitcast=True)
    return x.to(tl.float32)


@triton.jit
def _floats(rows, S: tl.constexpr):
    made = ()
    for i in tl.static_range(S):
        made = made + (_float(rows[i]),)  # type: ignore[assignment]  # noqa: RUF005
    return made


@triton.jit
def _decay(w):
    """e^w, and what its rounding lost, which over the many tokens of a slow decay would add up."""
    less = w * (1.0 + w / 2 * (1.0 + w / 3 * (1.0 + w / 4 * (1.0 + w / 5))))
    link = tl.where(w > SLOW, 1.0 + less, _exp(w))
    return link, tl.where(w > SLOW, (1.0 - link) + less, 0.0)


@triton.jit
def _reach(u, inside):
    """How far from a maximum keys may be: anywhere where there is no channel, nowhere beside a large bonus."""
    return tl.where(inside, tl.where(tl.abs(u) <= MILD, NEAR, -1.0), -NOTHING)


@triton.jit
def _near(m, k_s, reach, S: tl.constexpr):
    """The maximum of m, unless that is of nothing, and S keys; and whether all are keys and within reach of it,
    everywhere: padding, and what is beyond the last token, is none."""
    top = tl.where(m > NOTHING / 2, m, k_s[0])
    low = top
    for i in tl.static_range(S):
        top, low = tl.maximum(top, k_s[i]), tl.minimum(low, k_s[i])
    near = (top - low <= reach) & ((low > NOTHING / 2) | (reach > NEAR))
    return top, tl.min(near.to(tl.int32), 0) == 1


@triton.jit
def _links(m, k, w):
    """The maximum after a token of key k, and the weights of the past and of the token beside it.

    One of the two is 1, but for what rounding m + w lost: beside a large m that is most of a slow decay.
    """
    faded = m + w
    now = k >= faded
    top = tl.maximum(faded, k)
    past = (m - top) + w
    e = _exp(tl.where(now, past, k - top))
    return top, tl.where(now, e, 1.0 + past), tl.where(now, 1.0, e)


@triton.jit
def _seen(m, q, k, u):
    """The weight of the past where that of the token is 1, and one over the sum of all weights."""
    past = _exp(tl.minimum((m - k) - u, FAR, propagate_nan=tl.PropagateNan.ALL))
    root = tl.rsqrt(1.0 + q * past)  # which, squared, is a quarter of the instructions of a division
    return past, root * root


@triton.jit
def _join(m, p, q, m_n, p_n, q_n, faded):
    """The state after a segment, from the one before and what `add` found."""
    top = tl.maximum(m + faded, m_n)
    link, weight = _exp((m - top) + faded), _exp(m_n - top)
    return top, p * link + p_n * weight, q * link + q_n * weight
