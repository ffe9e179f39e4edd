"""A state kept in bfloat16: rounded to one of its two neighbours by chance, each the likelier the nearer it is.

To the nearest, what decays by less than half a step would stand still: gamma = 1 - 2^-9 moves no number of 8 bits. By
chance the mean is right. The chance is a hash of the number's place and of the token's position: no generator is
needed, and a run that is repeated gives the same numbers. `_kernels.step` does the same, bit for bit.
"""

import torch
from jaxtyping import Int
from torch import Tensor

STEP = 0x9E3779B1 - 2**32  # between positions: 2^32 over the golden ratio, as 32 bits with a sign
FACTORS = (0x7FEB352D, 0x846CA68B - 2**32)  # of Wellons' lowbias32, without its first step: places are small
LOW = 0xFFFF  # the bits of float32 that bfloat16 lacks


def dithered(x: Tensor, position: Int[Tensor, ""]) -> Tensor:
    """x in bfloat16, by way of float32. Its gradient is that of x, as if nothing had been rounded."""
    exact = x.detach().float().contiguous()
    bits = (exact.view(torch.int32) + _chance(exact, position)).bitwise_and_(~LOW)
    found = torch.where(exact.isnan(), exact, bits.view(torch.float32)).to(torch.bfloat16)
    if not x.requires_grad:
        return found
    near = x.to(torch.bfloat16)
    near.detach().copy_(found)
    return near


def _chance(x: Tensor, position: Int[Tensor, ""]) -> Int[Tensor, "..."]:
    """A number from 0 to 2^16 - 1 for each of x: the halves of one hash are those of two neighbours in a row.

    Products wrap around; what is shifted is masked, since shifts keep the sign.
    """
    pairs = (x.shape[-1] + 1) // 2
    start = (position * STEP).to(torch.int32)
    h = torch.arange(x.numel() // x.shape[-1] * pairs, dtype=torch.int32, device=x.device).add_(start)
    h.mul_(FACTORS[0])
    h.bitwise_xor_((h >> 15).bitwise_and_(0x1FFFF)).mul_(FACTORS[1])
    upper = (h >> 16).bitwise_and_(LOW)
    both = torch.stack([(h ^ upper).bitwise_and_(LOW), upper], -1)
    return both.view(*x.shape[:-1], 2 * pairs)[..., : x.shape[-1]]
