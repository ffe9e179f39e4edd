"""What the contract suites over models share: the cases there are, and tiny models of sizes that all differ."""

import dataclasses
import functools
import json
import pathlib
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

import models
from models._cost import Shape
from models._lm import LanguageModel
from models._state import State

BATCH, LENGTH = 3, 13  # neither divides the other, nor any chunk length
CLOSE = {"atol": 1e-11, "rtol": 1e-11}  # of golden vectors, in float64
EXACT = 1e-10  # relative, in float64: rounding over a few dozen tokens
ROUNDED = 2e-2  # relative, where the state between tokens is rounded to bfloat16
SHAPE = Shape(width=24, layers=2, heads=2, ffn_width=20, vocabulary=11, max_length=37)


@dataclasses.dataclass(frozen=True)
class Case:
    """One architecture with its defaults, or with one enumerated option changed."""

    model: str
    changed: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        return "-".join([self.model, *(f"{name}={value}" for name, value in self.changed)])

    @property
    def kind(self) -> type[LanguageModel]:
        return models.load(self.model)

    @property
    def options(self) -> Any:
        return self.kind.Options(**dict(self.changed))

    @property
    def forms(self) -> tuple[str, ...]:
        return self.kind.available_forms(self.options)

    @property
    def carried(self) -> float:
        """The relative error allowed in what goes by way of a state."""
        return ROUNDED if ("state_dtype", "bfloat16") in self.changed else EXACT

    def build(self, shape: Shape = SHAPE, dtype: torch.dtype = torch.float64, seed: int = 0) -> LanguageModel:
        """A model whose every parameter is away from its initial value: zeros would hide mistakes."""
        torch.manual_seed(seed)
        model = self.kind(shape, self.options).to(dtype)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        return model


@functools.cache
def cases() -> tuple[Case, ...]:
    """Every model with its defaults and with each value of each enumerated option."""
    found = []
    for name in models.names():
        options = models.load(name).Options
        found.append(Case(name))
        for field, allowed in options.CHOICES.items():
            found += [Case(name, ((field, value),)) for value in allowed if value != getattr(options(), field)]
    return tuple(found)


def forms() -> list[tuple[Case, str]]:
    """Every case in every form that its options offer."""
    return [(case, form) for case in cases() for form in case.forms]


def label(value: Any) -> str:
    return str(value)


def tokens(batch: int = BATCH, length: int = LENGTH, seed: int = 1, vocabulary: int = SHAPE.vocabulary) -> torch.Tensor:
    return torch.randint(0, vocabulary, (batch, length), generator=torch.Generator().manual_seed(seed))


def flop_counter() -> FlopCounterMode:
    """torch's counter, taught two operations that it passes over: products added in place, and the CPU's fused
    attention, which counts as the CUDA flash kernel does."""
    aten = torch.ops.aten
    return FlopCounterMode(
        display=False,
        custom_mapping={
            aten.baddbmm_: lambda total, a, b, **_: 2 * a[0] * a[1] * a[2] * b[2],
            aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
            aten._scaled_dot_product_flash_attention_for_cpu_backward: (
                lambda do, q, k, v, *_, **__: sdpa_backward_flop_count(do, q, k, v)
            ),
        },
    )


def continued(model: LanguageModel, state: State, more: torch.Tensor) -> torch.Tensor:
    """Logits [B, T, V] of stepping through `more`: what a state is worth."""
    out = []
    for token in more.unbind(1):
        logits, state = model.step(token, state)
        out.append(logits)
    return torch.stack(out, 1)


def golden_file(name: str) -> Any:
    """What `golden/<name>.json` holds."""
    return json.loads((pathlib.Path(__file__).parent / "golden" / f"{name}.json").read_text(encoding="utf-8"))


def golden_at(found: Any, *path: str) -> torch.Tensor:
    """The numbers at a path of keys."""
    for key in path:
        found = found[key]
    return torch.tensor(found, dtype=torch.float64)


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Largest difference over largest value."""
    scale = wanted.abs().max().item()
    return (found - wanted).abs().max().item() / scale if scale else found.abs().max().item()


every_case = pytest.mark.parametrize("case", cases(), ids=label)
every_form = pytest.mark.parametrize(("case", "form"), forms(), ids=label)
every_model = pytest.mark.parametrize("name", models.names())
