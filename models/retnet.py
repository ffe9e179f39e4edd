"""RetNet: multi-scale retention (Sun et al. 2023, arXiv:2307.08621).

Letters: B batch, T tokens, D width, H heads, K = D/H size of a query or key head, V size of a value head.

Each head h rotates queries and keys by their positions and lets what it has read fade by its own gamma_h:

    S_n = gamma_h S_{n-1} + k_n^T v_n      o_n = q_n S_n      y = W_o (swish(W_g x) * norm(o)), norm per head

Of its relatives it is: linear attention with a fixed decay and a rotation, without feature map and normaliser. State:
H K V numbers. Cost in chunks of C tokens: about 2 T C H (K + V) + 4 T H K V FLOPs, exactly as `mixing_flops` says.

Where this departs from the paper:
- One scaling for all forms: k carries K^-1/2 and retention is not normalised before the head norm. The paper and its
  code divide by sums that differ by form, which the norm undoes only up to its eps: their forms differ by 2-29%.
- Norms are RMSNorm, that of heads without weights, as in the authors' code of late 2023; not GroupNorm and LayerNorm.
- Initial values are the code's under both presets: xavier, gain 2^-2.5 (output 2^-1), embedding and head N(0, 1/D).
"""

import dataclasses
import functools
import math
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models import _decay, _decoding, _gate, _norm, _projection, _retention, _retnet_tables, _rotary, _rounding
from models._cost import Chosen, CommonOptions, Count, Shape, retention_flops
from models._lm import LanguageModel, Operation
from models._state import Call, LayerState, state_dtype
from models._traffic import Traffic, retention_traffic

PRESETS: dict[str, dict[str, Any]] = {
    "torchscale": {"value_factor": 1.6875, "gamma": "torchscale", "ffn": "swiglu"},
    "paper": {"value_factor": 2.0, "gamma": "paper", "ffn": "gelu"},
}
ANGLES = {"retnet": _rotary.retnet_angles, "rope": _rotary.rope_angles}


@dataclasses.dataclass(frozen=True)
class Options(CommonOptions):
    """`ffn`, `gamma` and `value_factor` left at None take the preset's value when the options are made.

    `paper`: values and feed-forward 2 D wide, GELU. `torchscale`, the authors' code and later default: both 1.6875 D,
    SwiGLU. `gamma` is a schedule of `_decay.schedule`, `learned` from the preset's schedule on, or one number per head.
    """

    preset: str = "torchscale"
    ffn: str = None  # type: ignore[assignment]
    gamma: str | tuple[float, ...] = None  # type: ignore[assignment]
    value_factor: float = None  # type: ignore[assignment]  # value width over D, rounded to a whole number per head
    gate: bool = True  # multiply by swish(W_g x)
    group_norm: bool = True  # norm of each head; without it o_n is divided by sqrt(sum_{m<=n} gamma^(n-m))
    norm_eps: float = 1e-6  # of that norm
    rotation: str = "retnet"
    head_size: int | None = None  # K, whence H = D/K; None: the shape's heads
    chunk_size: int = _retention.CHUNK
    state_dtype: str = "float32"  # of the state between tokens, float32 at least; bfloat16: see `_rounding`
    implementation: str = "auto"  # chunkwise, gate, steps: by our own programs if there are any, or torch

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        "preset": ("torchscale", "paper"),
        **CommonOptions.CHOICES,
        "gamma": ("torchscale", "paper", "none", "single", "learned"),
        "rotation": ("retnet", "rope", "none"),
        "state_dtype": ("float32", "bfloat16"),
        "implementation": tuple(_retention.CHUNKWISE),
    }

    def __post_init__(self) -> None:
        for name in ("ffn", "gamma", "value_factor"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, PRESETS.get(self.preset, PRESETS["torchscale"])[name])


def sizes(shape: Shape, options: Options) -> tuple[int, int, int]:
    """H, K and V."""
    heads = shape.heads if options.head_size is None else shape.width // options.head_size
    return heads, shape.width // heads, round(shape.width * options.value_factor / heads)


