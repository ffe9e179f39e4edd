"""Gates: what lets numbers of another through, as it says. One pass over the data on a GPU; torch's own elsewhere."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from models import _kernels
from models._norm import rms_norm


def gated(
    gate: Float[Tensor, "*any D"] | None,
    x: Float[Tensor, "*any D"],
    eps: float | None = None,
    implementation: str = "auto",
) -> Float[Tensor, "*any D"]:
    """silu(gate) x, or without a gate x; where `eps` is given, of x / sqrt(mean(x^2) + eps) over the last axis."""
    if implementation == "auto" and gate is not None and _kernels.usable(x):
        from models._kernels import elementwise

        return elementwise.gated(gate, x, eps)
    y = x if eps is None else rms_norm(x, None, eps)
    return y if gate is None else F.silu(gate) * y


def opened(gate: Float[Tensor, "*any D"], x: Float[Tensor, "*any D"], implementation: str) -> Float[Tensor, "*any D"]:
    """sigmoid(gate) x, in the dtype of the gate."""
    x = x if x.dtype == gate.dtype else x.to(gate.dtype)
    if implementation == "auto" and _kernels.usable(x, _kernels.WITHOUT_PRODUCTS):
        from models._kernels import elementwise

        return elementwise.gated(gate, x, silu=False)
    return torch.sigmoid(gate) * x


def squared_relu(x: Float[Tensor, "*any D"], implementation: str) -> Float[Tensor, "*any D"]:
    """relu(x)^2."""
    if implementation == "auto" and _kernels.usable(x, _kernels.WITHOUT_PRODUCTS):
        from models._kernels import elementwise

        return elementwise.squared_relu(x)
    return SquaredReLU.apply(x)


class SquaredReLU(torch.autograd.Function):
    """By hand, for relu(x) is all that its gradient needs."""

    @staticmethod
    def forward(ctx: Any, x):
        positive = torch.relu(x)
        ctx.save_for_backward(positive)
        return positive.square()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient):
        (positive,) = ctx.saved_tensors
        return torch.mul(positive, gradient).mul_(2)
