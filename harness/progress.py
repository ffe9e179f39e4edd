"""How far a run is: a bar with the time left on a terminal, a line per point in a log."""

import collections

import rich.progress
from rich.console import Console

from harness import predict
from harness.point import Point
from harness.quantity import tell_seconds
from harness.worker import Outcome

REDRAWS_PER_SECOND = 1  # each costs a millisecond or two of a core that is being timed


class Progress:
    """Tells of each point as it starts and ends; use it in a `with` block.

    The time left scales each point's predicted seconds by what the points of its measure took against theirs.
    """

    def __init__(self, console: Console, points: list[Point]):
        self.console, self.waiting, self.total, self.done = console, list(points), len(points), 0
        self._measured: dict[str, float] = collections.defaultdict(float)
        self._predicted: dict[str, float] = collections.defaultdict(float)
        self._printed: set[str] = set()
        columns = (
            "{task.completed}/{task.total}",
            rich.progress.BarColumn(),
            "{task.fields[left]}",
            "{task.description}",
        )
        self._bar = rich.progress.Progress(
            *columns,
            console=console,
            refresh_per_second=REDRAWS_PER_SECOND,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=self.total, left="")

    def __enter__(self) -> "Progress":
        self._bar.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.__exit__(None, None, None)

    def start(self, point: Point) -> None:
        self._update(describe(point))

    def end(self, point: Point, outcome: Outcome | None) -> None:
        """`outcome` is None where the point was done before."""
        self.waiting.remove(point)
        self.done += 1
        if outcome is not None and outcome.seconds is not None:
            self._measured[point.measure] += outcome.seconds
            self._predicted[point.measure] += predict.seconds(point)
        if outcome is not None:
            self._tell(point, outcome)
        self._update("")

    def replace(self, old: list[Point], new: list[Point]) -> None:
        """Some points are known only now: `new` instead of `old`."""
        self.waiting = [*(point for point in self.waiting if point not in old), *new]
        self.total = self.done + len(self.waiting)

    def seconds_left(self) -> float | None:
        """None as long as nothing was measured."""
        if not self._measured:
            return None
        overall = sum(self._measured.values()) / sum(self._predicted.values())
        ratios = {measure: spent / self._predicted[measure] for measure, spent in self._measured.items()}
        return sum(predict.seconds(point) * ratios.get(point.measure, overall) for point in self.waiting)

    def _update(self, description: str) -> None:
        left = self.seconds_left()
        told = "" if left is None else f"{tell_seconds(left)} left"
        self._bar.update(self._task, completed=self.done, total=self.total, left=told, description=description)

    def _tell(self, point: Point, outcome: Outcome) -> None:
        failed = outcome.status not in ("ok", "not_applicable")
        if failed or not self.console.is_terminal:
            took = "" if outcome.seconds is None else f" {outcome.seconds:.1f} s"
            reason = f": {outcome.reason}" if outcome.reason else ""
            line = f"[{self.done}/{self.total}] {outcome.status}{took}  {describe(point)}{reason}"
            self.console.print(line, markup=False, highlight=False)
        if outcome.output and outcome.output not in self._printed:  # a warning of every point is told once
            self._printed.add(outcome.output)
            self.console.print(outcome.output, markup=False, highlight=False, style="dim")


def describe(point: Point) -> str:
    """A point in a few words."""
    told = [point.measure, point.label]
    if point.form:
        told.append(point.form)
    if point.batch_size or point.sequence_length:
        told.append("x".join(str(size) for size in (point.batch_size, point.sequence_length) if size))
    if point.training:
        told.append(f"rate {point.training.learning_rate:g} seed {point.seed}")
    return " ".join(told)
