"""RWKV-4: token shift, an average over the past that decays by channel, and a channel mixing of its own.

What it is: Peng et al. 2023, RWKV: Reinventing RNNs for the Transformer Era, arXiv:2305.13048; the file the authors
published as RWKV-v4. Time mixing is W_o (sigmoid(r) * wkv(k, v)), channel mixing sigmoid(r) * W_o relu(k)^2, where
each of k, v, r is a projection of its own blend mu * x_t + (1 - mu) * x_{t-1} of this token and the one before.
What it is not: RWKV-5 and later, whose state is a matrix per head and which have no denominator.
Cost: O(T D) beside the projections; a state of 5 D numbers per layer. `heads` play no part.

Initial values (`init`): `declared` zeroes the matrices that the authors' file declares zero, as their RWKV-v4neo does;
`published` is what the RWKV-v4 file really runs, every matrix of a block orthogonal with gain 1 (a stale variable is
read there). The decay, the bonus and the blends start the same in both. The authors shrink the last layer's ratio by
L - 1, which divides by zero for one layer; 1 is used there. L2Wrap, an addition to the loss, belongs to training and is
left out.

Letters: B batch, T tokens, D width, F feed-forward width, L layers.
"""

import dataclasses
import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models import _decoding, _gate, _wkv
from models._cost import Chosen, CommonOptions, Count, Shape
from models._lm import LanguageModel, Operation
from models._orthogonal import initialise_, orthogonal_
from models._state import Call, LayerState
from models._token_shift import blends
from models._traffic import Traffic, average_traffic


@dataclasses.dataclass(frozen=True)
class Options(CommonOptions):
    ffn: str = "channel_mix"  # RWKV's own; the RetNet paper's Table 5 took the common feed-forward instead
    init: str = "declared"
    implementation: str = "auto"  # all between products: by our own programs where there are any, or torch

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        "ffn": ("channel_mix", "swiglu", "gelu"),
        "init": ("declared", "published"),
        "implementation": _wkv.IMPLEMENTATIONS,
    }


class TimeMixing(nn.Module):
    """W_o (sigmoid(r) * wkv(k, v))."""

    def __init__(self, width: int, implementation: str = "auto"):
        super().__init__()
        self.implementation = implementation
        self.mix = nn.Parameter(torch.empty(3, width))  # of k, v, r
        self.decay = nn.Parameter(torch.empty(width))  # w = -exp(decay)
        self.first = nn.Parameter(torch.empty(width))  # u
        self.into = nn.Linear(width, 3 * width, bias=False)  # k, v, r side by side, each of its own blend
        self.out = nn.Linear(width, width, bias=False)

    def initialise(self, depth: float, rest: float, declared: bool) -> None:
        """`depth` runs from 0 in the first layer to 1 in the last, `rest` is the share of layers not yet passed."""
        width = self.decay.shape[0]
        h = torch.arange(width)
        self.decay.copy_(-5 + 8 * (h / max(width - 1, 1)) ** (0.7 + 1.3 * depth))
        self.first.copy_(math.log(0.3) + 0.5 * ((h + 1) % 3 - 1))
        blend = (h / width) ** rest
        self.mix.copy_(torch.stack((blend, blend + 0.3 * depth, (h / width) ** (0.5 * rest))))
        key, value, receptance = self.into.weight.chunk(3)
        initialise_([value], [key, receptance, self.out.weight], declared)

    def forward(self, x: Float[Tensor, "B T D"], call: Call, state: LayerState) -> Float[Tensor, "B T D"]:
        if call.continues(x, state):
            return self.step(x[:, 0], state).unsqueeze(1)
        own, weights = call.between_products(self.implementation), self.into.weight.chunk(3)
        mixed = blends(x, self.mix, call, state, "time_input", own)
        k, v, r = (F.linear(part, weight) for part, weight in zip(mixed, weights, strict=True))
        if call.valid is not None:
            k = k.masked_fill(~call.valid.unsqueeze(-1), _wkv.NOTHING)
        before = _wkv.before(state, k)
        w = -torch.exp(self.decay.to(before[0].dtype))
        y, after = _wkv.wkv(k, v, w, self.first, before, call.form, own)
        if call.keep_state:
            _wkv.keep(state, after)
        return self.out(_gate.opened(r, y, own))

    def step(self, x: Float[Tensor, "B D"], state: LayerState) -> Float[Tensor, "B D"]:
        """The same for one token: `bmm` costs less than three products, no list of steps is made."""
        mixed = torch.lerp(state["time_input"], x, self.mix.unsqueeze(1))
        k, v, r = torch.bmm(mixed, self.into.weight.view(3, *self.out.weight.shape).mT).unbind(0)
        before = _wkv.held(state)
        k, v, decay, first = (part.to(before[0].dtype) for part in (k, v, self.decay, self.first))
        y, after = _wkv.step(k, v, -torch.exp(decay), first, before)
        state["time_input"] = x
        _wkv.keep(state, after)
        return F.linear(torch.sigmoid(r) * y.to(r.dtype), self.out.weight)

    def decode(
        self, x: Float[Tensor, "B 1 D"], delta: _decoding.Parts, norm: _decoding.Norm, call: Call, state: LayerState
    ) -> _decoding.Pair:
        """`forward` of one token by a few programs, overwriting the state."""
        from models._kernels import average

        given, held = (self.mix, state["time_input"], self.into.weight), call.portions
        x, (k, v, r), moved = _decoding.shifted(x, delta, norm, *given, portion=held.into)
        y = average.wkv_(k, v, r, self.decay, self.first, _wkv.held(state), moved)
        return _decoding.write(x, y, self.out.weight, portion=held.out)


