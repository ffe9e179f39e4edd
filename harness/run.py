"""Running an experiment: what is not done yet, one point at a time, each on disk before the next one starts."""

import dataclasses
import datetime
import pathlib
import shlex
from typing import Any

import pandas as pd
from rich.console import Console

from harness import csvfile, machine, measures, plan, record, show, summary, worker
from harness.experiment import Experiment
from harness.point import Point, digest
from harness.progress import Progress
from harness.sources import code_hash
from harness.worker import Outcome
from harness.writer import Writer

BLOCKED = "its forms "  # what the reason of a point begins with that was not run for its model's forms
TUNED_BY = "tuning_bits_per_byte"  # the metric that chooses among trials


@dataclasses.dataclass(frozen=True)
class Done:
    """What is on disk of one point."""

    point: str
    status: str
    reason: str
    limit_seconds: float | None
    limit_bytes: int | None

    def is_final(self, point: Point, blocked: str | None) -> bool:
        """Whether running it again could tell nothing new: the limits are no wider, and its forms stand as they did."""
        if self.status == "not_applicable":
            return True
        if self.reason.startswith(BLOCKED) != (blocked is not None):
            return False
        if self.status == "timeout":
            return not _wider(point.limit_seconds, self.limit_seconds)
        return self.status != "oom" or not _wider(point.limit_bytes, self.limit_bytes)


def run(
    experiment: Experiment,
    points: list[Point],
    out: pathlib.Path,
    device: str,
    fresh: bool = False,
    console: Console | None = None,
) -> pathlib.Path:
    """Runs what is not done yet, or everything where `fresh`, and returns the folder of results below `out`.

    Raises UserError where the folder cannot be written or is damaged, and KeyboardInterrupt on Ctrl-C or SIGTERM; by
    then the point in flight is stopped, and every finished one is kept.
    """
    console = console or show.console()
    with worker.interruptible():
        environment = worker.call(machine.environment, device)
        folder = out / experiment.name / machine.slug(environment, device)
        with Writer(folder) as writer:
            writer.settings(experiment.dump())
            for note in writer.notes:
                console.print(f"taken out: {note}", markup=False, highlight=False, soft_wrap=True)
            sweep = Sweep(writer, environment, fresh)
            _run_all(experiment, points, sweep, console)
    summary.tell(record.load(folder), sweep.configurations, console)
    where = "" if out == pathlib.Path("results") else f" --results {shlex.quote(str(out))}"
    told = f"{sweep.ran} points run, {sweep.skipped} were done before. Results: {folder}"
    console.print(f"{told}\nPages: python -m harness report{where}", markup=False, highlight=False, soft_wrap=True)
    return folder


def _run_all(experiment: Experiment, points: list[Point], sweep: "Sweep", console: Console) -> None:
    """The points, then those that use the learning rate that the trials among them chose."""
    trials = [point for point in points if point.role == "trial"]
    later = plan.chosen(experiment, [(point, 0.0) for point in trials])  # which rate will win does not change how many
    with Progress(console, [*points, *later]) as progress:
        for point in points:
            progress.start(point)
            progress.end(point, sweep.run(point))
        chosen = plan.chosen(experiment, _tuned(sweep, trials))
        progress.replace(later, chosen)
        for point in chosen:
            progress.start(point)
            progress.end(point, sweep.run(point))


def _tuned(sweep: "Sweep", trials: list[Point]) -> list[tuple[Point, float | None]]:
    """Each trial with what chooses among them, None where it failed."""
    if not trials:
        return []
    samples = record.load(sweep.writer.folder).samples
    bits = dict(samples.loc[samples["metric"] == TUNED_BY, ["point", "value"]].to_numpy())
    last = [sweep.last(point) for point in trials]
    told = [bits.get(done.point) if done.status == "ok" else None for done in last]
    return list(zip(trials, told, strict=True))


