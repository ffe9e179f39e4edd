"""Linear attention (Katharopoulos et al. 2020): softmax attention whose exp(q.k) is a product of features.

Letters: B batch, T tokens, D width, H heads, K size of a query or key head, F features of one, V = D/H size of a value
head, C chunk length. phi, the feature map, is one of those in `models/_feature_maps.py`.

    S_n = S_{n-1} + phi(k_n)^T v_n    z_n = z_{n-1} + phi(k_n)    y_n = phi(q_n) S_n / (phi(q_n) . z_n + eps)

All tokens weigh the same however old, so the state, S and z [F, V + 1] of each head, never forgets. The operation is
retention without decay, and shares its three forms: `recurrent` is the definition, `parallel` makes the T by T products
of features, `chunkwise` does so within chunks. z is S's last column, that of a value which is always one, except where
features are turned.

Options. `normaliser`: `sum` divides by phi(q).z, `none` does not (its outputs grow with the length: give it
`output_norm`, an RMS norm of each head, as in RetNet). `rotation`: S and z do not know in which order tokens came. The
authors add sinusoids to the embeddings; here `rope` turns q and k where phi stands for a function of q.k (taylor,
favor, hedgehog), and where phi works feature by feature (elu, relu, cosformer) the features, in the numerator only, as
the denominator must stay positive (RoFormer, Su et al. 2021, arXiv:2104.09864, section 3.3). `none` leaves positions
out. `feature_size`: features of favor (K ln K where none is given), or the size to which taylor projects queries and
keys (16, as in Based).

eps is 1e-6 and added, as in the authors' code: it makes 0 of tokens that share no feature with any earlier one.
Cost of one mixer over T tokens: about 2 T C H (F + V) + 4 T H F V FLOPs chunkwise, exactly as `mixing_flops` says.
"""

import dataclasses
import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models import _decoding, _sums
from models import _feature_maps as maps
from models import _retention as retention
from models._cost import Chosen, CommonOptions, Count, Shape, retention_flops
from models._lm import LanguageModel, Operation
from models._projection import projected
from models._rotary import refuse_odd, rope_angles, turned, turns
from models._state import Call, LayerState
from models._sums import Turns
from models._traffic import Traffic, retention_traffic

Values = Float[Tensor, "B T H V"]


@dataclasses.dataclass(frozen=True)
class Options(CommonOptions):
    feature_map: str = "elu"
    normaliser: str = "sum"
    rotation: str = "rope"
    output_norm: bool = False
    feature_size: int | None = None  # None: what the map's authors choose
    chunk_size: int = retention.CHUNK
    implementation: str = "auto"  # chunkwise, steps: by our own programs where there are any, or torch

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        **CommonOptions.CHOICES,
        "feature_map": ("elu", "relu", "taylor", "favor", "cosformer", "hedgehog"),
        "normaliser": ("sum", "none"),
        "rotation": ("rope", "none"),
        "implementation": tuple(retention.CHUNKWISE),
    }


def sizes(shape: Shape, options: Options) -> tuple[int, int, int]:
    """K, F and V."""
    V = shape.width // shape.heads
    K = (options.feature_size or 16) if options.feature_map == "taylor" else V
    return K, maps.count(options.feature_map, K, options.feature_size), V


@dataclasses.dataclass
class Shared:
    """Rotations of all layers of one pass, of what goes into phi or comes out of it, and cosFormer's wave."""

    turn_inputs: Turns | None = None
    turn_features: Turns | None = None
    wave: Turns | None = None


def projection_flops(shape: Shape, options: Options, length: int) -> int:
    """FLOPs of favor's projection of queries and keys onto its directions."""
    K, F, _ = sizes(shape, options)
    return 4 * length * shape.heads * K * F * (options.feature_map == "favor")


