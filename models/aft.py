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
State: `simple` the triple of `models._wkv`, 3 D numbers; `conv` and `local` the W - 1 last keys and values, and one key
and value for all older ones; `full` all keys and values.

Letters: B batch, T tokens, S keys in reach, D width, H heads, W window.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from models import _decoding, _gate, _unbiased, _window, _wkv
from models._biases import Biases
from models._cost import Chosen, CommonOptions, Count, Shape
from models._lm import LanguageModel, Operation
from models._projection import projected
from models._state import Call, LayerState, state_dtype
from models._traffic import Traffic, average_traffic, window_traffic

Keys = Float[Tensor, "B T D"]


@dataclasses.dataclass(frozen=True)
class Options(CommonOptions):
    variant: str = "conv"
    window: int = 32  # W, of local and conv
    rank: int | None = None  # of the position biases of full and local; None: a whole table
    implementation: str = "auto"  # gate, sums and steps: by our own programs where there are any, or torch

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        **CommonOptions.CHOICES,
        "variant": ("conv", "simple", "local", "full"),
        "implementation": _wkv.IMPLEMENTATIONS,
    }


class Mixer(nn.Module):
    """W_o (sigmoid(q) * average of v)."""

    def __init__(self, shape: Shape, options: Options, layer: int = 0):
        super().__init__()
        self.variant = options.variant
        self.implementation = options.implementation
        self.layer = layer
        self.into = nn.Linear(shape.width, 3 * shape.width, bias=False)  # q, k, v
        self.out = nn.Linear(shape.width, shape.width, bias=False)
        if options.variant != "simple":
            heads = shape.heads if options.variant == "conv" else None
            window = shape.max_length if options.variant == "full" else options.window
            self.biases = Biases(heads, window, shape.max_length, options.rank)

    def forward(self, x: Float[Tensor, "B T D"], call: Call, state: LayerState) -> Float[Tensor, "B T D"]:
        # several products gain nothing on the CPU, and round gradients in another way
        q, k, v = projected(x, self.into.weight, [x.shape[-1]] * 3) if x.is_cuda else self.into(x).chunk(3, -1)
        if call.valid is not None:
            k = k.masked_fill(~call.valid.unsqueeze(-1), _wkv.NOTHING)
        lowered = torch.is_autocast_enabled(x.device.type)
        with torch.autocast(x.device.type, enabled=False) if lowered else contextlib.nullcontext():
            y = self.average(k, v, call, state)
        return self.out(_gate.opened(q, y, call.between_products(self.implementation)))

    def average(self, k: Keys, v: Keys, call: Call, state: LayerState) -> Keys:
        """The weighted averages of v at each token."""
        if self.variant == "simple":
            return _unbiased.averages(k, v, call, state, self.implementation)
        end, most = call.seen + k.shape[1], self.biases.max_length
        if self.variant != "conv" and end > most:
            told = f"a sequence of {end} tokens has no position biases in AFT-{self.variant} with max_length {most}"
            raise ValueError(f"{told}; set shape.max_length to the longest sequence, or the variant to conv or simple")
        if self.variant == "full":
            return _window.full(self.biases, k, v, call, state)
        row = call.shared()[self.layer] if call.shared else None
        return _window.averages(self.biases, k, v, call, state, row, self.implementation)

    def decode(
        self, x: Float[Tensor, "B 1 D"], delta: _decoding.Parts, norm: _decoding.Norm, call: Call, state: LayerState
    ) -> _decoding.Pair:
        """`forward` of one token by a few programs, `simple` and `conv` overwriting the state."""
        from models._kernels import average

        x, qkv = _decoding.read(x, delta, norm, self.into.weight, portion=call.portions.into)
        q, k, v = qkv.chunk(3, -1)
        if self.variant == "simple":
            y = average.wkv_(k, v, q, None, None, _wkv.held(state))
        elif self.variant == "conv" and self.biases.window <= _window.STEPPED:
            y = average.window_(k, v, q, self.biases.table, *(state[name] for name in _window.HELD))
        else:
            y = _gate.opened(q, self.average(k.unsqueeze(1), v.unsqueeze(1), call, state)[:, 0], "torch")
        return _decoding.write(x, y, self.out.weight, portion=call.portions.out)


