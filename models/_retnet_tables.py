"""What RetNet's layers have in common at the positions of one pass: decays, and what turns queries and keys.

Letters: H heads, K size of a query or key head, P = K/2 pairs, B batch, T tokens.
"""

import dataclasses
import functools
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models import _decay, _rotary
from models._state import Call, state_dtype

BLOCK = 1024  # positions whose rotations are made at once and kept on a CPU; a longer pass makes its own
Angles = Callable[..., Float[Tensor, "P"]]


@dataclasses.dataclass(frozen=True)
class Shared:
    """What all layers of one pass have in common."""

    turn: Tensor  # what q and k are multiplied by: complex [2 T K/2] or [2 B 1 T K/2], or without rotation [2 1 1]
    log_decay: Float[Tensor, "H"] | None  # None: every gamma is 1, or each layer learns its own
    gamma: Float[Tensor, "H 1 1"] | None
    D: Float[Tensor, "H T T"] | None  # for the parallel form

    def turned(
        self, q: Float[Tensor, "B H T K"], k: Float[Tensor, "B H T K"]
    ) -> tuple[Float[Tensor, "B H T K"], Float[Tensor, "B H T K"]]:
        """Queries and keys rotated, or without rotation scaled, each in its own type."""
        of_q, of_k = self.turn
        if self.turn.is_complex():
            return _rotary.turned(q, of_q), _rotary.turned(k, of_k)
        return q * of_q.to(q.dtype), k * of_k.to(k.dtype)

    def turned_of_token(self, qk: Float[Tensor, "B 2 H K"]) -> tuple[Float[Tensor, "B H K"], Float[Tensor, "B H K"]]:
        """The same of one token, in the type of the tables, that of `qk`, which must be contiguous."""
        turn = self.turn if self.turn.dim() == 3 else self.turn.squeeze(2).transpose(0, 1)  # each sequence its own
        q, k = (qk.view(turn.dtype) * turn).view(qk.dtype).unbind(1)  # complex numbers, if they are to be rotated
        return q, k

    def log_decays(self, logit: Float[Tensor, "H"] | None) -> Float[Tensor, "H"] | None:
        """ln gamma of a layer that learns the logits of its own, or else of all; None where every gamma is 1."""
        return self.log_decay if logit is None else F.logsigmoid(logit.to(state_dtype(logit.dtype)))

    def gammas(self, logit: Float[Tensor, "H"] | None, dtype: torch.dtype) -> Float[Tensor, "H 1 1"] | None:
        """gamma of such a layer in `dtype`, or else of all; None where every gamma is 1."""
        return self.gamma if logit is None else logit.to(dtype).sigmoid()[:, None, None]


def shared(
    gamma: str | tuple[float, ...], angles: Angles | None, heads: int, K: int, call: Call, dtype: torch.dtype
) -> Shared:
    """Of the option `gamma` and of the angles, None without rotation; tables in `dtype`, that of the state."""
    log_decay, gammas = decays(gamma, heads, dtype, call.positions.device)
    D = None
    if log_decay is not None and call.form == "parallel":
        D = _decay.matrix(log_decay, call.positions.shape[-1])
    return Shared(turn(angles, K, call, dtype), log_decay, gammas, D)


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def decays(
    gamma: str | tuple[float, ...], heads: int, dtype: torch.dtype, device: torch.device
) -> tuple[Float[Tensor, "H"] | None, Float[Tensor, "H 1 1"] | None]:
    """ln gamma and gamma; None where every gamma is 1, or each layer learns its own."""
    if gamma in ("none", "learned"):
        return None, None
    given = _decay.schedule(gamma, heads) if isinstance(gamma, str) else gamma
    exact = torch.tensor(given, dtype=torch.float64, device=device)
    return exact.log().to(dtype), exact.to(dtype)[:, None, None]


def turn(angles: Angles | None, K: int, call: Call, dtype: torch.dtype) -> Tensor:
    """What q and k are multiplied by: each pair's rotation [2 T P] or with padding [2 B 1 T P], and K^-1/2 for k.

    `angles` gives those of a head of size K; without any, real numbers, [2 1 1].
    """
    positions, device = call.positions, call.positions.device
    if angles is None:
        return _scales(K, dtype, device)
    if call.padding is not None:
        positions = positions.clamp(min=0).unsqueeze(1)
    seen, end = call.seen, call.seen + call.positions.shape[-1]
    first = seen // BLOCK * BLOCK if call.padding is None else 0
    if device.type != "cpu" or call.position is not None or end > first + BLOCK:
        return _rotary.turns(positions, angles(K, device=device), dtype, K**-0.5)
    table = _table(angles, K, first, dtype)
    return table[:, seen - first : end - first] if call.padding is None else table[:, positions]


@functools.lru_cache(maxsize=4)
@torch.inference_mode(False)
def _table(angles: Angles, K: int, first: int, dtype: torch.dtype) -> Tensor:
    """Of a block of positions, on the CPU: a graph that was captured would go on reading one that is no longer kept."""
    return _rotary.turns(torch.arange(first, first + BLOCK, device="cpu"), angles(K), dtype, K**-0.5)


@functools.lru_cache(maxsize=64)
@torch.inference_mode(False)
def _scales(K: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "2 1 1"]:
    return torch.tensor([1.0, K**-0.5], dtype=dtype, device=device)[:, None, None]
