"""A language model that is quick to build, whose forms can be made to disagree: for tests of the harness alone."""

import dataclasses
from typing import Any, ClassVar

import torch
from torch import nn

from harness.point import Point
from models._cost import CommonOptions, Count, Shape
from models._lm import LanguageModel

SHAPE = Shape(width=12, layers=2, heads=3, ffn_width=10, vocabulary=256, max_length=64)


@dataclasses.dataclass(frozen=True)
class Options(CommonOptions):
    wrong: str = "nothing"  # what the parallel form gets wrong
    limited: bool = False  # whether there are no positions beyond max_length

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        **CommonOptions.CHOICES,
        "wrong": ("nothing", "output", "state", "gradient", "no number", "nothing returned"),
    }


class Mixer(nn.Module):
    """s_n = s_{n-1} / 2 + W x_n; the output is W' s_n."""

    def __init__(self, width: int, options: Options):
        super().__init__()
        self.options = options
        self.into, self.out = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)

    def forward(self, x, call, state):
        x, wrong = self.into(x), self.options.wrong if call.form == "parallel" else "nothing"
        s, found = state.get("s", torch.zeros_like(x[:, 0])), []
        for token in x.unbind(1):
            s = s / 2 + token
            found.append(s)
        if call.keep_state:
            state["s"] = s * 1.001 if wrong == "state" else s
        y = torch.stack(found, 1)
        if wrong == "gradient":
            y = y + 0.001 * (y - y.detach())
        if wrong == "no number":
            y = y * float("nan")
        added = self.out(y * 1.001 if wrong == "output" else y)
        return None if self.options.wrong == "nothing returned" else added


class Model(LanguageModel):
    title, colour, marker, citation = "Tiny", "#123456", "x", "none"
    forms = ("parallel", "recurrent")
    default_form = "parallel"
    Options = Options

    def build_mixer(self, layer):
        return Mixer(self.shape.width, self.options)

    def share(self, call):
        if self.options.limited and call.positions.max() >= self.shape.max_length:
            raise ValueError(f"there are no positions beyond max_length {self.shape.max_length}")

    @classmethod
    def mixer_count(cls, shape, options):
        return Count(2 * shape.width**2)

    @classmethod
    def mixing_flops(cls, shape, options, form, length, context=0):
        return 0

    @classmethod
    def layer_state_bytes(cls, shape, options, batch, capacity, itemsize):
        return batch * shape.width * itemsize


def model(seed: int = 0, dtype: torch.dtype = torch.float32, **options: Any) -> Model:
    torch.manual_seed(seed)
    return Model(SHAPE, Options(**options)).to(dtype)


def point(measure: str, name: str = "tiny", options: dict[str, Any] | None = None, **factors: Any) -> Point:
    """A point of a small model under one measure, of quick timing."""
    told: dict[str, Any] = {
        "experiment": "test",
        "measure": measure,
        "model": name,
        "label": name,
        "options": options if options is not None else dataclasses.asdict(Options()),
        **dataclasses.asdict(SHAPE),
        "device": "cpu",
        "dtype": "float32",
        "seed": 0,
        "repeats": 3,
        "precision": 1.0,
    }
    return Point(**told | factors)