class Retention(nn.Module):
    """Multi-scale retention: the mixer."""

    def __init__(self, shape: Shape, options: Options):
        super().__init__()
        self.options = options
        self.implementation = options.implementation
        self.heads, self.K, self.V = sizes(shape, options)
        values = self.heads * self.V
        self.parts = [shape.width, shape.width, values] + ([values] if options.gate else [])  # q, k, v, gate
        self.into = nn.Linear(shape.width, sum(self.parts), bias=False)
        self.out = nn.Linear(values, shape.width, bias=False)
        self.gamma_logit = nn.Parameter(torch.empty(self.heads)) if options.gamma == "learned" else None

    def initialise(self) -> None:
        for part in self.into.weight.split(self.parts):
            nn.init.xavier_uniform_(part, gain=2**-2.5)
        nn.init.xavier_uniform_(self.out.weight, gain=2**-1)
        if self.gamma_logit is not None:
            self.gamma_logit.copy_(_decay.logits(PRESETS[self.options.preset]["gamma"], self.heads))

    def forward(self, x: Float[Tensor, "B T D"], call: Call, state: LayerState) -> Float[Tensor, "B T D"]:
        if call.continues(x, state):
            return self.step(x, call, state["S"])
        if call.valid is not None:
            x = x * call.valid.unsqueeze(-1)  # no biases: q = k = v = 0 on padding
        q, k, v, *gate = _projection.projected(x, self.into.weight, self.parts)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        q, k = call.shared.turned(q, k)
        held = state["S"].to(state_dtype(v.dtype)) if "S" in state else None
        given = q, k, v, call.shared.log_decays(self.gamma_logit), held, call.keep_state
        options = self.options
        if call.form == "parallel":
            o, S = _retention.parallel(*given, call.shared.D)
        elif call.form == "chunkwise":
            o, S = _retention.CHUNKWISE[self.implementation](*given, options.chunk_size)
        else:
            o, S = _retention.recurrent(*given)
        if S is not None:
            state["S"] = _rounding.dithered(S, call.last) if options.state_dtype == "bfloat16" else S
        y = o.transpose(1, 2) if options.group_norm else self.evened(o.transpose(1, 2), call)
        eps = options.norm_eps if options.group_norm else None
        opener = gate[0].view_as(y) if gate else None
        return self.out(_gate.gated(opener, y, eps, call.between_products(self.implementation)).flatten(2))

    def step(self, x: Float[Tensor, "B 1 D"], call: Call, S: Float[Tensor, "B H K V"]) -> Float[Tensor, "B 1 D"]:
        """`forward` of one token, overwriting the state, in few operations: in a small model their overhead counts."""
        B, H, held, options = len(x), self.heads, S, self.options
        S = held.to(state_dtype(self.into.weight.dtype))  # itself where it is not rounded
        qk, v, *gate = self.into.forward(x).to(S.dtype).split([2 * x.shape[2], *self.parts[2:]], 2)
        q, k = call.shared.turned_of_token(qk.contiguous().view(B, 2, H, self.K))
        gamma = call.shared.gammas(self.gamma_logit, S.dtype)
        y = _retention.step_(q, k, v.view(B, H, self.V), gamma, S)
        if S is not held:
            held.copy_(_rounding.dithered(S, call.last))
        y = _norm.rms_norm(y, None, options.norm_eps) if options.group_norm else self.evened(y.unsqueeze(1), call)
        y = y.view(B, 1, -1)
        y = F.silu(gate[0]) * y if gate else y
        return self.out.forward(y.to(x.dtype))

    def decode(
        self, x: Float[Tensor, "B 1 D"], delta: _decoding.Parts, norm: _decoding.Norm, call: Call, state: LayerState
    ) -> _decoding.Pair:
        """`forward` of one token by a few programs, overwriting the state."""
        from models._kernels.step import step_

        options, turn, held = self.options, call.shared.turn, call.portions
        turn = turn.flatten(1, -2) if turn.is_complex() else None
        gamma = call.shared.gammas(self.gamma_logit, torch.float32)
        x, qkv = _decoding.read(x, delta, norm, self.into.weight, portion=held.into)
        o = step_(qkv, turn, self.K**-0.5, gamma, state["S"], call.positions, held.state)
        gate = qkv[:, -self.parts[-1] :] if options.gate else None
        heads = self.heads  # whose outputs are normed one by one
        if not options.group_norm:
            o, heads = self.evened(o.unsqueeze(1), call).squeeze(1), 0
        return _decoding.write(x, o.flatten(1), self.out.weight, gate, heads, options.norm_eps, portion=held.out)

    def evened(self, o: Float[Tensor, "B T H V"], call: Call) -> Float[Tensor, "B T H V"]:
        return _decay.evened(o, call.shared.log_decays(self.gamma_logit), call.positions)


