"""Rotary position encodings: RoPE (Su et al. 2021, arXiv:2104.09864), xPos (Sun et al. 2022, arXiv:2212.10554) and
RetNet's variant of the angles (Sun et al. 2023, arXiv:2307.08621).

Letters: B batch, H heads, T tokens, K size of a head, which must be even, P = K/2 pairs.

RetNet's angles are not RoPE's: P values from 1 down to exactly 1/base, end point included, where RoPE's stop one
step short of it. RetNet does not use xPos's scale either; retention's decay takes its place.
"""

import functools

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from models import _kernels
from models._cost import Shape


def refuse_odd(shape: Shape, option: str = "", given: int | None = None) -> None:
    """Raises ValueError where what is turned has no pairs: of the size `given` by an option, or else the shape's heads.

    So that one mistake in a shape is told of every model in the same words.
    """
    size, fix = given or shape.width // shape.heads, "or set rotation to none"
    if size % 2 and given is not None:
        raise ValueError(f"{option} is {given}; rotation turns pairs: make it even, {fix}")
    if size % 2:
        told = f"heads of size {size} (width {shape.width} / heads {shape.heads}) are odd"
        raise ValueError(f"{told} and cannot be rotated in pairs; make them even, {fix}")


@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)
def rope_angles(size: int, base: float = 10000.0, device: torch.device | None = None) -> Float[Tensor, "P"]:
    """theta_i = base^(-2i/K)."""
    return base ** -(torch.arange(0, size, 2, dtype=torch.float64, device=device) / size)


@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)
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


def turns(
    positions: Int[Tensor, "*any T"], angles: Float[Tensor, "P"], dtype: torch.dtype, second: float | None = None
) -> Complex[Tensor, "*sets T P"]:
    """e^(i position angle) [*any T P], of two `dtype` (float32 at least) each; bfloat16 or float32 phases are wrong far
    out, so they are taken in float64. Where `second` is given, [2 *any T P]: those, and those times it."""
    angles = angles.to(positions.device)
    if positions.numel() == 1 and dtype != torch.float64 and _kernels.usable(angles, (torch.float64,)):
        from models._kernels import rotation

        found = rotation.turns_at(positions.flatten(), angles, second)
        return found.view(*([] if second is None else [2]), *positions.shape, -1)
    phase = positions.unsqueeze(-1) * angles
    found = torch.polar(torch.ones_like(phase), phase).to(dtype.to_complex())
    return found if second is None else torch.stack((found, found * second))


def turned(x: Float[Tensor, "*any K"], turns: Complex[Tensor, "*#any P"]) -> Float[Tensor, "*any K"]:
    """Rotates the pairs of features (2i, 2i+1), taken as complex numbers: (a + b i) -> (a + b i) turns.

    In float32 at least, with a result of the type of `x`, and contiguous whatever the strides of `x`: one pass over the
    data, which sines and cosines of pairs would take six of.
    """
    if turns.dtype == torch.complex64 and _kernels.usable(x):
        from models._kernels import rotation

        return rotation.turned(x, turns)
    exact = x.to(turns.dtype.to_real())
    return (_Turned.apply(exact, turns) if torch.is_grad_enabled() else _product(exact, turns)).to(x.dtype)


class _Turned(torch.autograd.Function):
    """Its gradient is turned back, into the layout of `x`. Autograd's own takes four passes more, some of them slow."""

    @staticmethod
    def forward(ctx, x, turns):
        ctx.save_for_backward(turns)
        ctx.layout = torch.empty_like(x, device="meta")
        return _product(x, turns)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        dx = torch.empty_strided(ctx.layout.shape, ctx.layout.stride(), dtype=dy.dtype, device=dy.device)
        return _product(dy, ctx.saved_tensors[0].conj(), dx), None


def _product(x: Tensor, turns: Tensor, out: Tensor | None = None) -> Tensor:
    """x times turns, in `out` or else contiguous."""
    if x.stride(-1) != 1 or x.storage_offset() % 2 or any(stride % 2 for stride in x.stride()[:-1]):
        x = x.contiguous()
    if out is None and x.is_contiguous():
        return (x.view(turns.dtype) * turns).view(x.dtype)
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device) if out is None else out
    torch.mul(x.view(turns.dtype), turns, out=out.view(turns.dtype))
    return out
