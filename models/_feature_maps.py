"""Feature maps phi of linear attention: phi(q) . phi(k) stands for the similarity of q and k.

Letters: B batch, H heads, T tokens, K size of a head, F features, M longest sequence. A map takes queries and keys of
all heads side by side, [B, T, N, K] with N = 2H, queries first, and gives [B, T, N, F]. No map looks at another token,
so that all forms see the same features and none sees the future.

    elu        F = K   elu(x) + 1 (Katharopoulos et al. 2020, arXiv:2006.16236)
    relu       F = K   max(x, 0): cheap, and zero where two tokens share no feature
    taylor             1 + s + s^2/2 with s = q.k/sqrt(K), the start of exp(s) (Based, Arora et al. 2024,
                       arXiv:2402.18668), by F = 1 + K + K(K+1)/2 features: each product x_i x_j is kept once, where
                       Based keeps both, with the same values
    favor      chosen  exp(w.x - |x|^2/2), w fixed, Gaussian, orthogonal; on average exp(q.k/sqrt(K)) (Performer,
                       Choromanski et al. 2021, arXiv:2009.14794)
    cosformer  F = 2K  relu(x) cos(pi n/2M), relu(x) sin(pi n/2M) at position n, so that tokens M apart weigh nothing
                       (Qin et al. 2022, arXiv:2202.08791)
    hedgehog   F = 2K  softmax of [W x, -W x], W learned for each head, from the identity (Zhang et al. 2024,
                       arXiv:2402.04347)
"""

import math
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torch.nn import functional as F

from models._state import state_dtype

KERNELS = ("taylor", "favor", "hedgehog")  # stand for a function of q.k; the others work feature by feature
LARGEST_EXPONENT = 60.0  # of favor's keys: e^60, summed over 16k tokens, leaves float32 a factor of 10^8


def count(kind: str, size: int, features: int | None) -> int:
    """F, for heads of `size` = K; `features` is the number that was chosen, of favor only."""
    if kind == "favor":
        return features or max(1, round(size * math.log(size)))
    return {"taylor": 1 + size + size * (size + 1) // 2, "cosformer": 2 * size, "hedgehog": 2 * size}.get(kind, size)


def turns_features(options: Any) -> bool:
    """Whether the rotation turns features, so that numerator and denominator differ in more than the value."""
    return options.rotation == "rope" and options.feature_map not in KERNELS


def elu(x: Float[Tensor, "B T N K"]) -> Float[Tensor, "B T N K"]:
    return F.elu(x) + 1


def taylor(x: Float[Tensor, "B T N K"]) -> Float[Tensor, "B T N F"]:
    size = x.shape[-1]
    x = x * size**-0.25
    products = [x * x * 0.5**0.5, *(x[..., :-d] * x[..., d:] for d in range(1, size))]
    return torch.cat((torch.ones_like(x[..., :1]), x, *products), -1)


def cosformer(x: Float[Tensor, "B T N K"], wave: Complex[Tensor, "*any 1 1"]) -> Float[Tensor, "B T N F"]:
    """`wave` is e^(i pi n/2M) at each position n, [T, 1, 1] or, with padding, [B, T, 1, 1]."""
    return torch.cat((F.relu(x) * wave.real, F.relu(x) * wave.imag), -1)


def hedgehog(x: Float[Tensor, "B T N K"], W: Float[Tensor, "N K K"]) -> Float[Tensor, "B T N F"]:
    x = (x.transpose(1, 2) @ W).transpose(1, 2)
    return torch.cat((x, -x), -1).softmax(-1)


def favor(x: Float[Tensor, "B T N K"], directions: Float[Tensor, "K F"]) -> Float[Tensor, "B T N F"]:
    """Without a common factor of each query, which the normaliser cancels: its largest feature is made 1.

    Keys must not be scaled by anything that depends on other tokens. Theirs is bounded instead: w.k - |k|^2/2 is at
    most |w|^2/2, about K/2, and what passes `LARGEST_EXPONENT` (possible from K of about 100) is cut there.
    """
    wide = state_dtype(x.dtype)
    with torch.autocast(x.device.type, enabled=False):
        x = x.to(wide) * x.shape[-1] ** -0.25
        q, k = (x @ directions.to(wide)).chunk(2, 2)
        k = k - x.chunk(2, 2)[1].square().sum(-1, keepdim=True) / 2
        return torch.cat((q - q.amax(-1, keepdim=True), k.clamp(max=LARGEST_EXPONENT)), 2).exp()


def orthogonal_directions(size: int, features: int) -> Float[Tensor, "K F"]:
    """Gaussian directions, orthogonal in groups of K, each of a Gaussian's length; from torch's random state.

    They spread evenly only with the signs of R (Mezzadri 2007, arXiv:math-ph/0609050); without, the kernel is biased.
    Rounded to bfloat16, so that a model converted to it keeps the same map.
    """
    blocks = []
    for _ in range(-(-features // size)):
        Q, R = torch.linalg.qr(torch.randn(size, size, dtype=torch.float32))
        blocks.append(Q * R.diagonal().sign())
    lengths = torch.randn(size, features).norm(dim=0)
    return (torch.cat(blocks, 1)[:, :features] * lengths).bfloat16().float()


class FeatureMap(nn.Module):
    """One of the maps above with what it learns (hedgehog) or has drawn once and for all (favor)."""

    def __init__(self, kind: str, heads: int, size: int, features: int):
        super().__init__()
        self.kind = kind
        self.directions: Tensor
        if kind == "hedgehog":
            self.W = nn.Parameter(torch.eye(size).repeat(2 * heads, 1, 1))
        if kind == "favor":
            self.register_buffer("directions", orthogonal_directions(size, features))

    def forward(
        self, x: Float[Tensor, "B T N K"], wave: Complex[Tensor, "*any 1 1"] | None
    ) -> Float[Tensor, "B T N F"]:
        """`wave`: cosformer's, of the positions at hand. The type may be longer than that of x."""
        match self.kind:
            case "elu":
                return elu(x)
            case "relu":
                return F.relu(x)
            case "taylor":
                return taylor(x)
            case "favor":
                return favor(x, self.directions)
            case "hedgehog":
                return hedgehog(x, self.W)
            case "cosformer":
                assert wave is not None, "cosformer's positions"
                return cosformer(x, wave)
        raise ValueError(f"the feature map is {self.kind!r}; no program is written for it")
