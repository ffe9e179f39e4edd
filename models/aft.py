"""AFT, the attention-free transformer: a gated average over the past whose weights know keys and positions, no query.

What it is: Zhai et al. 2021, An Attention Free Transformer, arXiv:2105.14103. Per channel,

    y_t = sigmoid(q_t) * sum_{s<=t} e^{k_s + w_{t,s}} v_s / sum_{s<=t} e^{k_s + w_{t,s}}

with a learned bias w for each pair of positions (`full`), none (`simple`), one where |t - s| < `window` and 0 elsewhere
(`local`), or one per head and distance within the window and 0 elsewhere (`conv`). A bias of 0 does not hide a key: no
variant is a sliding window. `rank` factorises the biases of `full` and `local` as u_t . v_s.
What it is not: attention. The query only gates. The authors publish no causal code; re-implementations in use lack the
mask or subtract no maximum.

The paper models language with `local` and `full`, tied to `max_length` positions. The default here is `conv`, which is
`local` with biases that depend on the distance alone, since it holds at any length. Heads matter to `conv` only.

Cost beside the projections: `simple` O(T D); `conv` and `local` O(T W D) in `chunkwise`; O(T^2 D) in `parallel`.
State: sums over the keys that left the window, 3 D numbers, and the W - 1 keys and values in it; `full` keeps them all.

Letters: B batch, T tokens, S keys in reach (the state's first), D width, H heads, W window, N blocks of W tokens.
"""

import dataclasses
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models import _average, _wkv
from models._biases import Biases
from models._cache import extend
from models._cost import Chosen, CommonOptions, Count, Shape
from models._lm import LanguageModel
from models._state import Call, LayerState

TRIPLE = ("max", "numerator", "denominator")


@dataclasses.dataclass(frozen=True)
class Options(CommonOptions):
    variant: str = "conv"
    window: int = 32  # W, of local and conv
    rank: int | None = None  # of the position biases of full and local; None: a whole table

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        "ffn": ("swiglu", "gelu"),
        "variant": ("conv", "simple", "local", "full"),
    }