class ChannelMixing(nn.Module):
    """sigmoid(r) * W_o relu(k)^2."""

    def __init__(self, width: int, ffn_width: int, implementation: str = "auto"):
        super().__init__()
        self.implementation = implementation
        self.mix = nn.Parameter(torch.empty(2, width))  # of k, r
        self.key = nn.Linear(width, ffn_width, bias=False)
        self.receptance = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(ffn_width, width, bias=False)

    def initialise(self, depth: float, rest: float, declared: bool) -> None:
        width = self.mix.shape[1]
        self.mix.copy_((torch.arange(width) / width) ** rest)
        initialise_([self.key.weight], [self.receptance.weight, self.out.weight], declared)

    def forward(self, x: Float[Tensor, "B T D"], call: Call, state: LayerState) -> Float[Tensor, "B T D"]:
        if call.continues(x, state):
            return self.step(x[:, 0], state).unsqueeze(1)
        own = call.between_products(self.implementation)
        for_k, for_r = blends(x, self.mix, call, state, "channel_input", own)
        return _gate.opened(self.receptance(for_r), self.out(_gate.squared_relu(self.key(for_k), own)), own)

    def step(self, x: Float[Tensor, "B D"], state: LayerState) -> Float[Tensor, "B D"]:
        for_k, for_r = torch.lerp(state["channel_input"], x, self.mix.unsqueeze(1)).unbind(0)
        state["channel_input"] = x
        hidden = torch.relu(F.linear(for_k, self.key.weight))
        return F.linear(for_r, self.receptance.weight).sigmoid_() * F.linear(hidden * hidden, self.out.weight)

    def decode(
        self, x: Float[Tensor, "B 1 D"], delta: _decoding.Parts, norm: _decoding.Norm, call: Call, state: LayerState
    ) -> _decoding.Pair:
        """`forward` of one token by a few programs, overwriting the state."""
        maps = self.mix, state["channel_input"], self.key.weight, self.receptance.weight
        x, (hidden, r), moved = _decoding.shifted(x, delta, norm, *maps, portion=call.portions.up)
        return _decoding.write(x, hidden, self.out.weight, opened=r, moved=moved, portion=call.portions.down)


