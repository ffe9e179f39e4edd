"""One sweep: what is on disk of each point, whether that is final, and how one more point gets there."""

import dataclasses
import datetime
import functools
import itertools
import re
from collections.abc import Callable
from typing import Any

from harness import budget, cache, cells, csvfile, measures, plan, predict, tables, worker
from harness.child import BadValue
from harness.measures import DISAGREE, DIVERGED, FormsDisagree
from harness.point import Point, digest
from harness.sources import code_hash
from harness.worker import Outcome
from harness.writer import Writer

OUTGROWN = "predicted to run out of memory: "  # what the reason of a skipped point begins with
BLOCKED = "its forms "  # what the reason of a point begins with that was not run for its model's forms
GROWING = ("batch_size", "sequence_length")  # more of either, all else equal, needs no less memory


@dataclasses.dataclass(frozen=True)
class Done:
    """What is on disk of one point."""

    point: str
    status: str
    reason: str
    limit_seconds: float | None
    limit_bytes: int | None

    @property
    def kind(self) -> str:
        """That of its failure: a row keeps the reason alone, which begins with the name of the error."""
        return DISAGREE if self.reason.startswith(f"{FormsDisagree.__name__}: ") else ""

    def is_final(self, point: Point, blocked: str | None, outgrown: str | None) -> bool:
        """Whether running it again could tell nothing new: the limits are no wider, its forms stand as they did, and no
        failure of the system ended it."""
        if self.status == "not_applicable":
            return True
        if self.status == "skipped":
            return outgrown is not None
        if self.reason.startswith(BLOCKED) != (blocked is not None):
            return False
        if self.status == "timeout":
            return not _wider(point.limit_seconds, self.limit_seconds)
        if blocked is None and worker.passes(self.status, self.reason):
            return False
        return self.status != "oom" or not _wider(point.limit_bytes, self.limit_bytes)


