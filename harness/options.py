"""A model's options as an experiment gives them, checked against the `Options` dataclass in the model's own file."""

import dataclasses
import functools
import types
import typing
from typing import Any

import pydantic

import models
from harness.errors import listed, nearest, shown, unknown
from harness.point import build as build

MOST = 1e12  # of a number, either way of 0: beyond it what sizes are made of it could be no number any more
WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}


@dataclasses.dataclass(frozen=True)
class Option:
    """One field of an `Options` dataclass."""

    name: str
    kind: Any  # its annotation
    default: Any
    choices: tuple[str, ...] | None  # where it is enumerated

    @property
    def allowed(self) -> str:
        """What it may be, in words."""
        return listed(self.choices) if self.choices and self.kind is str else _words(self.kind, self.choices)

    def value(self, given: Any) -> Any:
        """The checked value, lists turned to tuples. Raises ValueError, saying what was given and what is allowed."""
        held: Any = tuple(given) if isinstance(given, list) else given
        try:
            _adapter(self.kind).validate_python(held)
        except pydantic.ValidationError:
            raise ValueError(f"{shown(given)} is not allowed; allowed is {self.allowed}") from None
        if isinstance(held, str) and self.choices and held not in self.choices:
            guess = nearest(held, self.choices)
            hint = f"; did you mean {guess!r}?" if guess else ""
            raise ValueError(f"{held!r} is not allowed; allowed is {self.allowed}{hint}")
        parts = held if isinstance(held, tuple) else (held,)
        if any(isinstance(part, int | float) and abs(part) > MOST for part in parts):
            raise ValueError(f"{shown(given)} is out of range; allowed is {-MOST:g} to {MOST:g}")
        return float(held) if self.kind is float else held


@functools.cache
def of(model: str) -> dict[str, Option]:
    """The options of one architecture, by name. Imports it."""
    kind = models.load(model).Options
    hints, defaults = typing.get_type_hints(kind), kind()
    return {
        field.name: Option(field.name, hints[field.name], getattr(defaults, field.name), kind.CHOICES.get(field.name))
        for field in dataclasses.fields(kind)
    }


def resolve(model: str, given: dict[str, Any]) -> dict[str, Any]:
    """Every option of the model, defaults included. Raises ValueError on the first that is not allowed.

    What a default is may depend on the options that are given: the model's own dataclass fills them in.
    """
    known = of(model)
    for name in given:
        if name not in known:
            raise ValueError(unknown(f"option of {model}", name, known))
    built = build(model, {name: known[name].value(value) for name, value in given.items()})
    return {name: getattr(built, name) for name in known}


def tell(value: Any) -> str:
    """A value for labels and tables: 'single', 'true', '0.9,0.99'."""
    if isinstance(value, list | tuple):
        return ",".join(tell(part) for part in value)
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


@functools.cache
def _adapter(kind: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(kind, config=pydantic.ConfigDict(strict=True, allow_inf_nan=False))


def _words(kind: Any, choices: tuple[str, ...] | None = None) -> str:
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return " or ".join(_words(part, choices) for part in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return f"a list of {_words(typing.get_args(kind)[0]).removeprefix('a ')}s"
    if kind is str and choices:
        return listed(choices)
    return WORDS.get(kind, str(kind))