class LinearAttention(nn.Module):
    """Features of queries and keys, the sums over the past, and the projection back."""

    def __init__(self, shape: Shape, options: Options):
        super().__init__()
        self.options, self.implementation = options, options.implementation
        self.heads, (self.K, F, self.V) = shape.heads, sizes(shape, options)
        self.parts = [2 * self.heads * self.K, self.heads * self.V]  # q and k, v
        self.into = nn.Linear(shape.width, sum(self.parts), bias=False)
        self.out = nn.Linear(self.heads * self.V, shape.width, bias=False)
        self.phi = maps.FeatureMap(options.feature_map, self.heads, self.K, F)

    def forward(self, x: Float[Tensor, "B T D"], call: Call, state: LayerState) -> Float[Tensor, "B T D"]:
        options, shared = self.options, call.shared
        if call.continues(x, state):  # overwriting it, in few operations: in a small model their overhead counts
            return self.out.forward(self.averages(self.into.forward(x), shared, state))
        how = self.implementation if call.form == "chunkwise" else "torch"
        qk, v = projected(x, self.into.weight, self.parts)
        qk, v = qk.unflatten(-1, (-1, self.K)), v.unflatten(-1, (-1, self.V))
        if shared.turn_inputs is not None:
            qk = turned(qk, shared.turn_inputs)
        phi = self.phi(qk, shared.wave).to(v.dtype)
        if call.valid is not None:
            phi = phi.masked_fill(~call.valid[:, :, None, None], 0)
        if shared.turn_features is not None:
            q, k = phi.chunk(2, 2)
            total = _sums.totals(q, k, call.keep_state, state, how) if options.normaliser == "sum" else None
            y = self.sums(turned(phi, shared.turn_features), v, call, state)
        elif options.normaliser == "sum":
            y, total = self.sums(phi, F.pad(v, (0, 1), value=1.0), call, state).split((self.V, 1), -1)
        else:
            y, total = self.sums(phi, v, call, state), None
        return self.out(_sums.normalised(y, total, v.dtype, options.output_norm, how).flatten(2))

    def sums(self, phi: Float[Tensor, "B T N F"], v: Values, call: Call, state: LayerState) -> Values:
        """phi(q_n) S_n, in the form asked for, from and to the state."""
        q, k, v = (part.transpose(1, 2) for part in (*phi.chunk(2, 2), v))
        given = q, k, v, None, state.get("S"), call.keep_state
        if call.form == "chunkwise":
            y, new = retention.CHUNKWISE[self.implementation](*given, self.options.chunk_size)
        else:
            y, new = (retention.parallel if call.form == "parallel" else retention.recurrent)(*given)
        if new is not None:
            state["S"] = new
        return y.transpose(1, 2)

    def averages(self, qkv: Float[Tensor, "B 1 N"], shared: Shared, state: LayerState) -> Float[Tensor, "B 1 _"]:
        B, H = len(qkv), self.heads
        qk, v = qkv.split(self.parts, 2)
        qk, v = qk.view(B, 1, 2 * H, self.K), v.view(B, H, self.V)
        if shared.turn_inputs is not None:
            qk = turned(qk, shared.turn_inputs)
        phi = self.phi(qk, shared.wave).to(v.dtype).view(B, 2, H, -1)
        divide = self.options.normaliser == "sum"
        return _sums.step(phi, v, shared.turn_features, state, divide, self.options.output_norm).reshape(B, 1, -1)

    def decode(
        self, x: Float[Tensor, "B 1 D"], delta: _decoding.Parts, norm: _decoding.Norm, call: Call, state: LayerState
    ) -> _decoding.Pair:
        """`forward` of one token by a few programs, overwriting the state."""
        options, turn = self.options, call.shared.turn_features
        x, qkv = _decoding.read(x, delta, norm, self.into.weight, portion=call.portions.into)
        if options.feature_map not in _sums.PROGRAMMED:
            y = self.averages(qkv.unsqueeze(1), call.shared, state)[:, 0]
            return _decoding.write(x, y, self.out.weight, portion=call.portions.out)
        from models._kernels import sums

        S, z, turn = state["S"], _sums.z_of(state, self.V), turn if turn is None else turn.flatten(0, -2)
        dtype = torch.float32 if options.output_norm else x.dtype
        y, moved = sums.step_(qkv, options.feature_map, turn, S, z, self.V, _sums.EPS, dtype)
        heads = self.heads * options.output_norm
        return _decoding.write(x, y, self.out.weight, None, heads, _sums.NORM_EPS, None, moved, call.portions.out)


