"""The weighted average that decays by channel: WKV of RWKV-4 (Peng et al. 2023, arXiv:2305.13048), also AFT-simple.

    y_t = (a_{t-1} + e^{u + k_t} v_t) / (b_{t-1} + e^{u + k_t})
    a_t = e^w a_{t-1} + e^{k_t} v_t,    b_t = e^w b_{t-1} + e^{k_t}

per channel, with decay w <= 0 and a bonus u for the current token. With w = u = 0 the current token counts as any other
and this is AFT-simple (Zhai et al. 2021, arXiv:2105.14103) without its gate.

Letters: B batch, T tokens, C channels; E = T + 1 elements, the state before and then the tokens, and L = T links
between them. The state is a triple (m, p, q) with a = p e^m and b = q e^m, where m is the running maximum of the
exponents, so that no exponential overflows whatever the keys. The triple is not unique: compare p e^m and q e^m. Since
m cancels, gradients take it as given. A key of NOTHING has no weight.

Given m, the sums p and q obey x_t <- l_t x_{t-1} + x_t with links l_t = e^{w + m_{t-1} - m_t} in [0, 1], and their
gradients the same recurrence backwards in time. m itself obeys m_t <- max(w + m_{t-1}, m_t). So a form is a way to run
a recurrence: `recurrent` token by token (the definition), `scan` in 2 log2(E) steps, `chunkwise` in 2 sqrt(E) steps.
On a GPU the latter two are one program of `_kernels`, which scans over segments of time.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models import _kernels
from models._state import LayerState, state_dtype

Triple = tuple[Float[Tensor, "B C"], Float[Tensor, "B C"], Float[Tensor, "B C"]]
HELD = ("max", "numerator", "denominator")  # what the state of a layer calls its triple
NOTHING = -1e38  # an exponent without weight; finite, so that the difference of two is not NaN, and known to bfloat16
FAR = 60.0  # e^60 times a sum stays in range in float32, and 1 beside e^60 is below rounding even in float64
IMPLEMENTATIONS = ("auto", "torch")  # of scan and chunkwise: by our own kernels where the device has any, or by torch


def empty(batch: int, channels: int, like: Tensor) -> Triple:
    """The state before the first token, p = q = 0: in float32, or in float64 for float64."""
    zeros = like.new_zeros(batch, channels, dtype=state_dtype(like.dtype))
    return zeros + NOTHING, zeros, zeros.clone()


def held(state: LayerState) -> Triple:
    """The triple of a layer's state that is not empty."""
    m, p, q = (state[name] for name in HELD)
    return m, p, q


def before(state: LayerState, k: Float[Tensor, "B T C"]) -> Triple:
    """The triple of a layer's state before these keys."""
    return held(state) if HELD[0] in state else empty(k.shape[0], k.shape[2], k)


def keep(state: LayerState, after: Triple) -> None:
    """Puts the triple back into a layer's state."""
    state.update(zip(HELD, after, strict=True))


def step(
    k: Float[Tensor, "B C"], v: Float[Tensor, "B C"], w: Float[Tensor, "C"], u: Float[Tensor, "C"], state: Triple
) -> tuple[Float[Tensor, "B C"], Triple]:
    """One token: the definition, as in the authors' kernel."""
    m, p, q = state
    here = u + k
    top = torch.maximum(m, here)
    top = top.detach() if top.requires_grad else top
    past, now = (m - top).exp_(), (here - top).exp_()
    y = torch.addcmul(now * v, past, p) / torch.addcmul(now, past, q)
    top = torch.maximum(m + w, k)
    top = top.detach() if top.requires_grad else top
    past, now = (m - top).add_(w).exp_(), (k - top).exp_()
    return y, (top, torch.addcmul(now * v, past, p), torch.addcmul(now, past, q))