class Sweep:
    """What is on disk of each configuration under this code on this machine, and how one more point gets there.

    Where `any_machine`, also what machines of the same name have done: a sweep may go on where another one stopped.
    `measured` gives the row of environments.csv, for which every core is taken for seconds: it is called before the
    first point that is run, and where all are done never.
    """

    def __init__(
        self,
        writer: Writer,
        machine: str,
        measured: Callable[[], dict[str, Any]],
        fresh: bool,
        skip: bool,
        any_machine: bool = False,
    ):
        self.writer, self.machine, self.fresh, self.skip = writer, machine, fresh, skip
        self.any_machine = any_machine
        self._environment = functools.cache(measured)
        self.ran = self.skipped = self.errors = self.kept_errors = self.timeouts = 0
        self.configurations: list[str] = []
        self._done: dict[tuple[str, ...], list[Done]] = {}
        self._blocked: dict[str, str | None] = {}
        self._full: dict[str, list[Point]] = {}  # of each series, the points that ran out of memory
        self._names = set(writer.points["point"])
        machines = writer.environments.set_index("environment")["machine"]
        for row in writer.points.astype(object).to_dict("records"):
            key = self._key(row["configuration"], row["code"], machines[row["environment"]])
            told = {field.name: cells.value(row[field.name]) for field in dataclasses.fields(Done)}
            self._done.setdefault(key, []).append(Done(**told | {"reason": told["reason"] or ""}))

    def run(self, point: Point) -> Outcome | None:
        """Runs one point and keeps what came of it; None where that is on disk already."""
        computed = point.configuration, code_hash(point.model, point.measure), self.machine
        before = self._done.setdefault(self._key(*computed), [])
        blocked = None if point.measure == plan.FORMS else self._blocked.get(_entry(point))
        self.configurations.append(point.configuration)
        outgrown = self._outgrown(point) if self.skip else None
        if before and not self.fresh and before[-1].is_final(point, blocked, outgrown):
            self.skipped += 1
            self.kept_errors += before[-1].status == "error" and not _diverged(point, before[-1].reason)
            self._judge(point, before[-1])
            return None
        self._environment()
        name = self._name(digest(computed), len(before))
        if self.fresh and point.training is not None:
            cache.start_over(cache.training(*computed[:2]))
        outcome = _outcome(point, blocked, outgrown)
        self._keep(point, name, outcome)
        before.append(Done(name, outcome.status, outcome.reason, point.limit_seconds, point.limit_bytes))
        self.ran += 1
        self.errors += outcome.status == "error" and outcome.kind != DIVERGED  # which a rate may: nothing is broken
        self._judge(point, outcome)
        return outcome

    def last(self, point: Point) -> Done:
        """What is on disk of a point that `run` was given."""
        code = code_hash(point.model, point.measure)
        return self._done[self._key(point.configuration, code, self.machine)][-1]

    def _key(self, configuration: str, code: str, machine: str) -> tuple[str, ...]:
        """What decides whether a point is done: what is computed, by which code and, unless any will do, where."""
        return (configuration, code) if self.any_machine else (configuration, code, machine)

    def _name(self, computed: str, count: int) -> str:
        """An id that no row has. `count` rows of what is computed are known here, and there may be more: where any
        machine will do, those of all were counted, and later this one's alone."""
        name = next(each for n in itertools.count(count) if (each := digest([computed, n])) not in self._names)
        self._names.add(name)
        return name

    def _judge(self, point: Point, came: Done | Outcome) -> None:
        """Remembers what was too large, how many were too slow, and a model whose forms disagree: no other number of it
        would mean anything."""
        self.timeouts += came.status == "timeout"
        if came.status == "oom":
            self._full.setdefault(_series(point), []).append(point)
        if point.measure == plan.FORMS and came.status not in ("ok", "not_applicable"):
            verb = "disagree" if came.kind == DISAGREE else "could not be compared"
            self._blocked[_entry(point)] = f"{BLOCKED}{verb}: {came.reason}"

    def _outgrown(self, point: Point) -> str | None:
        """Why this point will run out of memory: a smaller one of its series did, under no narrower limit."""
        for smaller in self._full.get(_series(point), []):
            sizes = [(getattr(smaller, name) or 0, getattr(point, name) or 0) for name in GROWING]
            if all(least <= size for least, size in sizes) and not _wider(point.limit_bytes, smaller.limit_bytes):
                batch = f"batch size {smaller.batch_size} with " if smaller.batch_size else ""
                return f"{OUTGROWN}{batch}{smaller.sequence_length} tokens did; --no-skip tries it"
        return None

    def _keep(self, point: Point, name: str, outcome: Outcome) -> None:
        metrics, environment = measures.load(point.measure).metrics, self._environment()
        whose = {"point": name, "measure": point.measure}
        samples = [{**whose, **dataclasses.asdict(row), "unit": metrics[row.metric].unit} for row in outcome.samples]
        self.writer.commit(
            {
                **_row(point, outcome),
                "point": name,
                "code": code_hash(point.model, point.measure),
                "environment": environment["environment"],
                "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            },
            point.options,
            samples,
            [{"point": name, **dataclasses.asdict(row)} for row in outcome.curve],
            environment,
        )


def _outcome(point: Point, blocked: str | None, outgrown: str | None) -> Outcome:
    if point.not_applicable is not None:
        return Outcome("not_applicable", point.not_applicable, None)
    if blocked is not None:
        return Outcome("error", blocked, None)
    if outgrown is not None:
        return Outcome("skipped", outgrown, None)
    return worker.run(point, measures.load(point.measure))


def _row(point: Point, outcome: Outcome) -> dict[str, Any]:
    """The columns of points.csv that the point and its outcome tell."""
    row = {name: getattr(point, name) for name in csvfile.columns("points") if hasattr(point, name)}
    if point.parameters and point.parameters_target:
        row["parameters_mismatch"] = point.parameters / point.parameters_target - 1
    if point.training:
        row |= {name: getattr(point.training, name) for name in ("learning_rate", *tables.TRAINED)}
        row["training_sequence_length"] = point.training.sequence_length
        row["training_batch_size"] = point.training.batch_size
    if outcome.curve:
        row["training_tokens"] = outcome.curve[-1].tokens
        if point.training:
            row["training_flops"] = budget.flops_of(point, outcome.curve[-1].tokens)
    if not point.not_applicable:
        row |= {"predicted_seconds": predict.seconds(point), "predicted_bytes": predict.memory_bytes(point)}
    row |= dataclasses.asdict(outcome.circumstances) | {"attempts": outcome.attempts}
    return row | {"status": outcome.status, "reason": outcome.reason or None, "seconds": outcome.seconds}


def _diverged(point: Point, reason: str) -> bool:
    """Whether the reason of a row says of a training that its loss, or what it predicts, became no number."""
    name = re.escape(BadValue.__name__)
    return point.training is not None and re.match(rf"{name}: .* is (nan|-?inf)\b", reason) is not None


def _entry(point: Point) -> str:
    """What a `forms` point vouches for: one model with its options and sizes."""
    sizes = (point.width, point.layers, point.heads, point.ffn_width, point.vocabulary, point.max_length)
    return digest([point.model, point.options, sizes])


def _series(point: Point) -> str:
    """Points that differ in nothing but `GROWING`."""
    return dataclasses.replace(
        point, batch_size=None, sequence_length=None, flops_per_token=None, state_bytes=None
    ).configuration


def _wider(now: float | None, then: float | None) -> bool:
    return then is not None and (now is None or now > then)
