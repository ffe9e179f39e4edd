"""Measures and points for tests of the harness: each measure does to its process what its name says."""

import dataclasses
import os
import pathlib
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any, ClassVar

from harness.measures import FormsDisagree, Metric, NotApplicable, Progress, Sample
from harness.measures.forms import Miscounted
from harness.point import Point


@dataclasses.dataclass(frozen=True)
class Fake:
    """A measure that `how` describes; it is sent to the child as it is."""

    how: str
    title: ClassVar[str] = "A fake"
    metrics: ClassVar[dict[str, Metric]] = {
        "token_ms": Metric("ms", "lower", "a number"),
        "tuning_bits_per_byte": Metric("bits/byte", "lower", "another"),
    }
    factors: ClassVar[tuple[str, ...]] = ("sequence_length",)
    trains: ClassVar[bool] = False
    reads_corpus: ClassVar[bool] = False

    def run(self, point: Point, bench: Any) -> Iterator[Sample | Progress]:
        yield from getattr(self, self.how.split("_")[0])(point)

    def good(self, point: Point) -> Iterator[Sample | Progress]:
        yield Sample("token_ms", 1 / 3)
        yield Progress(step=1, tokens=7, seconds=0.1, loss=5.5)
        yield Sample("token_ms", 2 / 3, repeat=1, bucket=64)
        if point.training:
            yield Sample("tuning_bits_per_byte", abs(point.training.learning_rate - 2e-3))

    def lengths(self, point: Point) -> Iterator[Sample]:
        for length, bucket, value in ((64, None, 2.5), (64, 32, 9.0), (128, None, 7.0), (128, 64, 8.0)):
            yield Sample("token_ms", value, length=length, bucket=bucket)

    def forms(self, point: Point) -> Iterator[Sample]:
        if "broken" in point.label:
            raise FormsDisagree("state differs by 0.5")
        if point.width == 40:
            raise NameError("name 'foo' is not defined")
        if point.width == 56:
            raise type("FormsDisagreement", (RuntimeError,), {})("it only sounds like it")
        yield Sample("token_ms", 0.5)

    def miscounts(self, point: Point) -> Iterator[Sample]:
        raise Miscounted("it states 2 parameters and has 3")
        yield

    def counts(self, point: Point) -> Iterator[Sample]:
        """Leaves a line in the file that its corpus names, for every time that it was run."""
        with pathlib.Path(str(point.corpus)).open("a", encoding="utf-8") as file:
            file.write(f"{point.seed}\n")
        time.sleep(0.1)
        yield Sample("token_ms", 1.0 + point.seed)

    def pid(self, point: Point) -> Iterator[Sample]:
        pathlib.Path(str(point.corpus)).write_text(str(os.getpid()), encoding="utf-8")
        yield from self.hangs(point)

    def briefly(self, point: Point) -> Iterator[Sample]:
        """Adds its process to the file that its corpus names, and is there for a moment."""
        with pathlib.Path(str(point.corpus)).open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.5)
        yield Sample("token_ms", 1.0)

    def resumes(self, point: Point) -> Iterator[Sample]:
        """Tells 2 where another process has begun it, in the cache that its corpus names: processes have their own."""
        from harness import cache

        os.environ["XDG_CACHE_HOME"] = str(point.corpus)
        kept = cache.training(point.configuration, "0" * 16)  # as `tests.sweeping` has it
        yield Sample("token_ms", 2.0 if kept.exists() else 1.0)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.touch()
        time.sleep(600 if (point.limit_seconds or 9) < 3 else 0)

    def hangs(self, point: Point) -> Iterator[Sample]:
        yield Sample("token_ms", 1.0)
        time.sleep(600)

    def raises(self, point: Point) -> Iterator[Sample]:
        yield Sample("token_ms", 1.0)
        raise RuntimeError("two\nlines")

    def halfway(self, point: Point) -> Iterator[Sample]:
        """Fails once it has told how well it did."""
        yield Sample("tuning_bits_per_byte", -1.0)
        raise RuntimeError("too late")

    def segfaults(self, point: Point) -> Iterator[Sample]:
        yield Sample("token_ms", 1.0)
        os.kill(os.getpid(), signal.SIGSEGV)

    def exits(self, point: Point) -> Iterator[Sample]:
        yield Sample("token_ms", 1.0)
        os._exit(7)

    def hogs(self, point: Point) -> Iterator[Sample]:
        held = []
        while True:
            held.append(bytearray(os.urandom(1)) * 2**24)
            time.sleep(0.005)
            yield Sample("token_ms", 1.0)

    def asks(self, point: Point) -> Iterator[Sample]:
        """For more memory than any machine has, of torch."""
        import torch

        yield Sample("token_ms", float(torch.empty(2**46).numel()))

    def declines(self, point: Point) -> Iterator[Sample]:
        raise NotApplicable("it has no state")
        yield

    def diverges(self, point: Point) -> Iterator[Sample | Progress]:
        print("said before it diverged")
        yield Progress(step=3, tokens=7, seconds=0.1, loss=float("nan"))

    def loses(self, point: Point) -> Iterator[Sample]:
        """Predicts nothing that is a number."""
        yield Sample("tuning_bits_per_byte", float("inf"))

    def slips(self, point: Point) -> Iterator[Sample]:
        """Takes no time that is a number."""
        yield Sample("token_ms", float("nan"))

    def pretends(self, point: Point) -> Iterator[Sample]:
        """Fails of what only sounds like a loss that is no number."""
        raise type("BadValue", (RuntimeError,), {})("the loss at step 3 is nan")
        yield

    def invents(self, point: Point) -> Iterator[Sample]:
        yield Sample("invented", 1.0)

    def prints(self, point: Point) -> Iterator[Sample]:
        print("said on stdout")
        print("said on stderr", file=sys.stderr)
        os.system("echo said by a native library")
        yield Sample("token_ms", 1.0)

    def floods(self, point: Point) -> Iterator[Sample]:
        for number in range(3000):
            print(f"line {number + 1}")
        yield Sample("token_ms", 1.0)

    def lists(self, point: Point) -> Iterator[Sample]:
        """What its process has loaded."""
        print(sorted(name for name in sys.modules if "." not in name))
        yield Sample("token_ms", 1.0)

    def tells(self, point: Point) -> Iterator[Sample]:
        """How many threads torch computes with."""
        import torch

        yield Sample("token_ms", float(torch.get_num_threads()))


POINT = Point(
    experiment="tried",
    measure="good",
    model="transformer",
    label="transformer",
    options={},
    width=24,
    layers=2,
    heads=3,
    ffn_width=20,
    vocabulary=256,
    max_length=37,
    device="cpu",
    dtype="float32",
    seed=0,
    repeats=5,
    precision=0.02,
    sequence_length=13,
)


def point(**changed: Any) -> Point:
    """A point of sizes that all differ."""
    return dataclasses.replace(POINT, **changed)
