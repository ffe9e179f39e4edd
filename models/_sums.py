"""Linear attention's sums over the past and what divides them: running, and of one token.

Letters: B batch, T tokens, H heads, F features, V size of a value head.
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional as F

from models import _retention as retention
from models._norm import rms_norm
from models._rotary import turned
from models._state import Call, LayerState, state_dtype

EPS, NORM_EPS = 1e-6, 1e-6
PROGRAMMED = ("elu", "relu")  # feature maps that `models._kernels.sums` knows

Features = Float[Tensor, "B T H F"]
Turns = Complex[Tensor, "*any T 1 P"]


def totals(q: Features, k: Features, call: Call, state: LayerState) -> Float[Tensor, "B T H 1"]:
    """phi(q_n) . z_n by running sums, where z is no column of S; at least in float32."""
    z = k.cumsum(1, dtype=state_dtype(k.dtype))
    z = z + state["z"].unsqueeze(1) if "z" in state else z
    if call.keep_state:
        state["z"] = z[:, -1].clone()  # a view would keep all of z alive
    return (q * z).sum(-1, keepdim=True)


def normalised(y: Tensor, total: Tensor | None, dtype: torch.dtype, norm: bool) -> Tensor:
    """y over its total and, where `norm`, its RMS norm by head."""
    if total is not None:
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


def z_of(state: LayerState, V: int) -> Float[Tensor, "B H F"] | None:
    """Where z stands: by itself, or as the column of S after the V of the values, or nowhere."""
    return state["z"] if "z" in state else state["S"][..., V] if state["S"].shape[-1] > V else None