class Mixer(nn.Module):
    """W_o (sigmoid(q) * average of v)."""

    def __init__(self, shape: Shape, options: Options):
        super().__init__()
        self.variant, self.max_length = options.variant, shape.max_length
        self.into = nn.Linear(shape.width, 3 * shape.width, bias=False)  # q, k, v
        self.out = nn.Linear(shape.width, shape.width, bias=False)
        heads = shape.heads if options.variant == "conv" else None
        window = shape.max_length if options.variant == "full" else options.window
        self.biases = None
        if options.variant != "simple":
            self.biases = Biases(heads, window, shape.max_length, options.rank)
        self.kept = {"simple": 0, "full": 0}.get(options.variant, options.window - 1)  # keys that stay in reach

    def forward(self, x: Float[Tensor, "B T D"], call: Call, state: LayerState) -> Float[Tensor, "B T D"]:
        q, k, v = self.into(x).chunk(3, -1)
        if call.valid is not None:
            k = k.masked_fill(~call.valid.unsqueeze(-1), _wkv.NOTHING)
        before = _wkv.empty(len(k), k.shape[2], k)
        if "max" in state:
            before = state["max"], state["numerator"], state["denominator"]
        with torch.autocast(x.device.type, enabled=False):
            y = (self.plain if self.biases is None else self.biased)(k, v, call, state, before)
        return self.out(torch.sigmoid(q) * y.to(q.dtype))

    def plain(self, k: Tensor, v: Tensor, call: Call, state: LayerState, before: _wkv.Triple) -> Float[Tensor, "B T D"]:
        """`simple`: WKV without decay, the current token counted as any other."""
        zero, form = k.new_zeros(k.shape[-1]), "scan" if call.form == "parallel" else call.form
        if call.form == "parallel":
            k_, v_ = k.to(before[0].dtype), v.to(before[0].dtype)
            y = _average.weighted(k_, v_, k_.new_full((1, k.shape[1], k.shape[1]), -torch.inf).triu(1), before)
        if call.form != "parallel" or call.keep_state:
            average, after = _wkv.wkv(k, v, zero, zero, before, form)
            y = average if call.form != "parallel" else y
        if call.keep_state:
            state.update(zip(TRIPLE, after, strict=True))
        return y

    def biased(
        self, k: Tensor, v: Tensor, call: Call, state: LayerState, before: _wkv.Triple
    ) -> Float[Tensor, "B T D"]:
        """`conv`, `local` and `full`: the keys in reach with their biases, older ones from the triple."""
        assert self.biases is not None
        T, exact = k.shape[1], before[0].dtype
        if self.variant != "conv" and call.seen + T > self.max_length:
            raise ValueError(
                f"a sequence of {call.seen + T} tokens has no position biases in AFT-{self.variant} with max_length "
                f"{self.max_length}; set shape.max_length to the longest sequence, or the variant to conv or simple"
            )
        keys, values = self.reach(k, v, call, state)
        held = keys.shape[1] - T
        t = call.positions
        s = t[..., :1] - held + torch.arange(held + T, device=t.device)
        keys_, values_ = keys.to(exact), values.to(exact)
        if call.form == "recurrent":
            y, before = self.steps(keys_, values_, t, s, before)
        elif call.form == "chunkwise":
            y = self.blocks(keys_, values_, t, before)
        else:
            w = self.biases(t, s, exact)
            y = _average.weighted(keys_, values_, w, before)
        if call.keep_state and self.variant != "full":
            self.keep(keys, values, call, state, before)
        return y

    def reach(self, k: Tensor, v: Tensor, call: Call, state: LayerState) -> tuple[Tensor, Tensor]:
        """The keys and values that biases reach, those of the state before the new ones."""
        if self.variant == "full":
            if not (call.keep_state or state):
                return k, v
            for name, new in (("keys", k), ("values", v)):
                state[name] = extend(state.get(name), new.unsqueeze(1), call)
            end = call.seen + k.shape[1]
            return state["keys"][:, 0, :end], state["values"][:, 0, :end]
        if "keys" in state:
            return torch.cat((state["keys"], k), 1), torch.cat((state["values"], v), 1)
        if call.form == "parallel":
            return k, v
        return F.pad(k, (0, 0, self.kept, 0), value=_wkv.NOTHING), F.pad(v, (0, 0, self.kept, 0))

    def keep(self, keys: Tensor, values: Tensor, call: Call, state: LayerState, before: _wkv.Triple) -> None:
        """The last W - 1 keys stay in reach; those before them go into the triple, where `steps` put them already."""
        missing = max(self.kept - keys.shape[1], 0)
        keys, values = F.pad(keys, (0, 0, missing, 0), value=_wkv.NOTHING), F.pad(values, (0, 0, missing, 0))
        leaving = keys.shape[1] - self.kept
        if leaving and call.form != "recurrent":
            zero = keys.new_zeros(keys.shape[-1])
            _, before = _wkv.wkv(keys[:, :leaving], values[:, :leaving], zero, zero, before, "scan")
        state.update(zip(TRIPLE, before, strict=True))
        state["keys"], state["values"] = keys[:, leaving:].clone(), values[:, leaving:].clone()

    def steps(
        self, keys: Tensor, values: Tensor, t: Tensor, s: Tensor, before: _wkv.Triple
    ) -> tuple[Float[Tensor, "B T D"], _wkv.Triple]:
        """The definition: one token after the other, each over its own window and the triple of what left it."""
        assert self.biases is not None
        T, D = t.shape[-1], keys.shape[-1]
        zero, out = keys.new_zeros(D), []
        for n, end in enumerate(range(keys.shape[1] - T + 1, keys.shape[1] + 1)):
            start = 0 if self.variant == "full" else end - self.kept - 1
            w = self.biases(t[..., n : n + 1], s[..., start:end], keys.dtype)[..., 0, :].mT  # [*n, S, H]
            w = w.repeat_interleave(D // w.shape[-1], -1)
            out.append(_average.exact(keys[:, start:end], values[:, start:end], w, before))
            if self.variant != "full":
                _, before = _wkv.step(keys[:, start], values[:, start], zero, zero, before)
        return torch.stack(out, 1), before

    def blocks(self, keys: Tensor, values: Tensor, t: Tensor, before: _wkv.Triple) -> Float[Tensor, "B T D"]:
        """Blocks of W tokens, each with the W - 1 keys before it; a last block that is not full is filled up."""
        assert self.biases is not None
        T, C = t.shape[-1], self.kept + 1
        N = -(-T // C)
        keys = F.pad(keys, (0, 0, 0, N * C - T), value=_wkv.NOTHING)
        values = F.pad(values, (0, 0, 0, N * C - T))
        rows = (t[..., :1] + torch.arange(N * C, device=t.device)).unflatten(-1, (N, C))
        first = rows[..., :1] - self.kept
        w = self.biases(rows, first + torch.arange(C + self.kept, device=t.device), keys.dtype)
        if self.variant == "local" and w.dim() == 4:
            w = w.unsqueeze(0)
        return _average.banded(keys, values, w, N, before)[:, :T]


class Model(LanguageModel):
    title = "AFT"
    colour = "#CC79A7"
    marker = "v"
    citation = "Zhai et al. 2021, arXiv:2105.14103"
    forms = ("recurrent", "parallel", "chunkwise", "scan")
    default_form = "chunkwise"

    Options = Options

    def build_mixer(self, layer: int) -> nn.Module:
        return Mixer(self.shape, self.options)

    def initialise(self) -> None:
        """As elsewhere; biases start near zero, normal(0, 0.01), so that every variant starts as `simple`."""
        super().initialise()
        for name, parameter in self.named_parameters():
            if ".biases." in name:  # of a factorised table each entry, a sum of `rank` products, has the same deviation
                nn.init.normal_(
                    parameter, std=0.01 if self.options.rank is None else (0.01 / self.options.rank**0.5) ** 0.5
                )

    @classmethod
    def check(cls, shape: Shape, options: Chosen) -> None:
        super().check(shape, options)
        for name in ("window", "rank"):
            if getattr(options, name) is not None and getattr(options, name) < 1:
                raise ValueError(f"{name} is {getattr(options, name)}; it must be at least 1")

    @classmethod
    def available_forms(cls, options: Chosen) -> tuple[str, ...]:
        return {"simple": cls.forms, "full": ("recurrent", "parallel")}.get(options.variant, cls.forms[:3])

    @classmethod
    def mixer_count(cls, shape: Shape, options: Chosen) -> Count:
        biases = shape.max_length * (2 * options.rank if options.rank is not None else shape.max_length)
        biases = {"conv": shape.heads * options.window, "simple": 0}.get(options.variant, biases)
        return Count(4 * shape.width**2, biases)

    @classmethod
    def mixing_flops(cls, shape: Shape, options: Chosen, form: str, length: int, context: int = 0) -> int:
        """Numerator and denominator: a multiply-add each for every pair computed, and for every key into the triple."""
        D, T, W = shape.width, length, options.window
        if options.variant == "simple" and form != "parallel":
            return 4 * D * T
        if form == "chunkwise":
            pairs = -(-T // W) * W * (2 * W - 1)
        elif form == "recurrent":
            pairs = T * W if options.variant != "full" else sum(range(context + 1, context + T + 1))
        else:
            pairs = T * (T + (context if options.variant == "full" else min(context, W - 1)))
        factors = options.rank or 0 if options.variant in ("local", "full") else 0
        return 4 * D * pairs + 2 * factors * pairs

    @classmethod
    def flops(
        cls, shape: Shape, options: Chosen, form: str, length: int, context: int = 0, backward: bool = False
    ) -> int:
        """As elsewhere; the weights that `simple` multiplies by in `parallel` are constant and need no gradient."""
        total = super().flops(shape, options, form, length, context, backward)
        if backward and form == "parallel" and options.variant == "simple":
            total -= shape.layers * cls.mixing_flops(shape, options, form, length, context)
        return total

    @classmethod
    def layer_state_bytes(cls, shape: Shape, options: Chosen, batch: int, capacity: int, itemsize: int) -> int:
        kept = {"simple": 0, "full": capacity}.get(options.variant, options.window - 1)
        sums = 0 if options.variant == "full" else 3 * max(itemsize, 4)
        return batch * shape.width * (2 * kept * itemsize + sums)