def wkv(
    k: Float[Tensor, "B T C"],
    v: Float[Tensor, "B T C"],
    w: Float[Tensor, "C"],
    u: Float[Tensor, "C"],
    state: Triple,
    form: str,
    implementation: str = "auto",
) -> tuple[Float[Tensor, "B T C"], Triple]:
    """The average at each token, in the dtype of v, and the state after the last one. Computed in the state's dtype.

    `form` is recurrent, scan or chunkwise.
    """
    dtype, exact = v.dtype, state[0].dtype
    if implementation == "auto" and form != "recurrent" and fused(k, v, exact):
        from models._kernels import wkv

        return wkv.wkv(k, v, w.to(exact), u.to(exact), state)
    k, v, w, u = (tensor if tensor.dtype == exact else tensor.to(exact) for tensor in (k, v, w, u))
    if form == "recurrent":
        ys = []
        for k_t, v_t in zip(k.unbind(1), v.unbind(1), strict=True):
            y_t, state = step(k_t, v_t, w, u, state)
            ys.append(y_t)
        y = torch.stack(ys, 1)
    else:
        y, m, p, q = Average.apply(k, v, w, u, *state, SWEEPS[form])
        state = m, p, q
    return (y if dtype == exact else y.to(dtype)), state


def fused(k: Tensor, v: Tensor, exact: torch.dtype) -> bool:
    """Whether the programs of `_kernels` can take these."""
    known = _kernels.WITHOUT_PRODUCTS
    return exact == torch.float32 and _kernels.usable(k, known) and _kernels.usable(v, known)


def operation(
    like: Tensor, batch: int, length: int, channels: int, form: str, implementation: str
) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """The average from the state before the first token, and random k, v, w and u for it."""
    k, v = torch.randn(2, batch, length, channels, dtype=like.dtype, device=like.device)
    w, u = -torch.rand(channels, device=like.device), torch.randn(channels, device=like.device)
    before = empty(batch, channels, k)
    return lambda k, v, w, u: wkv(k, v, w, u, before, form, implementation)[0], [k, v, w, u]


class Average(torch.autograd.Function):
    """All tokens at once; `sweep` runs the recurrences. Its backward pass keeps 9 numbers per token and channel."""

    @staticmethod
    def forward(ctx: Any, k, v, w, u, m_0, p_0, q_0, sweep):
        m = torch.cat((m_0.unsqueeze(1), k), 1)
        sweep(w.expand(1, k.shape[1], -1), m, MAXIMUM)
        before, after = m[:, :-1], m[:, 1:]
        links = torch.sub(before, after).add_(w).exp_()  # the difference first: beside a large m, w would be rounded
        weights = torch.sub(k, after).exp_()
        x = k.new_empty(2, *m.shape)  # p and q
        x[0, :, 0], x[1, :, 0], x[1, :, 1:] = p_0, q_0, weights
        torch.mul(weights, v, out=x[0, :, 1:])
        sweep(links, x, SUM)
        past = torch.sub(before, k).sub_(u).clamp_(max=FAR).exp_()  # weight of the past where that of the token is 1
        scale = torch.mul(x[1, :, :-1], past).add_(1).reciprocal_()
        y = torch.addcmul(v, x[0, :, :-1], past).mul_(scale)
        m_t, p_t, q_t = m[:, -1].clone(), x[0, :, -1].clone(), x[1, :, -1].clone()
        ctx.save_for_backward(v, y, links, weights, past, scale, x)
        ctx.sweep = sweep
        ctx.mark_non_differentiable(m_t)
        return y, m_t, p_t, q_t

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy, _, dp_t, dq_t):
        v, y, links, weights, past, scale, x = ctx.saved_tensors
        g = dy * scale
        d = torch.empty_like(x)  # gradients of p and of minus q, in units of e^m
        d[0, :, -1], d[1, :, -1] = dp_t, -dq_t
        torch.mul(g, past, out=d[0, :, :-1])
        torch.mul(d[0, :, :-1], y, out=d[1, :, :-1])
        ctx.sweep(links, d, SUM, backwards=True)
        dv = torch.addcmul(g, weights, d[0, :, 1:])
        of_u = torch.sub(v, y).mul_(g)
        dk = torch.mul(d[0, :, 1:], v).sub_(d[1, :, 1:]).mul_(weights).add_(of_u)
        dw = du = None
        if ctx.needs_input_grad[2]:
            dw = d[0, :, 1:].mul_(x[0, :, :-1]).sub_(d[1, :, 1:].mul_(x[1, :, :-1])).mul_(links).sum((0, 1))
        if ctx.needs_input_grad[3]:
            du = of_u.sum((0, 1))
        dp_0, dq_0 = d[0, :, 0], -d[1, :, 0]
        return dk, dv, dw, du, dp_0 * x[0, :, 0] + dq_0 * x[1, :, 0], dp_0, dq_0, None