class Model(LanguageModel):
    title = "AFT"
    colour = "#CC79A7"
    marker = "v"
    citation = "Zhai et al. 2021, arXiv:2105.14103"
    forms = ("recurrent", "parallel", "chunkwise", "scan")
    default_form = "chunkwise"
    Options = Options

    def build_mixer(self, layer: int) -> nn.Module:
        return Mixer(self.shape, self.options, layer)

    def initialise(self) -> None:
        """As elsewhere; biases start near zero, normal(0, 0.01), so that every variant starts as `simple`."""
        super().initialise()
        rank, std = self.options.rank, 0.01
        if rank is not None:  # each entry of the table, a sum of `rank` products, has the same deviation
            std = (std / rank**0.5) ** 0.5
        for name, parameter in self.named_parameters():
            if ".biases." in name:
                nn.init.normal_(parameter, std=std)

    def share(self, call: Call) -> Callable[[], tuple[Tensor, ...]] | None:
        """`conv`: what makes the biases of one query in each layer, for all layers at once when the first one asks."""
        return functools.cache(self.rows) if self.options.variant == "conv" and call.form == "recurrent" else None

    def rows(self) -> tuple[Tensor, ...]:
        tables = torch.stack([part.table for part in self.modules() if isinstance(part, Biases)])
        return F.pad(tables.to(state_dtype(tables.dtype)).flip(-1).mT, (0, 0, 1, 0)).unsqueeze(-1).unbind(0)

    @classmethod
    def counts_on_device(cls, options: Chosen) -> bool:
        return options.variant in ("conv", "simple", "local")

    @classmethod
    def operation(cls, shape: Shape, options: Chosen, batch: int, length: int, like: Tensor) -> Operation | None:
        """Of `simple` and `conv`, whose biases know no positions."""
        call = Call(cls.training_form(options), torch.arange(length, device=like.device), None, None, 0, False, None)
        k, v = torch.randn(2, batch, length, shape.width, dtype=like.dtype, device=like.device)
        if options.variant == "conv":
            return _window.operation(k, v, shape.heads, options.window, call, options.implementation)
        if options.variant != "simple":
            return None
        run = functools.partial(_unbiased.averages, call=call, state={}, implementation=options.implementation)
        return run, [k, v]

    @classmethod
    def check(cls, shape: Shape, options: Chosen) -> None:
        super().check(shape, options)
        for name in ("window", "rank"):
            if getattr(options, name) is not None and getattr(options, name) < 1:
                raise ValueError(f"{name} is {getattr(options, name)}; it must be at least 1")
        if options.rank is not None and options.variant not in ("full", "local"):
            told = f"rank is {options.rank}, but AFT-{options.variant} has no biases to factorise"
            raise ValueError(f"{told}; leave rank out, or set the variant to full or local")
        if options.window != Options.window and options.variant in ("simple", "full"):
            told = f"window is {options.window}, but AFT-{options.variant} has none"
            raise ValueError(f"{told}; leave window out, or set the variant to conv or local")

    @classmethod
    def available_forms(cls, options: Chosen) -> tuple[str, ...]:
        return {"simple": cls.forms, "full": ("recurrent", "parallel")}.get(options.variant, cls.forms[:3])

    @classmethod
    def mixer_count(cls, shape: Shape, options: Chosen) -> Count:
        a_row = shape.max_length if options.rank is None else 2 * options.rank  # of the biases by position
        by_position = shape.max_length * a_row
        biases = {"conv": shape.heads * options.window, "simple": 0}.get(options.variant, by_position)
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
        sums = {"simple": 3, "full": 0}.get(options.variant, 2) * max(itemsize, 4)
        return batch * shape.width * (2 * kept * itemsize + sums)

    @classmethod
    def mixer_traffic(cls, shape: Shape, options: Chosen, form: str, length: int, backward: bool = False) -> Traffic:
        """`simple` sums as WKV does; the others, by the block or by the query, gather the keys in reach."""
        D, T = shape.width, length
        if options.variant == "simple" and form != "parallel":
            return average_traffic(form, length, D, 3, backward)  # q, k and v
        if form == "recurrent":
            reach = T / 2 if options.variant == "full" else options.window
            return Traffic((45 if backward else 15) * T, (12 if backward else 4) * reach * D, 4 * reach * D)
        if options.variant == "full":
            return Traffic(76, 75 * D, 7 * D) if backward else Traffic(46, 38 * D, 8 * D)
        programmed = options.variant == "conv" and options.window <= _window.PROGRAMMED
        return window_traffic(form, length, D, programmed, backward)

    @classmethod
    def state_passes(cls, options: Chosen, least: bool = False) -> float:
        """A window is gathered, shifted and averaged over; at least it is read, and a row and the sums are written."""
        if options.variant == "simple":
            return 2.0
        if options.variant == "full":
            return 1.0 if least else 3.0
        kept = options.window - 1  # rows of keys and values; the sums are as much as one more
        return (kept + (kept > 0) + 2) / (kept + 1) if least else 6.0

    @classmethod
    def steps_in_place(cls, options: Chosen) -> bool:
        return options.variant == "full"

    @classmethod
    def steps_by_programs(cls, options: Chosen) -> bool:
        """`simple`, and `conv` of a window that they know; a step of `local` leaves a new state."""
        known = options.variant == "simple" or (options.variant == "conv" and options.window <= _window.STEPPED)
        return known and super().steps_by_programs(options)
