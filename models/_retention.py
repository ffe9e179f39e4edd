"""Retention (Sun et al. 2023, arXiv:2307.08621), the bare operation, in three forms that compute one function.

Letters: B batch, H heads, T tokens, K size of a query or key head, V size of a value head, C chunk length, N chunks.

Per head, with a decay gamma in (0, 1] and a state S of K by V numbers:

    S_n = gamma S_{n-1} + k_n^T v_n        o_n = q_n S_n

`recurrent` is this definition. `parallel` is ((Q K^T) * D) V with D_nm = gamma^(n-m) for n >= m, else 0. `chunkwise` is
parallel within chunks and recurrent between them. Nothing is normalised here: what a form may rescale freely in exact
arithmetic makes the forms differ as soon as a norm with an eps follows.

Every form takes `log_decay`, ln gamma of each head (None: gamma = 1), and optionally a state to start from. It returns
the outputs and, where `keep_state`, the state after the last token. Gradients flow to q, k, v, log_decay and state,
from outputs and final state alike. Padding needs nothing: a token with k = v = 0 before a sequence adds nothing.

With gamma = 1 this is linear attention: give phi(q) and phi(k), and v with a column of ones appended. The output's last
column is then the normaliser of the others, phi(q_n) . sum_m phi(k_m), and the state's last column is sum_m phi(k_m).

States are float32 at least. Products over tokens run in the inputs' dtype, which autocast does not change here.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from models import _decay, _kernels
from models._chunkwise import Chunkwise
from models._state import state_dtype

CHUNK = 64  # measured on 2 cores in float32 at K = 64: 32 costs 3% more time, 128 20% and 256 80%

Heads = Float[Tensor, "B H T K"]
Values = Float[Tensor, "B H T V"]
States = Float[Tensor, "B H K V"]
Decays = Float[Tensor, "H"]


def recurrent(
    q: Heads,
    k: Heads,
    v: Values,
    log_decay: Decays | None = None,
    state: States | None = None,
    keep_state: bool = False,
) -> tuple[Values, States | None]:
    """The definition, step by step: O(T K V) per head, and no step can start before the one before it ends."""
    dtype = state_dtype(v.dtype)
    S = torch.zeros((), dtype=dtype, device=v.device) if state is None else state.to(dtype)
    gamma = 1.0 if log_decay is None else log_decay.to(dtype).exp()[:, None, None]
    outputs = []
    with torch.autocast(v.device.type, enabled=False):
        for q_n, k_n, v_n in zip(*(x.to(dtype).unbind(2) for x in (q, k, v)), strict=True):
            S = gamma * S + k_n.unsqueeze(-1) * v_n.unsqueeze(-2)
            outputs.append((q_n.unsqueeze(-2) @ S).squeeze(-2))
    return torch.stack(outputs, 2).to(v.dtype), S if keep_state else None


def step_(
    q: Float[Tensor, "B H K"],
    k: Float[Tensor, "B H K"],
    v: Float[Tensor, "B H V"],
    gamma: Float[Tensor, "H 1 1"] | None,
    state: States,
) -> Float[Tensor, "B H V"]:
    """One step of `recurrent`, overwriting `state`: to decode, where gradients are off."""
    (B, H, K, V), dtype = state.shape, v.dtype
    if not q.dtype == k.dtype == dtype == state.dtype:
        q, k, v = (x.to(state.dtype) for x in (q, k, v))
    if gamma is not None:
        state.mul_(gamma)
    state.addcmul_(k.unsqueeze(-1), v.unsqueeze(-2))
    return torch.bmm(q.reshape(B * H, 1, K), state.view(B * H, K, V)).view(B, H, V).to(dtype)


def parallel(
    q: Heads,
    k: Heads,
    v: Values,
    log_decay: Decays | None = None,
    state: States | None = None,
    keep_state: bool = False,
    D: Float[Tensor, "H T T"] | None = None,
) -> tuple[Values, States | None]:
    """((Q K^T) * D) V: O(T^2 (K + V)) per head. `D` is that of `log_decay` and T, for those who have it already."""
    length, dtype = q.shape[2], state_dtype(v.dtype)
    if D is None and log_decay is not None:
        D = _decay.matrix(log_decay, length)
    with torch.autocast(v.device.type, enabled=False):
        scores = q @ k.mT
        o = (scores.tril() if D is None else scores * D.to(q.dtype)) @ v
        if not keep_state and state is None:
            return o, None
        weights = q.new_ones(1, length + 1, dtype=dtype)  # gamma^0 to gamma^T
        if log_decay is not None:
            weights = _decay.powers(log_decay.to(dtype), 0, length + 1)
        final = (k * weights[:, :-1].flip(1).unsqueeze(-1)).mT @ v.to(dtype)
        if state is not None:
            o = o + ((q * weights[:, 1:].unsqueeze(-1)) @ state.to(dtype)).to(o.dtype)
            final = final + weights[:, -1, None, None] * state
    return o, final if keep_state else None


def chunkwise(
    q: Heads,
    k: Heads,
    v: Values,
    log_decay: Decays | None = None,
    state: States | None = None,
    keep_state: bool = False,
    chunk: int = CHUNK,
) -> tuple[Values, States | None]:
    """Parallel within chunks of `chunk` tokens, recurrent between them: O(T (C (K + V) + 2 K V)) per head.

    Any length and any chunk: the last chunk is filled up with tokens of zeros, and the final state decays by the tokens
    there are. The paper's pseudo-code leaves the decay of keys out of the state's update; its equation does not.
    """
    with torch.autocast(v.device.type, enabled=False):
        return Chunkwise.apply(q, k, v, log_decay, state, keep_state, min(chunk, q.shape[2]))


def fused(
    q: Heads,
    k: Heads,
    v: Values,
    log_decay: Decays | None = None,
    state: States | None = None,
    keep_state: bool = False,
    chunk: int = CHUNK,
) -> tuple[Values, States | None]:
    """`chunkwise` by the programs of `_kernels`, in chunks of their own length, where they can take these tensors."""
    if not _kernels.usable(v):
        return chunkwise(q, k, v, log_decay, state, keep_state, chunk)
    from models._kernels import retention

    return retention.retention(q, k, v, log_decay, state, keep_state)


def drawn(like: Tensor, batch: int, length: int, heads: int, *sizes: int) -> list[Float[Tensor, "B H T _"]]:
    """Random q, k or v of those sizes, laid out as a projection gives them."""
    made = [torch.randn(batch, length, heads, size, dtype=like.dtype, device=like.device) for size in sizes]
    return [x.transpose(1, 2) for x in made]


def operation(
    run: Callable[..., tuple[Values, States | None]], inputs: list[Tensor], log_decay: Decays | None, learned: bool
) -> tuple[Callable[..., Values], list[Tensor]]:
    """`run`, a form, for its outputs alone, and its inputs: q, k, v, and where it is `learned` the decay."""
    if learned and log_decay is not None:
        return lambda q, k, v, decay: run(q, k, v, decay)[0], [*inputs, log_decay.clone()]
    return lambda q, k, v: run(q, k, v, log_decay)[0], inputs


CHUNKWISE = {"auto": fused, "torch": chunkwise}  # by implementation
