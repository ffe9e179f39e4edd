"""The Transformer: causal softmax attention (Vaswani et al. 2017) as Llama builds it, with RoPE and SwiGLU.

Letters: B batch, T new tokens, S token slots up to the last of them, D width, H query heads, G heads of keys and
values (G = H, or fewer: grouped queries, Ainslie et al. 2023), K = D/H size of a head.

    o_n = sum_{m <= n} softmax_m(q_n . k_m / sqrt(K)) v_m

The softmax forbids a state of fixed size: what is carried from token to token is every key and value so far, the
cache, `k` and `v` [B, G, capacity, K], keys already rotated. Forms: `recurrent`, one token after the other over the
cache, is the definition; `parallel` takes all tokens at once, after whatever the cache holds.

Options. `implementation`: `sdpa` is torch's fused attention, given no mask where none is needed, so that it may choose
a flash kernel; `eager` writes the T by S weights out, as code from before fused kernels did. `cache`: `preallocated`
reserves slots, writes in place and doubles when full; `concatenated` copies the whole cache at every token, the usual
naive baseline. `rotation`: `rope`, `xpos` (RoPE whose scores also shrink with the distance), or `none`: no positions
at all. Neighbouring features are turned as pairs, as in RoFormer; Llama pairs i with i + K/2, which is the same but for
the order of features. `kv_heads`: G, None for H.

Cost of one mixer over T tokens after C: 4 D T (C + T) FLOPs in parallel form. The square is counted whole, as torch's
counter does and `eager` executes; a causal flash kernel skips up to half of it, and no more than the other half is
needed (`needed_flops`). The backward pass of the two products costs four; that of `sdpa` computes the scores again, a
fifth (see `Model.flops`).
"""

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor, nn

from models import _decoding
from models._attention import Visible, parallel, recurrent, reserved_slots, visible_slots
from models._cache import extend
from models._cost import Chosen, CommonOptions, Count, Shape
from models._layers import added
from models._lm import LanguageModel, Operation
from models._projection import projected
from models._rotary import refuse_odd, rope_angles, turned, turns, xpos_scale
from models._state import Call, LayerState
from models._traffic import Traffic, attention_traffic


@dataclasses.dataclass(frozen=True)
class Options(CommonOptions):
    implementation: str = "sdpa"
    cache: str = "preallocated"
    rotation: str = "rope"
    kv_heads: int | None = None  # None: as many as heads

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        **CommonOptions.CHOICES,
        "implementation": ("sdpa", "eager"),
        "cache": ("preallocated", "concatenated"),
        "rotation": ("rope", "xpos", "none"),
    }


@dataclasses.dataclass
class Shared:
    """What all layers of one pass need: what pairs of features are multiplied by, and which slots a query sees."""

    turn: Complex[Tensor, "*batch T heads P"] | None  # one for all heads, or with xPos one for each of q and k
    visible: Visible