class Model(LanguageModel):
    title = "Linear attention"
    colour = "#E69F00"
    marker = "^"
    citation = "Katharopoulos et al. 2020, Transformers are RNNs, arXiv:2006.16236"
    forms = ("parallel", "chunkwise", "recurrent")
    default_form = "chunkwise"
    Options = Options

    def build_mixer(self, layer: int) -> nn.Module:
        return LinearAttention(self.shape, self.options)

    def share(self, call: Call) -> Shared:
        """Raises ValueError past the last position that cosFormer weighs."""
        options, M, shared = self.options, self.shape.max_length, Shared()
        (K, F, _), dtype, device = sizes(self.shape, options), self.embedding.weight.dtype, call.positions.device
        if options.rotation == "rope":
            angles = rope_angles(F if maps.turns_features(options) else K, device=device)
            turn = turns(call.positions, angles, dtype).unsqueeze(-2)
            shared = Shared(None, turn) if maps.turns_features(options) else Shared(turn)
        if options.feature_map == "cosformer":
            if (slots := call.seen + call.positions.shape[-1]) > M and call.positions.max() >= M:
                raise ValueError(f"cosformer weighs {M} positions; for {slots} tokens choose a larger max_length")
            angle = torch.tensor([math.pi / (2 * M)], dtype=torch.float64)
            shared.wave = turns(call.positions, angle, dtype).unsqueeze(-2)
        return shared

    @classmethod
    def counts_on_device(cls, options: Chosen) -> bool:
        return options.feature_map != "cosformer"  # whose last position the host must watch

    @classmethod
    def operation(cls, shape: Shape, options: Chosen, batch: int, length: int, like: Tensor) -> Operation:
        _, F, V = sizes(shape, options)
        return _sums.operation(options, like, (batch, length, shape.heads, F), V, maps.turns_features(options))

    @classmethod
    def check(cls, shape: Shape, options: Chosen) -> None:
        super().check(shape, options)
        for name in ("chunk_size", "feature_size"):
            if getattr(options, name) is not None and getattr(options, name) < 1:
                raise ValueError(f"{name} is {getattr(options, name)}; it must be at least 1")
        if options.feature_size is not None and options.feature_map not in ("taylor", "favor"):
            size, has = options.feature_size, f"the feature map {options.feature_map} has no choice of size"
            raise ValueError(f"feature_size is {size}, but {has}; leave it out, or use taylor or favor")
        if options.feature_map == "favor" and options.normaliser == "none":
            raise ValueError("favor is defined up to a factor that the normaliser cancels; set normaliser to sum")
        K, F, _ = sizes(shape, options)
        turned = F if maps.turns_features(options) else K
        if options.rotation == "rope" and turned % 2:
            refuse_odd(shape, "feature_size", K if options.feature_map == "taylor" else None)

    @classmethod
    def mixer_count(cls, shape: Shape, options: Chosen) -> Count:
        K, _, _ = sizes(shape, options)
        maps_of_heads = 2 * shape.heads * K**2 if options.feature_map == "hedgehog" else 0
        return Count(2 * shape.width * (shape.heads * K + shape.width) + maps_of_heads)

    @classmethod
    def mixing_flops(cls, shape: Shape, options: Chosen, form: str, length: int, context: int = 0) -> int:
        """What sums over time, and favor's fixed projection. A z that is no column of S is no product: it counts 0."""
        _, F, V = sizes(shape, options)
        columns = V + (options.normaliser == "sum" and not maps.turns_features(options))
        sums = shape.heads * retention_flops(form, length, F, columns, options.chunk_size, context)
        return sums + projection_flops(shape, options, length)

    @classmethod
    def flops(
        cls, shape: Shape, options: Chosen, form: str, length: int, context: int = 0, backward: bool = False
    ) -> int:
        """As everywhere; going back, favor's projection costs once, as it has no weights to learn."""
        total = super().flops(shape, options, form, length, context, backward)
        return total - shape.layers * projection_flops(shape, options, length) * backward

    @classmethod
    def layer_state_bytes(cls, shape: Shape, options: Chosen, batch: int, capacity: int, itemsize: int) -> int:
        _, F, V = sizes(shape, options)
        return batch * shape.heads * F * (V + (options.normaliser == "sum")) * max(4, itemsize)

    @classmethod
    def mixer_traffic(cls, shape: Shape, options: Chosen, form: str, length: int, backward: bool = False) -> Traffic:
        heads = shape.heads, *sizes(shape, options)[1:]
        return retention_traffic(form, length, shape.width, *heads, options.chunk_size, backward)

    @classmethod
    def steps_in_place(cls, options: Chosen) -> bool:
        return True
