"""Linear maps of a few single tokens on a GPU, with what stands around them: see `models._kernels.few`.

Letters: B sequences, D width, K inputs, N outputs.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from models import _kernels

MOST = 64  # sequences: with more, torch's own products read the weights as fast

Rest = Any  # of a token's x: what is still to be added to it, [B, 1, D], or in terms, or None
Pair = tuple[Float[Tensor, "B 1 D"], Rest]


def fits(x: Float[Tensor, "B T D"]) -> bool:
    """Whether x is one token of few sequences, on a GPU, in 16 bits and without gradients."""
    return x.is_cuda and x.shape[1] == 1 and len(x) <= MOST and not torch.is_grad_enabled() and _kernels.usable(x)


def alone(rest: Rest, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"] | None:
    """What is to be added as one tensor like x."""
    return rest if rest is None or isinstance(rest, Tensor) else rest.each.sum(0).to(x.dtype).unsqueeze(1)


def read(
    x: Float[Tensor, "B 1 D"], rest: Rest, norm: Any, weight: Float[Tensor, "_ D"], act: str | None = None
) -> tuple[Float[Tensor, "B 1 D"], Float[Tensor, "B N"]]:
    """x and what is to be added to it, and act(weight norm(that)), the norm an RMS norm."""
    from models._kernels import few

    terms = rest.each if isinstance(rest, few.Terms) else None if rest is None else rest.transpose(0, 1)
    x, y = few.read(x[:, 0], terms, norm.weight, norm.eps, weight, act)
    return x.unsqueeze(1), y


def write(x: Float[Tensor, "B 1 D"], a: Float[Tensor, "B K"], weight: Float[Tensor, "D K"], *pre: Any) -> Pair:
    """x and what to add: weight times a. For `pre`, what is done to a before, see `models._kernels.few`."""
    from models._kernels import few

    x, rest = few.write(x[:, 0], a, weight, *pre)
    return x.unsqueeze(1), rest


def choose_(token: Int[Tensor, "B"], logits: Float[Tensor, "B N"]) -> None:
    """Overwrites `token` by the first of the likeliest."""
    if logits.is_cuda and _kernels.usable(logits) and logits.is_contiguous():
        from models._kernels import few

        few.likeliest(logits, token)
    else:
        torch.argmax(logits, -1, out=token)


def step_(*given: Any) -> Float[Tensor, "B H V"]:
    """See `models._kernels.step`."""
    from models._kernels import step

    return step.step_(*given)