class Model(LanguageModel):
    title = "RetNet"
    colour = "#0072B2"
    marker = "o"
    citation = "Sun et al. 2023, Retentive Network, arXiv:2307.08621"
    forms = ("parallel", "chunkwise", "recurrent")
    default_form = "chunkwise"
    Options = Options

    def build_mixer(self, layer: int) -> nn.Module:
        return Retention(self.shape, self.options)

    @torch.no_grad()
    def initialise(self) -> None:
        """As the authors' code; feed-forwards keep nn.Linear's own values."""
        for part in self.modules():
            if isinstance(part, Retention):
                part.initialise()
        for weight in (self.embedding.weight, self.head.weight):
            nn.init.normal_(weight, std=self.shape.width**-0.5)

    def share(self, call: Call) -> _retnet_tables.Shared:
        heads, K, _ = sizes(self.shape, self.options)
        angles, dtype = ANGLES.get(self.options.rotation), state_dtype(self.head.weight.dtype)
        return _retnet_tables.shared(self.options.gamma, angles, heads, K, call, dtype)

    @classmethod
    def counts_on_device(cls, options: Chosen) -> bool:
        return True

    @classmethod
    def operation(cls, shape: Shape, options: Chosen, batch: int, length: int, like: Tensor) -> Operation:
        """A gamma that is learned is one of the inputs."""
        H, K, V = sizes(shape, options)
        learned, start = options.gamma == "learned", PRESETS[options.preset]["gamma"]
        decay, _ = _retnet_tables.decays(start if learned else options.gamma, H, state_dtype(like.dtype), like.device)
        run = functools.partial(_retention.CHUNKWISE[options.implementation], chunk=options.chunk_size)
        return _retention.operation(run, _retention.drawn(like, batch, length, H, K, K, V), decay, learned)

    @classmethod
    def default_ffn_width(cls, width: int, options: Chosen) -> int:
        return round(width * PRESETS[options.preset]["value_factor"])  # as the preset's values

    @classmethod
    def mixer_count(cls, shape: Shape, options: Chosen) -> Count:
        heads, K, V = sizes(shape, options)
        wide = 2 * K + (3 if options.gate else 2) * V  # queries, keys; values, output, gate
        return Count(shape.width * heads * wide, heads if options.gamma == "learned" else 0)

    @classmethod
    def mixing_flops(cls, shape: Shape, options: Chosen, form: str, length: int, context: int = 0) -> int:
        heads, K, V = sizes(shape, options)
        return heads * retention_flops(form, length, K, V, options.chunk_size, context)

    @classmethod
    def layer_state_bytes(cls, shape: Shape, options: Chosen, batch: int, capacity: int, itemsize: int) -> int:
        heads, K, V = sizes(shape, options)
        return batch * heads * K * V * (2 if options.state_dtype == "bfloat16" else max(itemsize, 4))

    @classmethod
    def mixer_traffic(cls, shape: Shape, options: Chosen, form: str, length: int, backward: bool = False) -> Traffic:
        return retention_traffic(form, length, shape.width, *sizes(shape, options), options.chunk_size, backward)

    @classmethod
    def state_passes(cls, options: Chosen, least: bool = False) -> float:
        return 2.0 if least else 3.0 if options.gamma == "none" else 5.0  # decayed, added to, read

    @classmethod
    def steps_in_place(cls, options: Chosen) -> bool:
        return True

    @classmethod
    def check(cls, shape: Shape, options: Chosen) -> None:
        named = isinstance(options.gamma, str)  # else one number per head, which is no choice
        super().check(shape, options if named else dataclasses.replace(options, gamma="none"))
        if options.head_size is not None and (options.head_size < 1 or shape.width % options.head_size):
            raise ValueError(f"head_size is {options.head_size}; it must divide the width, {shape.width}")
        K = options.head_size or shape.width // shape.heads
        for name, least in (("chunk_size", 1), ("norm_eps", 0), ("value_factor", 1 / K)):
            if not least <= (x := getattr(options, name)) < math.inf:
                raise ValueError(f"{name} is {x}; it must be {f'at least {least:.3g}' if x < least else 'finite'}")
        if options.norm_eps != cls.Options.norm_eps and not options.group_norm:
            raise ValueError("norm_eps is given without the norm it is of; leave it out, or set group_norm to true")
        if options.rotation != "none":
            _rotary.refuse_odd(shape, "head_size", options.head_size)
        _decay.check(options.gamma, shape.width // K)
