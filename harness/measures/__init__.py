"""The measures: one file each, found by listing this folder, each holding one class named `Measure`.

Importing a measure loads no torch; it imports what it needs when it runs.
"""

import dataclasses
import importlib
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Protocol

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
    """An error of ours. Where a sweep takes one kind unlike the others, `kind` is one of those above."""

    kind = ""


class FormsDisagree(Failure):
    """Two forms of one model differ by more than rounding."""

    kind = DISAGREE


class Measure(Protocol):
    """What a file in this folder holds.

    One that decodes tokens one by one after `sequence_length` also states how many, as `decoded_tokens`; one that reads
    the sequence itself token by token, how many models do so, as `stepping_models`; one that takes whole optimiser
    steps (`bench.stepper`) states `optimises = True`; one that reads a context in pieces (`bench.context`),
    `reads_context = True`, and one that does both, one after the other, states both; one whose work a GPU replays as a
    captured graph, `captured = True`; one that takes its time whatever the model, its `least_seconds`; one that on some
    devices runs in every dtype that the others have, these devices as `every_dtype_on`.
    """

    title: ClassVar[str]
    metrics: ClassVar[dict[str, Metric]]  # those that it is for come first; units stand in the names too
    factors: ClassVar[tuple[str, ...]]  # of `point.SEQUENCE_FACTORS`, those it depends on; others are not swept for it
    trains: ClassVar[bool]  # whether it needs `training` settings, and tunes the learning rate
    reads_corpus: ClassVar[bool]

    def run(self, point: Point, bench: "Bench") -> Iterator[Sample | Progress]: ...


def names() -> list[str]:
    """The measures there are, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))


def load(name: str) -> Measure:
    """One measure. Raises KeyError, naming what there is, for an unknown name."""
    if name not in names():
        raise KeyError(f"no measure {name!r}; there are {', '.join(names())}")
    return importlib.import_module(f"harness.measures.{name}").Measure()