class Model(LanguageModel):
    title = "RWKV-4"
    colour = "#009E73"
    marker = "D"
    citation = "Peng et al. 2023, arXiv:2305.13048"
    forms = ("recurrent", "scan", "chunkwise")
    default_form = "scan"

    Options = Options

    def build_mixer(self, layer: int) -> nn.Module:
        return TimeMixing(self.shape.width, self.options.implementation)

    def build_ffn(self, layer: int) -> nn.Module:
        if self.options.ffn == "channel_mix":
            return ChannelMixing(self.shape.width, self.shape.ffn_width, self.options.implementation)
        return super().build_ffn(layer)

    def build_norm(self) -> nn.Module:
        return nn.LayerNorm(self.shape.width)

    def build_embedding_norm(self) -> nn.Module:
        return nn.LayerNorm(self.shape.width)

    @torch.no_grad()
    def initialise(self) -> None:
        """RWKV's own values; a common feed-forward starts as in the other models."""
        super().initialise()
        D, V, L = self.shape.width, self.shape.vocabulary, self.shape.layers
        orthogonal_(self.embedding.weight, 1e-4 * math.sqrt(max(V, D)))
        orthogonal_(self.head.weight, gain=0.5 * math.sqrt(max(V / D, 1)))
        for layer, block in enumerate(self.blocks):
            for part in block.children():
                if isinstance(part, TimeMixing | ChannelMixing):
                    part.initialise(layer / max(L - 1, 1), 1 - layer / L, self.options.init == "declared")

    @classmethod
    def counts_on_device(cls, options: Chosen) -> bool:
        return True

    @classmethod
    def operation(cls, shape: Shape, options: Chosen, batch: int, length: int, like: Tensor) -> Operation:
        return _wkv.operation(like, batch, length, shape.width, cls.default_form, options.implementation)

    @classmethod
    def default_ffn_width(cls, width: int, options: Chosen) -> int:
        return 4 * width if options.ffn == "channel_mix" else super().default_ffn_width(width, options)

    @classmethod
    def mixer_count(cls, shape: Shape, options: Chosen) -> Count:
        return Count(4 * shape.width**2, 5 * shape.width)

    @classmethod
    def ffn_count(cls, shape: Shape, options: Chosen) -> Count:
        if options.ffn == "channel_mix":
            return Count(2 * shape.width * shape.ffn_width + shape.width**2, 2 * shape.width)
        return super().ffn_count(shape, options)

    @classmethod
    def norm_parameters(cls, shape: Shape, options: Chosen) -> int:
        return 2 * (2 * shape.layers + 2) * shape.width  # weights and biases, and the norm after the embedding

    @classmethod
    def mixing_flops(cls, shape: Shape, options: Chosen, form: str, length: int, context: int = 0) -> int:
        """Numerator and denominator are updated and read, a multiply-add each; the parallel forms update them twice."""
        return (8 if form == "recurrent" else 12) * shape.width * length

    @classmethod
    def layer_state_bytes(cls, shape: Shape, options: Chosen, batch: int, capacity: int, itemsize: int) -> int:
        inputs = 2 if options.ffn == "channel_mix" else 1
        return batch * shape.width * (inputs * itemsize + 3 * max(itemsize, 4))

    @classmethod
    def mixer_traffic(cls, shape: Shape, options: Chosen, form: str, length: int, backward: bool = False) -> Traffic:
        return average_traffic(form, length, shape.width, 6, backward)  # blends, and k, v and r of them

    @classmethod
    def ffn_traffic(cls, shape: Shape, options: Chosen, backward: bool = False) -> Traffic:
        """Of channel mixing its two blends, the square and the gate; forward there are its blends, r, and k up to its
        square, which operators have beside relu(k)."""
        if options.ffn != "channel_mix":
            return super().ffn_traffic(shape, options, backward)
        D, F = shape.width, shape.ffn_width
        if backward:
            return Traffic(16, 20 * D + 9 * F, 4 * D + 2 * F)
        on_gpu = Traffic(8, 8 * D + 4 * F, 3 * D + 2 * F) if options.implementation == "auto" else None
        return Traffic(8, 8 * D + 4 * F, 3 * D + 3 * F, on_gpu)
