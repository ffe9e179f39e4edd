"""Decays of retention: the published schedules of gamma, and its powers.

Letters: B batch, H heads, T tokens, V size of a value head.

Powers are taken from ln gamma and after masking: gamma^(n-m) over all n and m overflows at some 2800 tokens in float32,
and infinity times a mask's zero is not a number.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models._state import state_dtype


def schedule(name: str, heads: int) -> tuple[float, ...]:
    """gamma of each head.

    `paper`: 1 - exp(linspace(ln 1/32, ln 1/512, H)), of the paper's runs. `torchscale`: 1 - 2^(-5-h), of the paper's
    formula and of its authors' code. `single`: 127/128, and `none`: 1, of its ablations (Table 6).
    """
    if name == "torchscale":
        return tuple(1 - 2.0 ** (-5 - h) for h in range(heads))
    if name == "paper":
        step = (math.log(1 / 512) - math.log(1 / 32)) / max(heads - 1, 1)
        return tuple(1 - math.exp(math.log(1 / 32) + h * step) for h in range(heads))
    return ({"single": 127 / 128, "none": 1.0}[name],) * heads


def check(gamma: str | tuple[float, ...], heads: int) -> None:
    """Raises ValueError where numbers are given that are not one gamma per head; a schedule's name fits any heads."""
    if not isinstance(gamma, str) and (len(gamma) != heads or not all(0 < each <= 1 for each in gamma)):
        raise ValueError(f"gamma is {gamma}; give {heads} numbers, one per head, above 0 and at most 1")


def logits(name: str, heads: int) -> Float[Tensor, "H"]:
    """ln(gamma / (1 - gamma)) of a schedule, in float64: where gammas that are learned start."""
    return torch.tensor(schedule(name, heads), dtype=torch.float64).logit()


def powers(log_decay: Float[Tensor, "H"], first: int, length: int) -> Float[Tensor, "H T"]:
    """gamma^first, gamma^(first+1), ..."""
    exponents = torch.arange(first, first + length, dtype=log_decay.dtype, device=log_decay.device)
    return (log_decay[:, None] * exponents).exp()


def matrix(log_decay: Float[Tensor, "H"], length: int) -> Float[Tensor, "H T T"]:
    """D_nm = gamma^(n-m) for n >= m, else 0."""
    n = torch.arange(length, dtype=log_decay.dtype, device=log_decay.device)
    distance = n[:, None] - n
    return (log_decay[:, None, None] * distance).masked_fill(distance < 0, -torch.inf).exp()


def row_sums(
    log_decay: Float[Tensor, "H"] | None, positions: Int[Tensor, "*B T"], dtype: torch.dtype
) -> Float[Tensor, "*B T H"] | Float[Tensor, "*B T 1"]:
    """sum_{m<=n} gamma^(n-m) at each position n, n + 1 where there is no decay; 1 at negative positions."""
    n = (positions.clamp(min=0).unsqueeze(-1) + 1).to(dtype)
    if log_decay is None:
        return n
    log_decay = log_decay.clamp(max=-1e-30)  # at gamma = 1 the quotient is n + 1 still, and not 0/0
    return torch.expm1(log_decay * n) / torch.expm1(log_decay)


def evened(
    o: Float[Tensor, "B T H V"], log_decay: Float[Tensor, "H"] | None, positions: Int[Tensor, "*B T"]
) -> Float[Tensor, "B T H V"]:
    """o_n / sqrt(sum_{m<=n} gamma^(n-m)), the RetNet paper's second normalisation, which knows positions only."""
    sums = row_sums(log_decay, positions, state_dtype(o.dtype))
    return o * sums.rsqrt().unsqueeze(-1).to(o.dtype)
