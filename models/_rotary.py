"""Rotary position encodings: RoPE (Su et al. 2021, arXiv:2104.09864), xPos (Sun et al. 2022, arXiv:2212.10554) and
RetNet's variant of the angles (Sun et al. 2023, arXiv:2307.08621).

Letters: B batch, H heads, T tokens, K size of a head, which must be even, P = K/2 pairs.

RetNet's angles are not RoPE's: P values from 1 down to exactly 1/base, end point included, where RoPE's stop one
step short of it. RetNet does not use xPos's scale either; retention's decay takes its place.
"""

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor


def rope_angles(size: int, base: float = 10000.0, device: torch.device | None = None) -> Float[Tensor, "P"]:
    """theta_i = base^(-2i/K)."""
    return base ** -(torch.arange(0, size, 2, dtype=torch.float64, device=device) / size)


def retnet_angles(size: int, base: float = 10000.0, device: torch.device | None = None) -> Float[Tensor, "P"]:
    """theta_i = base^(-i/(P - 1)), the last one exactly 1/base; a size of 2 has the one angle 1."""
    return base ** -torch.linspace(0, 1, size // 2, dtype=torch.float64, device=device)


def xpos_scale(
    positions: Int[Tensor, "*any T"], size: int, centre: float = 0.0, scale_base: float = 512.0
) -> Float[Tensor, "*any T P"]:
    """xPos's scale of each pair, zeta_i^((n - centre)/scale_base) with zeta_i = (2i + 0.4 K)/(1.4 K).

    For queries; keys take its inverse, so that a score decays with the distance, as zeta_i^((n - m)/scale_base). The
    centre cancels in scores. It only moves the range: float32 holds some 36,000 tokens on either side of it, and keys
    that are kept must all have been scaled around one centre.
    """
    zeta = (torch.arange(0, size, 2, dtype=torch.float64, device=positions.device) + 0.4 * size) / (1.4 * size)
    return zeta ** ((positions.unsqueeze(-1) - centre) / scale_base)


def tables(
    positions: Int[Tensor, "*any T"], angles: Float[Tensor, "P"], dtype: torch.dtype
) -> tuple[Float[Tensor, "*any T P"], Float[Tensor, "*any T P"]]:
    """cos and sin of position times angle, taken in float64: bfloat16 or float32 phases are wrong far out."""
    phase = positions.unsqueeze(-1) * angles.to(positions.device)
    return phase.cos().to(dtype), phase.sin().to(dtype)


def rotate(
    x: Float[Tensor, "B H T K"], cos: Float[Tensor, "*any T P"], sin: Float[Tensor, "*any T P"], interleaved: bool
) -> Float[Tensor, "B H T K"]:
    """Rotates pairs of features: (2i, 2i+1) where `interleaved`, else (i, i + K/2) as in Llama.

    (a, b) -> (a cos - b sin, b cos + a sin). The result has the type of `x`, also where autocast made that shorter.
    """
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    if cos.dim() == 3:  # positions that differ between the sequences of a batch
        cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else x.chunk(2, -1)
    turned = torch.addcmul(a * cos, b, sin, value=-1), torch.addcmul(b * cos, a, sin)
    return torch.stack(turned, -1).flatten(-2) if interleaved else torch.cat(turned, -1)


def turns(
    positions: Int[Tensor, "*any T"], angles: Float[Tensor, "P"], dtype: torch.dtype
) -> Complex[Tensor, "*any T P"]:
    """e^(i position angle), for `turned`: `tables` as complex numbers of two `dtype` each."""
    phase = positions.unsqueeze(-1) * angles.to(positions.device)
    return torch.polar(torch.ones_like(phase), phase).to(dtype.to_complex())


def turned(x: Float[Tensor, "*any K"], turns: Complex[Tensor, "*#any P"]) -> Float[Tensor, "*any K"]:
    """`rotate` with interleaved pairs taken as complex numbers: one pass over `x`, on the CPU five times as fast."""
    pairs = x.to(turns.real.dtype).contiguous().unflatten(-1, (-1, 2))
    return torch.view_as_real(torch.view_as_complex(pairs) * turns).flatten(-2).to(x.dtype)
