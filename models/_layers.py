"""What all architectures share between their mixers. Letters: B batch, T tokens, D width."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models import _few
from models._gate import gated
from models._norm import rms_norm
from models._state import Call, LayerState


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight, over the last axis."""

    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: Float[Tensor, "*any D"]) -> Float[Tensor, "*any D"]:
        return rms_norm(x, self.weight, self.eps)


class FeedForward(nn.Module):
    """SwiGLU, `W_o (silu(W_g x) * W_i x)` (Shazeer 2020), or GELU, `W_o gelu(W_i x)`; no biases."""

    def __init__(self, width: int, ffn_width: int, kind: str):
        super().__init__()
        self.kind = kind
        self.into = nn.Linear(width, ffn_width * (2 if kind == "swiglu" else 1), bias=False)  # gate, then input
        self.out = nn.Linear(ffn_width, width, bias=False)

    def forward(self, x: Float[Tensor, "B T D"], call: Call, state: LayerState) -> Float[Tensor, "B T D"]:
        if self.kind == "swiglu":
            if torch.is_grad_enabled():  # halves of the product would be gathered again going backward
                gate, hidden = (F.linear(x, half) for half in self.into.weight.chunk(2))
            else:
                gate, hidden = F.linear(x, self.into.weight).chunk(2, -1)
            return F.linear(gated(gate, hidden), self.out.weight)
        return F.linear(F.gelu(F.linear(x, self.into.weight)), self.out.weight)

    def decode(self, x: Float[Tensor, "B 1 D"], norm: RMSNorm, call: Call, state: LayerState) -> Float[Tensor, "B 1 D"]:
        hidden = _few.mapped(x[:, 0], self.into.weight, norm, act=self.kind)
        return _few.mapped(hidden, self.out.weight, residual=x[:, 0]).unsqueeze(1)


class Block(nn.Module):
    """x + mixer(norm(x)), then x + feed_forward(norm(x)).

    Parts are called through `forward`, without the hooks of a module's call: four of those a layer are 5% of a decode
    step of a small model. Hooks on a block as a whole work. A part that has a `decode` computes x + part(norm(x)) of a
    few single tokens on a GPU by itself.
    """

    def __init__(self, mixer_norm: nn.Module, mixer: nn.Module, ffn_norm: nn.Module, ffn: nn.Module):
        super().__init__()
        self.mixer_norm, self.mixer, self.ffn_norm, self.ffn = mixer_norm, mixer, ffn_norm, ffn

    def forward(self, x: Float[Tensor, "B T D"], call: Call, state: LayerState) -> Float[Tensor, "B T D"]:
        if call.form == "recurrent" and _few.fits(x):
            for part, norm in ((self.mixer, self.mixer_norm), (self.ffn, self.ffn_norm)):
                alone = hasattr(part, "decode") and isinstance(norm, RMSNorm)
                x = part.decode(x, norm, call, state) if alone else x + part.forward(norm.forward(x), call, state)
            return x
        x = x + self.mixer.forward(self.mixer_norm.forward(x), call, state)
        return x + self.ffn.forward(self.ffn_norm.forward(x), call, state)