class Attention(nn.Module):
    """Queries, keys and values of every head, softmax attention, and the projection back."""

    def __init__(self, width: int, heads: int, options: Options):
        super().__init__()
        self.heads, self.kv_heads = heads, options.kv_heads or heads
        self.size, self.options = width // heads, options
        self.parts = [(heads + self.kv_heads) * self.size, self.kv_heads * self.size]  # q and k, v
        self.into = nn.Linear(width, sum(self.parts), bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Float[Tensor, "B T D"], call: Call, state: LayerState) -> Float[Tensor, "B T D"]:
        shared: Shared = call.shared
        qk, v = projected(x, self.into.weight, self.parts)
        qk, v = qk.unflatten(-1, (-1, self.size)), v.unflatten(-1, (-1, self.size))
        if shared.turn is not None:
            qk = turned(qk, shared.turn)
        q, k = qk.transpose(1, 2).split((self.heads, self.kv_heads), 1)
        v = v.transpose(1, 2)
        if call.keep_state or state:
            for name, new in (("k", k), ("v", v)):
                state[name] = extend(state.get(name), new, call, self.options.cache)
        visible = shared.visible
        if call.position is not None:
            k, v = state["k"], state["v"]
            visible = reserved_slots(call, k)
        elif call.seen:
            end = call.seen + x.shape[1]
            k, v = state["k"][:, :, :end], state["v"][:, :, :end]
        form = parallel if call.form == "parallel" else recurrent
        return self.out(form(q, k, v, visible, self.options.implementation).transpose(1, 2).flatten(2))

    def programmed(self, call: Call) -> bool:
        """Whether our own program does this step: it counts on the device, and torch's would read every slot."""
        return call.position is not None and self.options.implementation == "sdpa"

    def decode(
        self, x: Float[Tensor, "B 1 D"], delta: _decoding.Parts, norm: _decoding.Norm, call: Call, state: LayerState
    ) -> _decoding.Pair:
        """`forward` of one token by a few programs where the step counts on the device."""
        if not self.programmed(call):
            x, y = added(x, _decoding.summed(delta, x), norm)
            return x, self.forward(y, call, state).transpose(0, 1)
        x, qkv = _decoding.read(x, delta, norm, self.into.weight, portion=call.portions.into)
        return _decoding.write(x, self.step(qkv, call, state), self.out.weight, portion=call.portions.out)

    def step(self, qkv: Float[Tensor, "B _"], call: Call, state: LayerState) -> Float[Tensor, "B D"]:
        """Attention of one token; writes its key and value into the cache."""
        from models._kernels import attend

        q, k, v = qkv.unflatten(-1, (-1, self.size)).split((self.heads, self.kv_heads, self.kv_heads), 1)
        turn = call.shared.turn if call.shared.turn is None else call.shared.turn.squeeze(-3)
        return attend.attend_(q, k, v, turn, state["k"], state["v"], call.position, call.padding).flatten(1)


