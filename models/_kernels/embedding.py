"""The rows of a table at one token of each sequence: what a decode step begins with. Letters: B rows, D width, V rows
of the table."""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from models._kernels import early

BLOCK = 2048  # numbers that a program copies


@triton.jit(do_not_specialize=["V"])
def _rows(table, tokens, y, V, D: tl.constexpr, BLOCK: tl.constexpr, EARLY: tl.constexpr):
    """The next kernel is let go only after the wait: whatever begins then finds the step before this one ended."""
    if EARLY:
        tl.extra.cuda.gdc_wait()
        tl.extra.cuda.gdc_launch_dependents()
    b, d = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    token = tl.load(tokens + b).to(tl.int64)
    found = tl.load(table + token * D + d, (d < D) & (token >= 0) & (token < V), float("nan"))
    tl.store(y + b * D + d, found, d < D)


def rows(table: Float[Tensor, "V D"], tokens: Int[Tensor, "B"]) -> Float[Tensor, "B D"]:
    """table[tokens]; NaN where there is no such row, and no gradients."""
    (V, D), B = table.shape, len(tokens)
    y = torch.empty(B, D, dtype=table.dtype, device=table.device)
    wait, how = early(table.device)
    _rows[(B, triton.cdiv(D, BLOCK))](table, tokens.contiguous(), y, V, D, BLOCK, wait, **how)
    return y
