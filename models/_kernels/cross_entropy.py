"""Cross-entropy of rows of logits and its gradient, in the logits' place.

Letters: N rows, V logits of a row. Everything is computed in float32.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from models._kernels import bucket

NUMBERS = 8192  # that one program takes at a time


@triton.jit
def _row(logits, targets, losses, stride, GRADIENT: tl.constexpr, V: tl.constexpr, BLOCK: tl.constexpr):
    """One program a row: the maximum and the sum of exponentials in one pass, the gradient in a second."""
    row = tl.program_id(0).to(tl.int64)
    at = logits + row * stride
    target = tl.load(targets + row)
    chosen = tl.load(at + target, (target >= 0) & (target < V), float("nan")).to(tl.float32)
    top, total = -3e38, 0.0  # not minus infinity: a block of such would then be not a number
    for first in range(0, V, BLOCK):
        v = first + tl.arange(0, BLOCK)
        x = tl.load(at + v, v < V, float("-inf")).to(tl.float32)
        higher = tl.maximum(top, tl.max(x, 0))
        total = total * tl.exp(top - higher) + tl.sum(tl.exp(x - higher), 0)
        top = higher
    tl.store(losses + row, tl.log(total) - (chosen - top))
    if GRADIENT:
        share = 1.0 / total
        for first in range(0, V, BLOCK):
            v = first + tl.arange(0, BLOCK)
            x = tl.load(at + v, v < V, 0.0).to(tl.float32)
            g = tl.exp(x - top) * share - tl.where(v == target, 1.0, 0.0)
            tl.store(at + v, g.to(logits.dtype.element_ty), v < V)


def losses(logits: Float[Tensor, "N V"], targets: Int[Tensor, "N"], gradient: bool) -> Float[Tensor, "N"]:
    """In float32, the loss of each row: not a number where there is no such target.

    With `gradient` the logits are overwritten by the gradient of each row's own loss: softmax less the target's one.
    """
    (N, V), targets = logits.shape, targets.contiguous()
    found = torch.empty(N, dtype=torch.float32, device=logits.device)
    block = min(bucket(V), NUMBERS)
    _row[(N,)](logits, targets, found, logits.stride(0), gradient, V, block, num_warps=min(8, max(1, block // 512)))
    return found
