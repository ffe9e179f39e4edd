"""Tensors as a GPU's copy engine reads and writes them: in blocks, of rows that begin at multiples of 16 bytes.

Letters: B batch, H heads, T tokens, X size of a head.
"""

import functools
from typing import Any

import torch
import triton
from jaxtyping import Float
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

ALIGNED = 16  # bytes between rows, or a multiple


def blocks(x: Tensor, rows: int, width: int) -> TensorDescriptor:
    """Blocks [1, 1, rows, width] of x. A dimension of one may have any stride, but the copy engine is particular."""
    strides = [stride if n > 1 else ALIGNED for n, stride in zip(x.shape[:-1], x.stride()[:-1], strict=True)]
    return TensorDescriptor(x, list(x.shape), [*strides, 1], [1, 1, rows, width])


def swizzled(x: Tensor, rows: int, width: int) -> Any:
    """The same for programs in Gluon, which are told how a block stands in shared memory."""
    from triton.experimental.gluon.nvidia.hopper import TensorDescriptor as Descriptor

    plain = blocks(x, rows, width)
    return Descriptor(x, plain.shape, plain.strides, plain.block_shape, _layout(rows, width))


@functools.cache
def _layout(rows: int, width: int) -> Any:
    """Of bfloat16, which is all that those programs take and give."""
    from triton.experimental.gluon import language as gl

    return gl.NVMMASharedLayout.get_default_for([1, 1, rows, width], gl.bfloat16)


def reachable(B: int, H: int, T: int, X: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "B H T X"]:
    """Without content; in memory [B, T, H, X], each row where the copy engine can reach it."""
    step = ALIGNED // dtype.itemsize
    return torch.empty(B, T, H, triton.cdiv(X, step) * step, dtype=dtype, device=device)[..., :X].transpose(1, 2)


def aligned(x: Tensor) -> Tensor:
    """x itself, or a copy where its rows do not stand as the copy engine needs."""
    fits = x.stride(-1) == 1 and x.data_ptr() % ALIGNED == 0
    steps = [stride for n, stride in zip(x.shape[:-1], x.stride()[:-1], strict=True) if n > 1]
    if fits and all(step > 0 and step * x.element_size() % ALIGNED == 0 for step in steps):
        return x
    B, H, T, X = x.shape
    return reachable(B, H, T, X, x.dtype, x.device).copy_(x)
