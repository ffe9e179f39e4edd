"""RMS norm (Zhang & Sennrich 2019, arXiv:1910.07467) for the CPU, where torch composes some ten passes each way.

Letters: D size of what is normalised, the last axis.
"""

import functools

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight, over the last axis."""

    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: Float[Tensor, "*any D"]) -> Float[Tensor, "*any D"]:
        return rms_norm(x, self.weight, self.eps)


def rms_norm(x: Float[Tensor, "*any D"], weight: Float[Tensor, "D"] | None, eps: float) -> Float[Tensor, "*any D"]:
    """x / sqrt(mean(x^2) + eps), times `weight`; of short types and on other devices by torch's own function."""
    short = x.dtype not in (torch.float32, torch.float64) or (weight is not None and weight.dtype != x.dtype)
    if short or not x.is_cpu:
        return F.rms_norm(x, x.shape[-1:], weight, eps)
    if torch.is_grad_enabled():
        return _RMSNorm.apply(x, weight, eps)
    weighted = x if weight is None else x * weight
    return torch.addcdiv(_number(0.0, x.dtype), weighted, _length(x, eps), value=x.shape[-1] ** 0.5)


@functools.cache
def _number(value: float, dtype: torch.dtype) -> Tensor:
    return torch.tensor(value, dtype=dtype, device="cpu")


def _length(x: Float[Tensor, "*any D"], eps: float) -> Float[Tensor, "*any 1"]:
    """sqrt(sum(x^2) + D eps), in as few operations as there are: in a decode step each one's overhead counts."""
    return torch.hypot(torch.linalg.vector_norm(x, 2, -1, True), _number((x.shape[-1] * eps) ** 0.5, x.dtype))


class _RMSNorm(torch.autograd.Function):
    """With g = dy * weight and r the inverse root: dx = r (g - x r^2 mean(g x)), dweight = sum(dy x r).

    Layer norm's backward pass with mean 0 is that less r mean(g), and one fused pass over the data.
    """

    @staticmethod
    def forward(ctx, x, weight, eps):
        x = x.contiguous()
        r = x.shape[-1] ** 0.5 / _length(x, eps)
        ctx.save_for_backward(x, weight, r)
        y = x * r
        return y if weight is None else y.mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        x, weight, r = ctx.saved_tensors
        dy, wanted = dy.contiguous(), [True, weight is not None, False]
        dx, dweight, _ = torch.ops.aten.native_layer_norm_backward(
            dy, x, x.shape[-1:], torch.zeros_like(r), r, weight, None, wanted
        )
        sums = dy.sum(-1, keepdim=True) if weight is None else (dy @ weight).unsqueeze(-1)
        return dx.addcmul_(r, sums, value=1 / x.shape[-1]), dweight, None
