"""How far a run is: a bar with the time left on a terminal, a line per point in a log."""

import collections

import rich.markup
import rich.progress
from rich.console import Console

from harness import predict
from harness.measures import DIVERGED
from harness.point import Point
from harness.quantity import tell_seconds
from harness.worker import Outcome
from reports import plurals

REDRAWS_PER_SECOND = 1  # each costs a millisecond or two of a core that is being timed
OUTPUT_LINES = 20  # of what a point printed that did not fail


class Bar:
    """Tells of each point as it starts and ends; use it in a `with` block.

    The time left scales each point's predicted seconds by what the points of its measure took against theirs.
    """

    def __init__(self, console: Console, points: list[Point]):
        self.console, self.total, self.done = console, len(points), 0
        self._left = collections.defaultdict[str, float](float)  # predicted seconds of what is to come, by measure
        self._predicted = collections.defaultdict[str, float](float)  # of what was measured, and
        self._measured = collections.defaultdict[str, float](float)  # what it took
        self._printed: set[str] = set()
        for point in points:
            self._left[point.measure] += predict.seconds(point)
        self._bar = rich.progress.Progress(
            *("{task.completed}/{task.total}", rich.progress.BarColumn(), "{task.fields[left]}", "{task.description}"),
            console=console,
            refresh_per_second=REDRAWS_PER_SECOND,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=self.total, left="")

    def __enter__(self) -> "Bar":
        self._bar.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.__exit__(None, None, None)

    def start(self, point: Point) -> None:
        self._update(describe(point))

    def end(self, point: Point, outcome: Outcome | None) -> None:
        """`outcome` is None where the point was done before."""
        self.done += 1
        predicted = predict.seconds(point)
        self._left[point.measure] -= predicted
        if outcome is not None and outcome.seconds is not None:
            self._measured[point.measure] += outcome.seconds
            self._predicted[point.measure] += predicted
        if outcome is not None:
            self._tell(point, outcome)
        self._update("")

    def replace(self, old: list[Point], new: list[Point]) -> None:
        """Some points are known only now: `new` instead of `old`."""
        self.total += len(new) - len(old)
        for sign, points in ((-1, old), (1, new)):
            for point in points:
                self._left[point.measure] += sign * predict.seconds(point)

    def seconds_left(self) -> float | None:
        """None as long as nothing was measured."""
        predicted = sum(self._predicted.values())
        if not predicted:
            return None
        overall = sum(self._measured.values()) / predicted
        ratios = {measure: self._measured[measure] / spent for measure, spent in self._predicted.items() if spent}
        return max(0.0, sum(left * ratios.get(measure, overall) for measure, left in self._left.items()))

    def _update(self, description: str) -> None:
        left = self.seconds_left()
        told = "" if left is None else f"{tell_seconds(left)} left"
        self._bar.update(
            self._task, completed=self.done, total=self.total, left=told, description=rich.markup.escape(description)
        )

    def _tell(self, point: Point, outcome: Outcome) -> None:
        failed = outcome.status not in ("ok", "not_applicable")
        reason, output = outcome.reason, outcome.output
        if outcome.kind == DIVERGED:
            reason = f"diverged, {outcome.what}; the sweep goes on"
        if failed or not self.console.is_terminal:
            took = "" if outcome.seconds is None else f" {outcome.seconds:.1f} s"
            told = f": {reason}" if reason else ""
            line = f"[{self.done}/{self.total}] {outcome.status}{took}  {describe(point)}{told}"
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)
        if output and output not in self._printed:  # a warning of every point is told once
            self._printed.add(output)
            self.console.print(output if failed else _end_of(outcome), markup=False, highlight=False, style="dim")


def _end_of(outcome: Outcome) -> str:
    """The last lines of what a point printed that went well: more would hide what is told of the others."""
    lines = outcome.output.splitlines()
    before = max(outcome.lines, len(lines)) - OUTPUT_LINES
    told = [f"... {plurals.counted(before, 'line')} before these"] if before > 0 else []
    return "\n".join([*told, *lines[-OUTPUT_LINES:]])


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
