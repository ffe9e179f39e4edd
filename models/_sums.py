"""Linear attention's sums over the past and what divides them: running, and of one token.

Letters: B batch, T tokens, H heads, F features, V size of a value head.
"""

from collections.abc import Callable

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional as F

from models import _kernels
from models import _retention as retention
from models._cost import Chosen
from models._norm import rms_norm
from models._rotary import turned
from models._state import LayerState, state_dtype

EPS, NORM_EPS = 1e-6, 1e-6
PROGRAMMED = {"elu": 0, "relu": 1}  # feature maps that `models._kernels.sums` knows, and what it calls them

Features = Float[Tensor, "B T H F"]
Turns = Complex[Tensor, "*any T 1 P"]


def totals(
    q: Features, k: Features, keep_state: bool, state: LayerState, implementation: str = "auto"
) -> Float[Tensor, "B T H 1"]:
    """phi(q_n) . z_n by running sums, where z is no column of S; at least in float32."""
    if implementation == "auto" and _kernels.usable(q, _kernels.WITHOUT_PRODUCTS):
        from models._kernels import totals as programs

        total, last = programs.totals(q, k, state.get("z"), keep_state)
        if last is not None:
            state["z"] = last
        return total
    z = k.cumsum(1, dtype=state_dtype(k.dtype))
    z = z + state["z"].unsqueeze(1) if "z" in state else z
    if keep_state:
        state["z"] = z[:, -1].clone()  # a view would keep all of z alive
    return (q * z).sum(-1, keepdim=True)


def normalised(
    y: Tensor, total: Tensor | None, dtype: torch.dtype, norm: bool, implementation: str = "torch"
) -> Tensor:
    """y over its total and, where `norm`, its RMS norm by head."""
    if total is not None and implementation == "auto" and y.dtype == dtype and _kernels.usable(y):
        from models._kernels import elementwise

        y = elementwise.quotient(y, total, EPS)
    elif total is not None:
        y = (y / (total + EPS)).to(dtype)
    return rms_norm(y, None, NORM_EPS) if norm else y


def step(
    phi: Float[Tensor, "B 2 H F"],
    v: Float[Tensor, "B H V"],
    turn: Turns | None,
    state: LayerState,
    divide: bool,
    norm: bool,
) -> Float[Tensor, "B H V"]:
    """Of one token, overwriting the state, in few operations. `phi` and `turn` are those of query and key."""
    S, total, V = state["S"], None, v.shape[-1]
    q, k = phi.unbind(1)
    if turn is not None:
        if divide:
            total = (q * state["z"].add_(k)).sum(-1, keepdim=True)
        q, k = turned(phi, turn).unbind(1)
    elif divide:
        v = F.pad(v, (0, 1), value=1.0)
    y = retention.step_(q, k, v, None, S)
    if v.shape[-1] > V:
        y, total = y.split((V, 1), -1)
    return normalised(y, total, v.dtype, norm)


def operation(
    options: Chosen, like: Tensor, sizes: tuple[int, ...], V: int, apart: bool
) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """Chunkwise retention of features of `sizes`, all positive, and of values, over what divides it: a column of it, or
    running sums `apart`, as where features are turned, which itself is left out.
    """
    run, divide = retention.CHUNKWISE[options.implementation], options.normaliser == "sum"
    column = divide and not apart
    q, k = torch.rand(2, *sizes, dtype=like.dtype, device=like.device)
    v = torch.randn(*sizes[:-1], V, dtype=like.dtype, device=like.device)

    def averages(q: Features, k: Features, v: Float[Tensor, "B T H V"]) -> Float[Tensor, "B T H V"]:
        total = totals(q, k, False, {}, options.implementation) if divide and apart else None
        v = F.pad(v, (0, 1), value=1.0) if column else v
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        y = run(q, k, v, chunk=options.chunk_size)[0].transpose(1, 2)
        if column:
            y, total = y.split((V, 1), -1)
        return normalised(y, total, v.dtype, False, options.implementation)

    return averages, [q, k, v]


def z_of(state: LayerState, V: int) -> Float[Tensor, "B H F"] | None:
    """Where z stands: by itself, or as the column of S after the V of the values, or nowhere."""
    return state["z"] if "z" in state else state["S"][..., V] if state["S"].shape[-1] > V else None
