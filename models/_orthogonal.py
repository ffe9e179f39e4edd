"""Initial values of RWKV: orthogonal matrices and zeros.

Letters: N rows and D columns of a matrix.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models._state import state_dtype


def orthogonal_(matrix: Float[Tensor, "N D"], gain: float) -> None:
    """By way of float32 at least: torch finds none in bfloat16. On a CPU by one thread.

    Several wait for each other at every column, 25 times as long in all where another program has one of two cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        matrix.copy_(nn.init.orthogonal_(torch.empty_like(matrix, dtype=state_dtype(matrix.dtype)), gain))
    finally:
        torch.set_num_threads(threads)


def initialise_(drawn: list[Tensor], zeroed: list[Tensor], declared: bool) -> None:
    """`declared`, as the authors say it: orthogonal, scaled up where rows outnumber columns, and zeros. Else as they
    published it: all orthogonal, without a scale. See `init` in models/rwkv.py.
    """
    for matrix in (*drawn, *zeroed):
        orthogonal_(matrix, math.sqrt(max(matrix.shape[0] / matrix.shape[1], 1)) if declared else 1.0)
    for matrix in zeroed if declared else []:
        nn.init.zeros_(matrix)
