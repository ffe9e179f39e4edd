"""Products of one input with the parts of one weight: without gradients one product that is split, else several.

Parts of one product would be gathered again going backward, and of several products autograd adds up the gradients of
their input one by one, each a pass over the data. On a GPU each product going back adds to what those before it found.
Off the GPU, where it gains nothing, they are torch's own.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def projected(
    x: Float[Tensor, "*any D"], weight: Float[Tensor, "rows D"], parts: list[int]
) -> tuple[Float[Tensor, "*any _"], ...]:
    """x @ part.T for each of the `parts` that the rows of the weight are split into; without gradients views of one."""
    if not torch.is_grad_enabled():
        return F.linear(x, weight).split_with_sizes(parts, -1)
    if not x.is_cuda:
        return tuple(F.linear(x, part) for part in weight.split(parts))
    if torch.is_autocast_enabled("cuda"):  # as for any product, and the gradients come back as those they are of
        dtype = torch.get_autocast_dtype("cuda")
        x, weight = (each if each.dtype == torch.float64 else each.to(dtype) for each in (x, weight))
    return _Projected.apply(x, weight, parts)


class _Projected(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, parts):
        ctx.save_for_backward(x, weight)
        ctx.parts = parts
        return tuple(F.linear(x, part) for part in weight.split(parts))

    @staticmethod
    @once_differentiable
    def backward(ctx, *back):
        (x, weight), dx, dweight = ctx.saved_tensors, None, None
        rows, dys = x.flatten(0, -2), [dy.flatten(0, -2) for dy in back]
        if ctx.needs_input_grad[0]:
            dx = torch.empty(rows.shape, dtype=x.dtype, device=x.device)
            for n, (dy, part) in enumerate(zip(dys, weight.split(ctx.parts), strict=True)):
                torch.addmm(dx, dy, part, beta=min(n, 1), out=dx)  # the first reads nothing of dx
            dx = dx.view(x.shape)
        if ctx.needs_input_grad[1]:
            dweight = torch.empty(weight.shape, dtype=weight.dtype, device=weight.device)
            for dy, part in zip(dys, dweight.split(ctx.parts), strict=True):
                torch.mm(dy.T, rows, out=part)
        return dx, dweight, None