class Sweep:
    """What is on disk of each configuration under this code on this machine, and how one more point gets there."""

    def __init__(self, writer: Writer, environment: dict[str, Any], fresh: bool):
        self.writer, self.environment, self.fresh = writer, environment, fresh
        self.ran = self.skipped = 0
        self.configurations: list[str] = []
        self._done: dict[str, list[Done]] = {}
        self._blocked: dict[str, str | None] = {}
        machines = writer.environments.set_index("environment")["machine"]
        for row in writer.points.astype(object).to_dict("records"):
            key = digest([row["configuration"], row["code"], machines[row["environment"]]])
            told = {field.name: _value(row[field.name]) for field in dataclasses.fields(Done)}
            self._done.setdefault(key, []).append(Done(**told | {"reason": told["reason"] or ""}))

    def run(self, point: Point) -> Outcome | None:
        """Runs one point and keeps what came of it; None where that is on disk already."""
        key = self._key(point)
        before = self._done.setdefault(key, [])
        blocked = None if point.measure == plan.FORMS else self._blocked.get(_entry(point))
        self.configurations.append(point.configuration)
        if before and not self.fresh and before[-1].is_final(point, blocked):
            self.skipped += 1
            self._judge(point, before[-1].status, before[-1].reason)
            return None
        name = digest([key, len(before)])
        outcome = _outcome(point, blocked)
        self._keep(point, name, outcome)
        before.append(Done(name, outcome.status, outcome.reason, point.limit_seconds, point.limit_bytes))
        self.ran += 1
        self._judge(point, outcome.status, outcome.reason)
        return outcome

    def last(self, point: Point) -> Done:
        """What is on disk of a point that `run` was given."""
        return self._done[self._key(point)][-1]

    def _key(self, point: Point) -> str:
        """What decides whether a point is done: what is computed, by which code, on which machine."""
        return digest([point.configuration, code_hash(point.model, point.measure), self.environment["machine"]])

    def _judge(self, point: Point, status: str, reason: str) -> None:
        """Remembers a model whose forms disagree: none of its other numbers would mean anything."""
        if point.measure == plan.FORMS and status not in ("ok", "not_applicable"):
            verb = "disagree" if status == "error" else "could not be compared"
            self._blocked[_entry(point)] = f"{BLOCKED}{verb}: {reason}"

    def _keep(self, point: Point, name: str, outcome: Outcome) -> None:
        metrics = measures.load(point.measure).metrics
        whose = {"point": name, "measure": point.measure}
        samples = [{**whose, **dataclasses.asdict(row), "unit": metrics[row.metric].unit} for row in outcome.samples]
        self.writer.commit(
            {
                **_row(point, outcome),
                "point": name,
                "code": code_hash(point.model, point.measure),
                "environment": self.environment["environment"],
                "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            },
            point.options,
            samples,
            [{"point": name, **dataclasses.asdict(row)} for row in outcome.curve],
            self.environment,
        )


def _outcome(point: Point, blocked: str | None) -> Outcome:
    if point.not_applicable is not None:
        return Outcome("not_applicable", point.not_applicable, None)
    if blocked is not None:
        return Outcome("error", blocked, None)
    return worker.run(point, measures.load(point.measure))


def _row(point: Point, outcome: Outcome) -> dict[str, Any]:
    """The columns of points.csv that the point and its outcome tell."""
    row = {name: getattr(point, name) for name in csvfile.columns("points") if hasattr(point, name)}
    if point.parameters and point.parameters_target:
        row["parameters_mismatch"] = point.parameters / point.parameters_target - 1
    if point.training:
        row["learning_rate"] = point.training.learning_rate
        row["training_sequence_length"] = point.training.sequence_length
        row["training_batch_size"] = point.training.batch_size
    if outcome.curve:
        row["training_tokens"] = outcome.curve[-1].tokens
        if point.flops_per_token is not None:  # of the forward pass; the backward one costs twice as much
            row["training_flops"] = 3.0 * point.flops_per_token * outcome.curve[-1].tokens
    return row | {"status": outcome.status, "reason": outcome.reason or None, "seconds": outcome.seconds}


def _entry(point: Point) -> str:
    """What a `forms` point vouches for: one model with its options and sizes."""
    sizes = (point.width, point.layers, point.heads, point.ffn_width, point.vocabulary, point.max_length)
    return digest([point.model, point.options, sizes])


def _wider(now: float | None, then: float | None) -> bool:
    return then is not None and (now is None or now > then)


def _value(cell: Any) -> Any:
    """A table's cell, None where it is empty."""
    return None if pd.isna(cell) else cell
