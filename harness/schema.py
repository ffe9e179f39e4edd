"""The schema of an experiment file: every key, what it may be, and its default.

Sizes are those of the whole house: width D, heads H, sequence lengths in tokens. Whatever a file holds besides is
refused. What several keys must satisfy together stands in `harness.checks`.
"""

import json
import math
from collections.abc import Callable
from typing import Annotated, Any

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field

import models
from harness import measures, point, quantity
from harness.errors import listed, shown, unknown

ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}
DTYPES = tuple(ITEM_BYTES)
SCHEDULES = ("cosine", "linear", "constant")
DAYS = 86_400  # seconds


def _within(parse: Callable[[Any], Any], least: float, most: float, words: str = "") -> BeforeValidator:
    def check(given: Any) -> Any:
        value = parse(given)
        if not least <= value <= most:
            raise ValueError(f"{shown(given)} is out of range; allowed is {words or f'{least:,} to {most:,}'}")
        return value

    return BeforeValidator(check)


def _size(name: str, least: int = 1) -> BeforeValidator:
    return _within(quantity.count, least, point.MOST[name])


def _share(least: float, words: str) -> BeforeValidator:
    """At most 1; `words` say what is allowed, for people write percents."""
    return _within(lambda given: quantity.number(given, words), least, 1, words)


def one_of(kind: str, allowed: Callable[[], Any]) -> AfterValidator:
    """One of these names."""

    def check(given: str) -> str:
        if given not in allowed():
            raise ValueError(unknown(kind, given, allowed()))
        return given

    return AfterValidator(check)


def _some(given: list[Any]) -> list[Any]:
    if not given:
        raise ValueError("the list is empty; give at least one value")
    return given


def _several(given: list[Any]) -> list[Any]:
    twice = [value for i, value in enumerate(given) if value in given[:i]]
    if twice:
        raise ValueError(f"{shown(twice[0])} is given twice; remove one")
    return _some(given)


def _two(given: list[Any]) -> list[Any]:
    if len(given) != 2:
        raise ValueError(f"{shown(given)} is a list of {len(given)}; allowed are exactly 2 values")
    return given


def _listed(given: Any) -> Any:
    """One seed is a list of one: a bare 3 would be read as three of them."""
    if not isinstance(given, list):
        one = f"write [{shown(given)}] for this one seed, or " if isinstance(given, int) else ""
        raise ValueError(f"{shown(given)} is not a list: {one}name each, such as [0, 1, 2] for three seeds")
    return given


AS_LIST = BeforeValidator(lambda given: given if isinstance(given, list) else [given])
SEVERAL = AfterValidator(_several)
SOME = AfterValidator(_some)  # entries that are the same are told by `harness.checks`
Text = Annotated[str, Field(strict=True, min_length=1)]
Flag = Annotated[bool, Field(strict=True)]
Width = Annotated[int, _size("width")]
Layers = Annotated[int, _size("layers")]
Heads = Annotated[int, _size("heads")]
Batch = Annotated[int, _size("batch_size")]
Length = Annotated[int, _size("sequence_length")]
Dtype = Annotated[Text, one_of("dtype", lambda: DTYPES)]
Seed = Annotated[int, _within(quantity.count, 0, 2**31 - 1)]
Seconds = Annotated[float, _within(quantity.seconds, 0.1, 100 * DAYS)]
Rate = Annotated[float, _within(quantity.number, 1e-9, 10, "above 0, at most 10")]
Share = Annotated[float, _share(0, "0 to 1, such as 0.1 for 10%")]
Beta = Annotated[float, _within(quantity.number, 0, 0.999999, "0 to below 1")]


