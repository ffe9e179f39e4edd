"""Nothing at all: what a point costs before it measures anything."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.measures import Metric, Progress, Sample
from harness.point import Point

if TYPE_CHECKING:
    from harness.bench import Bench


class Measure:
    title = "Overhead"
    metrics = {"nothing": Metric("1", None, "always 0; the point's seconds are the overhead of a process of its own")}
    factors: tuple[str, ...] = ()
    trains = False
    reads_corpus = False

    def run(self, point: Point, bench: "Bench") -> Iterator[Sample | Progress]:
        yield Sample("nothing", 0.0)
