"""The measures: one file each, found by listing this folder, each holding one class named `Measure`.

Importing a measure loads no torch; it imports what it needs when it runs.
"""

import dataclasses
import importlib
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from harness.point import Point

if TYPE_CHECKING:
    from harness.bench import Bench

FOLDER = pathlib.Path(__file__).parent
DISAGREE, DIVERGED = "disagree", "diverged"  # kinds of failures, as the process of a point tells them


@dataclasses.dataclass(frozen=True)
class Metric:
    """What one number means."""

    unit: str
    better: str | None  # higher | lower; None where neither is
    text: str  # one line for tables and pages


@dataclasses.dataclass(frozen=True)
class Sample:
    """One measured value: a row of samples.csv."""

    metric: str
    value: float
    repeat: int = 0
    length: int | None = None  # tokens of the evaluated sequences, where it is not the point's own
    bucket: int | None = None  # the largest position, in tokens, of the bucket that the value was taken over


@dataclasses.dataclass(frozen=True)
class Progress:
    """One row of curves.csv."""

    step: int
    tokens: int
    seconds: float
    loss: float  # nats per token of the training batches since the row before


class NotApplicable(Exception):
    """Raised by a measure where the combination makes no sense; the text is the reason recorded."""


class Failure(Exception):
    """An error of ours. Where a sweep takes one kind unlike the others, `kind` is one of those above; where the message
    is a verdict that says it all, no traceback is printed."""

    kind = ""
    verdict = False


class FormsDisagree(Failure):
    """Two forms of one model differ by more than rounding."""

    kind = DISAGREE
    verdict = True


class Measure(Protocol):
    """What a file in this folder holds. It may also state what `OPTIONAL` names, and nothing else that is public."""

    title: ClassVar[str]
    metrics: ClassVar[dict[str, Metric]]  # those that it is for come first; units stand in the names too
    factors: ClassVar[tuple[str, ...]]  # of `point.SEQUENCE_FACTORS`, those it depends on; others are not swept for it
    trains: ClassVar[bool]  # whether it needs `training` settings, and tunes the learning rate
    reads_corpus: ClassVar[bool]

    def run(self, point: Point, bench: "Bench") -> Iterator[Sample | Progress]: ...


OPTIONAL: dict[str, Any] = {  # what holds of a measure that does not state it; `stated` reads it
    "decoded_tokens": 0,  # that it decodes one by one after `sequence_length`
    "stepping_models": 0,  # that read the sequence itself token by token
    "optimises": False,  # whether it takes whole optimiser steps, by `bench.stepper`
    "reads_context": False,  # whether it reads a context in pieces, by `bench.context`
    "captured": False,  # whether a GPU replays its work as a captured graph
    "least_seconds": 0.0,  # that it takes whatever the model
    "every_dtype_on": (),  # devices on which it runs in every dtype that the other measures have
}


def stated(measure: Measure, name: str) -> Any:
    """What a measure states of one of `OPTIONAL`, or else what holds then. Raises KeyError for any other name."""
    default = OPTIONAL[name]
    return getattr(measure, name, default)


def names() -> list[str]:
    """The measures there are, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def load(name: str) -> Measure:
    """One measure. Raises KeyError, naming what there is, for an unknown name."""
    if name not in names():
        raise KeyError(f"no measure {name!r}; there are {', '.join(names())}")
    return importlib.import_module(f"harness.measures.{name}").Measure()
