"""What all architectures share between their mixers. Letters: B batch, T tokens, D width."""

from typing import TypeGuard

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models import _decoding, _kernels
from models._gate import gated
from models._norm import RMSNorm
from models._projection import projected
from models._state import Call, LayerState


class FeedForward(nn.Module):
    """SwiGLU, `W_o (silu(W_g x) * W_i x)` (Shazeer 2020), or GELU, `W_o gelu(W_i x)`; no biases."""

    def __init__(self, width: int, ffn_width: int, kind: str):
        super().__init__()
        self.kind = kind
        self.into = nn.Linear(width, ffn_width * (2 if kind == "swiglu" else 1), bias=False)  # gate, then input
        self.out = nn.Linear(ffn_width, width, bias=False)

    def forward(self, x: Float[Tensor, "B T D"], call: Call, state: LayerState) -> Float[Tensor, "B T D"]:
        if self.kind == "swiglu":
            gate, hidden = projected(x, self.into.weight, [self.out.in_features] * 2)
            return F.linear(gated(gate, hidden), self.out.weight)
        return F.linear(F.gelu(F.linear(x, self.into.weight)), self.out.weight)

    def decode(
        self, x: Float[Tensor, "B 1 D"], delta: _decoding.Parts, norm: _decoding.Norm, call: Call, state: LayerState
    ) -> _decoding.Pair:
        x, hidden = _decoding.read(x, delta, norm, self.into.weight, self.kind, call.portions.up)
        return _decoding.write(x, hidden, self.out.weight, portion=call.portions.down)


def known(norm: nn.Module) -> TypeGuard[_decoding.Norm]:
    """Whether the programs of `_kernels` compute this norm: an RMS norm, or a layer norm with a bias."""
    if isinstance(norm, nn.LayerNorm):
        return type(norm).forward is nn.LayerNorm.forward and norm.bias is not None and norm.weight.dim() == 1
    return isinstance(norm, RMSNorm) and type(norm).forward is RMSNorm.forward


def added(
    x: Float[Tensor, "B T D"], delta: Float[Tensor, "B T D"] | None, norm: nn.Module
) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B T D"]]:
    """x + delta and its norm: on a GPU in one pass over the data, and in one pass back."""
    if delta is None:
        return x, norm.forward(x)
    if _kernels.usable(x) and known(norm) and x.shape == delta.shape and x.dtype == delta.dtype == norm.weight.dtype:
        from models._kernels.norm import add_norm

        bias = norm.bias if isinstance(norm, nn.LayerNorm) else None
        return add_norm(x, delta, norm.weight, bias, norm.eps, bias is not None)
    x = x + delta
    return x, norm.forward(x)


class Block(nn.Module):
    """x + mixer(norm(x)), then x + feed_forward(norm(x)), the second sum left to the next block's norm: a block takes
    and gives x and what is still to be added to it.

    Parts are called through `forward`, without the hooks of a module's call: four of those a layer are 5% of a decode
    step of a small model. Hooks on a block as a whole work; what it gives is such a pair. Of a few single tokens on a
    GPU what is to be added stands in terms, [S, B, D], and a part that has a `decode` adds them up itself, by programs:
    one whose `implementation` is torch is called as anywhere.
    """

    def __init__(self, mixer_norm: nn.Module, mixer: nn.Module, ffn_norm: nn.Module, ffn: nn.Module):
        super().__init__()
        self.mixer_norm, self.mixer, self.ffn_norm, self.ffn = mixer_norm, mixer, ffn_norm, ffn

    def forward(
        self, x: Float[Tensor, "B T D"], delta: Float[Tensor, "_ _ D"] | None, call: Call, state: LayerState
    ) -> tuple[Float[Tensor, "B T D"], Tensor | None]:
        if _decoding.fits(x, call.form):
            return self.decode(x, delta, call, state)
        x, y = added(x, delta, self.mixer_norm)
        x, y = added(x, self.mixer.forward(y, call, state), self.ffn_norm)
        return x, self.ffn.forward(y, call, state)

    def decode(
        self, x: Float[Tensor, "B 1 D"], delta: _decoding.Parts, call: Call, state: LayerState
    ) -> _decoding.Pair:
        begun = bool(state)  # a first token is left to what knows how to start
        for part, norm in ((self.mixer, self.mixer_norm), (self.ffn, self.ffn_norm)):
            decode = None if getattr(part, "implementation", "") == "torch" else getattr(part, "decode", None)
            if decode is not None and begun and known(norm):
                x, delta = decode(x, delta, norm, call, state)
            else:
                x, y = added(x, _decoding.summed(delta, x), norm)
                delta = part.forward(y, call, state).transpose(0, 1)
        return x, delta