class Model(LanguageModel):
    title = "Transformer"
    colour = "#000000"
    marker = "s"
    citation = "Vaswani et al. 2017, Attention Is All You Need, arXiv:1706.03762; as in Llama, arXiv:2302.13971"
    forms = ("parallel", "recurrent")
    default_form = "parallel"
    tuned = ({}, {"kv_heads": 1})
    Options = Options

    @property
    def layers_title(self) -> str:
        fewer = (self.options.kv_heads or self.shape.heads) < self.shape.heads
        return f"{self.title}, fewer key heads" if fewer else self.title

    def build_mixer(self, layer: int) -> nn.Module:
        return Attention(self.shape.width, self.shape.heads, self.options)

    def share(self, call: Call) -> Shared:
        length, device = call.positions.shape[-1], call.positions.device
        if call.position is not None:
            return Shared(self.turn(call.positions) if self.options.rotation != "none" else None, None)
        late = call.form == "parallel" and length > 1 and (call.seen > 0 or self.options.implementation == "eager")
        visible = visible_slots(call, length, device) if late or call.padding is not None else None
        return Shared(self.turn(call.positions) if self.options.rotation != "none" else None, visible)

    def turn(self, positions: Int[Tensor, "*any T"]) -> Complex[Tensor, "*any T heads P"]:
        """e^(i position angle), with xPos times its scale for queries and its inverse for keys."""
        size, kv_heads = self.shape.width // self.shape.heads, self.options.kv_heads or self.shape.heads
        turn = turns(positions, rope_angles(size, device=positions.device), self.embedding.weight.dtype).unsqueeze(-2)
        if self.options.rotation == "rope":
            return turn
        scale = xpos_scale(positions, size, centre=self.shape.max_length / 2).unsqueeze(-2)
        q, k = (
            part.to(turn.real.dtype).expand(*turn.shape[:-2], n, -1)
            for part, n in ((scale, self.shape.heads), (1 / scale, kv_heads))
        )
        return turn * torch.cat((q, k), -2)

    @classmethod
    def counts_on_device(cls, options: Chosen) -> bool:
        return options.cache == "preallocated"

    @classmethod
    def operation(cls, shape: Shape, options: Chosen, batch: int, length: int, like: Tensor) -> Operation:
        K, groups = shape.width // shape.heads, options.kv_heads or shape.heads
        parts = [torch.randn(batch, length, n, K, dtype=like.dtype, device=like.device).transpose(1, 2)
                 for n in (shape.heads, groups, groups)]  # fmt: skip
        visible = None
        if options.implementation == "eager":
            visible = torch.ones(length, length, dtype=torch.bool, device=like.device).tril()
        return lambda q, k, v: parallel(q, k, v, visible, options.implementation), parts

    @classmethod
    def check(cls, shape: Shape, options: Chosen) -> None:
        super().check(shape, options)
        if options.kv_heads is not None and (options.kv_heads < 1 or shape.heads % options.kv_heads):
            allowed = ", ".join(str(n) for n in range(1, shape.heads + 1) if shape.heads % n == 0)
            raise ValueError(f"kv_heads is {options.kv_heads}; with {shape.heads} heads it must be one of {allowed}")
        if options.rotation != "none":
            refuse_odd(shape)

    @classmethod
    def mixer_count(cls, shape: Shape, options: Chosen) -> Count:
        kv_width = shape.width // shape.heads * (options.kv_heads or shape.heads)
        return Count(2 * shape.width * (shape.width + kv_width))

    @classmethod
    def mixing_flops(cls, shape: Shape, options: Chosen, form: str, length: int, context: int = 0) -> int:
        """Two products, of queries with keys and of weights with values; see the head of this file."""
        pairs = length * (context + length)
        if form == "recurrent":
            pairs = length * context + length * (length + 1) // 2
        return 4 * shape.width * pairs

    @classmethod
    def flops(
        cls, shape: Shape, options: Chosen, form: str, length: int, context: int = 0, backward: bool = False
    ) -> int:
        """As everywhere; the backward pass of `sdpa` also computes the scores again, 2 D T (C + T) per layer more."""
        total = super().flops(shape, options, form, length, context, backward)
        if backward and options.implementation == "sdpa":
            total += shape.layers * cls.mixing_flops(shape, options, form, length, context) // 2
        return total

    @classmethod
    def needed_flops(
        cls, shape: Shape, options: Chosen, form: str, length: int, context: int = 0, backward: bool = False
    ) -> int:
        """As everywhere: what `sdpa` computes again counts once."""
        once = dataclasses.replace(options, implementation="eager")
        return super().needed_flops(shape, once, form, length, context, backward)

    @classmethod
    def skips_masked(cls, options: Chosen) -> bool:
        return options.implementation == "sdpa"

    @classmethod
    def layer_state_bytes(cls, shape: Shape, options: Chosen, batch: int, capacity: int, itemsize: int) -> int:
        kv_width = shape.width // shape.heads * (options.kv_heads or shape.heads)
        return 2 * batch * capacity * kv_width * itemsize

    @classmethod
    def mixer_traffic(cls, shape: Shape, options: Chosen, form: str, length: int, backward: bool = False) -> Traffic:
        fused = options.implementation == "sdpa"
        if form == "parallel" or length == 1:
            return attention_traffic(shape.width, shape.heads, 0 if length == 1 else length, fused, backward)
        each = attention_traffic(shape.width, shape.heads, length // 2, fused, backward)
        return dataclasses.replace(each, launches=each.launches + (6 if backward else 2) * length, on_gpu=None)

    @classmethod
    def state_passes(cls, options: Chosen, least: bool = False) -> float:
        """The cache is read; a concatenated one is copied before that."""
        return 3.0 if options.cache == "concatenated" and not least else 1.0

    @classmethod
    def steps_in_place(cls, options: Chosen) -> bool:
        return options.cache == "preallocated"

    @classmethod
    def steps_by_programs(cls, options: Chosen) -> bool:
        return options.implementation == "sdpa" and cls.counts_on_device(options)
