"""Token shift, RWKV's blend of each token with the one before it. Letters: B batch, T tokens, D width, N blends."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from models import _kernels
from models._state import Call, LayerState


def blends(
    x: Float[Tensor, "B T D"], mix: Float[Tensor, "N D"], call: Call, state: LayerState, name: str, implementation: str
) -> tuple[Float[Tensor, "B T D"], ...]:
    """The N blends of the tokens; the one before a sequence's first is zero. Keeps the last in `state[name]`.

    By our own kernels where `implementation` is auto and the device has any.
    """
    if call.valid is not None:
        x = x.masked_fill(~call.valid.unsqueeze(-1), 0)
    first = state[name] if name in state else torch.zeros_like(x[:, 0])
    if call.keep_state:
        state[name] = x[:, -1].clone()
    if implementation == "auto" and _kernels.usable(x, _kernels.WITHOUT_PRODUCTS):
        from models._kernels import token_shift

        return token_shift.blend(x, first, mix)
    return Blend.apply(x, first, mix)


class Blend(torch.autograd.Function):
    """mix * x_t + (1 - mix) * x_{t-1} for each mix, `first` before the first token. By hand: half autograd's passes."""

    @staticmethod
    def forward(ctx: Any, x, first, mix):
        before = torch.cat((first.unsqueeze(1), x[:, :-1]), 1)
        ctx.save_for_backward(x, before, mix)
        return tuple(torch.lerp(before, x, row) for row in mix)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients):
        x, before, mix = ctx.saved_tensors
        change, dx, total, dmix = x - before, torch.zeros_like(x), torch.zeros_like(x), torch.empty_like(mix)
        for gradient, row, out in zip(gradients, mix, dmix, strict=True):
            dx.addcmul_(gradient, row)
            total.add_(gradient)
            torch.sum(gradient * change, (0, 1), out=out)
        dbefore = total.sub_(dx)
        dx[:, :-1].add_(dbefore[:, 1:])
        return dx, dbefore[:, 0], dmix