class Recurrence(NamedTuple):
    """`take(receiver, link, giver)` puts a link to work in place; `join(link, link, out)` makes one link of two."""

    take: Callable[[Tensor, Tensor, Tensor], Any]
    join: Callable[..., Tensor]


SUM = Recurrence(lambda receiver, link, giver: receiver.addcmul_(link, giver), torch.mul)
MAXIMUM = Recurrence(lambda receiver, link, giver: torch.maximum(receiver, giver + link, out=receiver), torch.add)


def every_second(x: Tensor, start: int, count: int) -> Tensor:
    return x.narrow(-2, start, 2 * count - 1)[..., ::2, :]


def scan(
    links: Float[Tensor, "*b L C"], x: Float[Tensor, "*a E C"], recurrence: Recurrence, backwards: bool = False
) -> None:
    """Runs the recurrence over x in place, each element joining pairs of half as many: work O(E), 2 log2(E) steps.

    Link i lies between the elements i and i + 1. After Blelloch 1990: of the elements counted from where the sweep
    starts, every second one takes its neighbour before it; these are scanned by themselves; then the others take
    theirs.
    """
    elements = x.shape[-2]
    pairs, others = elements // 2, (elements - 1) // 2
    if not pairs:
        return
    start = elements % 2 if backwards else 1
    giver, link = (1, 0) if backwards else (-1, -1)  # where they stand relative to the receiver
    receivers = every_second(x, start, pairs)
    recurrence.take(receivers, every_second(links, start + link, pairs), every_second(x, start + giver, pairs))
    if not others:
        return
    if pairs > 1:
        joined = recurrence.join(every_second(links, start, pairs - 1), every_second(links, start + 1, pairs - 1))
        scan(joined, receivers, recurrence, backwards)
    start = (elements - 1) % 2 if backwards else 2
    receivers = every_second(x, start, others)
    recurrence.take(receivers, every_second(links, start + link, others), every_second(x, start + giver, others))


def chunks(
    links: Float[Tensor, "*b L C"], x: Float[Tensor, "*a E C"], recurrence: Recurrence, backwards: bool = False
) -> None:
    """Runs the recurrence over x in place: inside all chunks at once, then from chunk to chunk, then into the chunks.

    A chunk has about sqrt(E) elements; those that fill no chunk come last, one by one.
    """
    take, join = recurrence
    elements = x.shape[-2]
    length = math.isqrt(elements)
    count = elements // length
    giver, begin = (1, elements - count * length) if backwards else (-1, 0)
    into = F.pad(links, (0, 0, 0, 1) if backwards else (0, 0, 1, 0))  # the link by which each element receives
    z, a = (tensor.narrow(-2, begin, count * length).unflatten(-2, (count, length)) for tensor in (x, into))
    for j in range(length - 2, -1, -1) if backwards else range(1, length):
        take(z.select(-2, j), a.select(-2, j), z.select(-2, j + giver))
        join(a.select(-2, j), a.select(-2, j + giver), out=a.select(-2, j))
    last = 0 if backwards else length - 1
    z_last, a_last = z.select(-2, last), a.select(-2, last)
    for n in range(count - 2, -1, -1) if backwards else range(1, count):
        take(z_last.select(-2, n), a_last.select(-2, n), z_last.select(-2, n + giver))
    inner = slice(1, None) if backwards else slice(None, -1)
    later, earlier = (slice(None, -1), slice(1, None)) if backwards else (slice(1, None), slice(None, -1))
    take(z[..., later, inner, :], a[..., later, inner, :], z_last[..., earlier, None, :])
    for t in range(begin - 1, -1, -1) if backwards else range(count * length, elements):
        take(x.select(-2, t), into.select(-2, t), x.select(-2, t + giver))


SWEEPS = {"scan": scan, "chunkwise": chunks}
