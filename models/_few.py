"""Linear maps of a few rows on a GPU, with what stands around them: see `models._kernels.few`.

Letters: B rows, K inputs, N outputs.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from models import _kernels

MOST = 16  # rows: with more, torch's own products read the weights as fast


def fits(x: Float[Tensor, "B T D"]) -> bool:
    """Whether x is one token of few sequences, on a GPU, in 16 bits and without gradients."""
    return x.is_cuda and x.shape[1] == 1 and len(x) <= MOST and not torch.is_grad_enabled() and _kernels.usable(x)


def mapped(
    x: Float[Tensor, "B K"],
    weight: Float[Tensor, "_ K"],
    norm: Any = None,
    *,
    gate: Float[Tensor, "B K"] | None = None,
    heads: int = 0,
    eps: float = 0.0,
    act: str | None = None,
    residual: Float[Tensor, "B N"] | None = None,
) -> Float[Tensor, "B N"]:
    """residual + act(weight pre(x)); pre is the RMS norm given, or silu(gate) times x normalised by head."""
    from models._kernels import few

    scale, eps = (None, eps) if norm is None else (norm.weight, norm.eps)
    return few.few_rows(x, weight, scale, eps, gate, heads, act, residual)