class Part(pydantic.BaseModel):
    """A mapping in an experiment file. What it does not name is refused."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Budget(Part):
    parameters: Annotated[int, _size("parameters", 1_000)]


class Shape(Part):
    width: Width | None = None
    layers: Layers | None = None
    heads: Heads | None = None
    ffn_width: Annotated[int, _size("ffn_width")] | None = None
    vocabulary: Annotated[int, _size("vocabulary", 2)] = 256
    max_length: Length | None = None

    @pydantic.field_validator(*point.SHAPE_FACTORS, mode="before")
    @classmethod
    def _one(cls, given: Any, info: pydantic.ValidationInfo) -> Any:
        if isinstance(given, list):
            swept = f"sweep: {{{info.field_name}: {shown(given)}}}"
            raise ValueError(f"{shown(given)} is a list, and here stands one value; to try several write {swept}")
        return given


class Factors(Part):
    """What a measure may depend on, each as the list of its values."""

    batch_size: Annotated[list[Batch], AS_LIST, SEVERAL] | None = None
    sequence_length: Annotated[list[Length], AS_LIST, SEVERAL] | None = None
    form: Annotated[list[Text], AS_LIST, SEVERAL] | None = None
    dtype: Annotated[list[Dtype], AS_LIST, SEVERAL] | None = None


class Sweep(Factors):
    """Factors, and any option of the models, each as the list of its values."""

    model_config = pydantic.ConfigDict(extra="allow", frozen=True)

    width: Annotated[list[Width], AS_LIST, SEVERAL] | None = None
    layers: Annotated[list[Layers], AS_LIST, SEVERAL] | None = None
    heads: Annotated[list[Heads], AS_LIST, SEVERAL] | None = None

    @property
    def options(self) -> dict[str, list[Any]]:
        """The swept options of models."""
        extra = self.model_extra or {}
        return {name: values if isinstance(values, list) else [values] for name, values in extra.items()}


class ModelEntry(Part):
    """A model by name, or a mapping of its name and some of its options."""

    model_config = pydantic.ConfigDict(extra="allow", frozen=True)

    name: Annotated[Text, one_of("model", models.names)]

    @property
    def options(self) -> dict[str, Any]:
        return self.model_extra or {}


class MeasureEntry(Factors):
    """A measure by name, or a mapping of its name and the factors in which it departs from the sweep."""

    name: Annotated[Text, one_of("measure", measures.names)]


class Training(Part):
    """See `harness.point.Training`, which has the defaults. Exactly one of tokens, flops and seconds is the budget."""

    tokens: Annotated[int, _within(quantity.count, 1, 10**15)] | None = None
    flops: Annotated[float, _within(quantity.number, 1, 10**27)] | None = None
    seconds: Seconds | None = None
    sequence_length: Length
    batch_size: Batch
    learning_rate: Annotated[list[Rate], AS_LIST, SEVERAL]
    schedule: Annotated[Text, one_of("schedule", lambda: SCHEDULES)] = point.Training.schedule
    final_rate: Share = point.Training.final_rate
    warmup: Share = point.Training.warmup
    betas: Annotated[list[Beta], AfterValidator(_two)] = list(point.Training.betas)
    weight_decay: Share = point.Training.weight_decay
    clip: Annotated[float, _within(quantity.number, 1e-6, math.inf, "above 0")] = point.Training.clip
    accumulate: Batch = point.Training.accumulate
    autocast: Flag = point.Training.autocast


class Limits(Part):
    seconds: Seconds | None = None
    memory: Annotated[int, _within(quantity.size_bytes, 2**26, 2**50, "64MiB to 1024TiB")] | None = None  # bytes


def _named(kind: str, allowed: Callable[[], list[str]]) -> BeforeValidator:
    """An entry by its name alone, or as a mapping."""

    def check(given: Any) -> Any:
        if isinstance(given, dict | ModelEntry | MeasureEntry):
            return given
        if not isinstance(given, str):
            names = allowed()
            mapping = f"a mapping such as {{name: {names[0]}}}" if names else "a mapping with a name"
            raise ValueError(f"{shown(given)} is no {kind}; allowed are {listed(names)}, or {mapping}")
        return {"name": given}

    return BeforeValidator(check)


def _pair(given: Any) -> Any:
    """A corpus whose held-out text is another one is named by the JSON of both, see `harness.corpus`."""
    from harness import corpus

    return json.dumps(corpus.pair(given)) if isinstance(given, dict) else given


class Settings(Part):
    """What an experiment file holds."""

    models: Annotated[list[Annotated[ModelEntry, _named("model", models.names)]], SOME]
    budget: Budget | None = None
    shape: Shape
    sweep: Sweep = Sweep()
    measures: Annotated[list[Annotated[MeasureEntry, _named("measure", measures.names)]], SOME]
    repeats: Annotated[int, _within(quantity.count, 1, 1_000)] = 5
    precision: Annotated[float, _share(1e-4, "0.0001 to 1, such as 0.02 for 2%")] = 0.02
    seeds: Annotated[list[Seed], BeforeValidator(_listed), SEVERAL] = [0]
    corpus: Annotated[Text, BeforeValidator(_pair)] | None = None
    training: Training | None = None
    limits: Limits = Limits()
    dtype: Dtype = "float32"
