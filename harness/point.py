"""A point: one combination of factors under one measure, resolved down to the last default. Plain data, no torch."""

import dataclasses
import hashlib
import json
from typing import Any

import models
from models._cost import Shape

DEVICES = ("cpu", "cuda", "mps")  # as torch calls them
SEQUENCE_FACTORS = ("form", "batch_size", "sequence_length", "dtype")
SHAPE_FACTORS = ("width", "layers", "heads")
MOST = {  # that may be asked for
    "parameters": 10**13, "layers": 512, "width": 65_536, "heads": 4_096, "ffn_width": 2**20, "vocabulary": 2**20,
    "batch_size": 65_536, "sequence_length": 2**24,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Training:
    """How a model is trained: exactly one of `tokens`, `flops`, `seconds` is the budget; the rest is held equal."""

    sequence_length: int
    batch_size: int  # sequences per optimiser step
    learning_rate: float  # at the peak of the schedule
    tokens: int | None = None
    flops: float | None = None  # forward and backward, as many as are needed
    seconds: float | None = None
    schedule: str = "cosine"  # cosine | linear | constant, down to `final_rate` of the peak
    final_rate: float = 0.1
    warmup: float = 0.1  # share of the budget over which the rate rises from 0
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1  # on matrices only
    clip: float = 1.0  # of the global gradient norm
    accumulate: int = 1  # forward and backward passes per optimiser step
    autocast: bool = False  # bfloat16 autocast of the forward pass


@dataclasses.dataclass(frozen=True)
class Point:
    """One row of points.csv before it is run. `configuration` names what is computed, whatever code computes it."""

    experiment: str
    measure: str
    model: str
    label: str  # the model with the options that tell it from the other entries: 'retnet' or 'retnet gamma=single'
    options: dict[str, Any]  # every option of the model, defaults included
    width: int
    layers: int
    heads: int
    ffn_width: int
    vocabulary: int
    max_length: int
    device: str  # cpu | cuda | mps
    dtype: str  # float32 | bfloat16 | float16 | float64
    seed: int
    repeats: int
    precision: float  # relative width of the 95% interval of the median at which timing may stop
    form: str | None = None  # None: the measure does not depend on it
    batch_size: int | None = None
    sequence_length: int | None = None  # tokens; for `decode` the context already consumed
    training: Training | None = None
    role: str | None = None  # trial | chosen: which training runs tune the learning rate, which use the best one
    corpus: str | None = None
    corpus_sha256: str | None = None
    parameters: int | None = None
    parameters_target: int | None = None
    flops_per_token: float | None = None
    state_bytes: int | None = None
    limit_seconds: float | None = None
    limit_bytes: int | None = None
    not_applicable: str | None = None  # the reason, for a combination that cannot be run at all

    @property
    def shape(self) -> Shape:
        """The model's sizes."""
        return Shape(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Shape)})

    @property
    def configuration(self) -> str:
        """16 hex digits of the resolved configuration; limits, labels and the experiment's name do not count."""
        told = dataclasses.asdict(self)
        for name in ("experiment", "label", "limit_seconds", "limit_bytes", "not_applicable"):
            told.pop(name)
        return digest(told)


def build(model: str, options: dict[str, Any]) -> Any:
    """The model's `Options` instance. Imports the model."""
    held: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    return models.load(model).Options(**held)


def digest(told: Any) -> str:
    """16 hex digits of the SHA-256 of a JSON-able value, the same whatever the order of its keys."""
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]
