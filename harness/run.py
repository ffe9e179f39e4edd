"""Running an experiment: what is not done yet, one point at a time, each on disk before the next one starts."""

import functools
import pathlib
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from harness import machine, plan, planned, record, summary, terminal, worker
from harness.experiment import Experiment
from harness.point import Point
from harness.progress import Bar
from harness.sweep import Sweep
from harness.writer import Writer
from reports import plurals

if TYPE_CHECKING:
    from harness.splits import Corpus


class Ran(NamedTuple):
    """What came of a run: the folder of its results, and how many of its points stand there as an error, which is none:
    those that ended in one now, and those that did before and were not run again."""

    folder: pathlib.Path
    errors: int


def run(
    experiment: Experiment,
    points: list[Point],
    out: pathlib.Path,
    device: str,
    fresh: bool = False,
    console: Console | None = None,
    skip: bool = True,
    text: "Corpus | None" = None,
    any_machine: bool = False,
    seeds: Sequence[int] | None = None,
    whole: list[Point] | None = None,
) -> Ran:
    """Runs what is not done yet, or everything where `fresh`, into a folder of results below `out`.

    Where `any_machine`, what other machines of this name have done counts as done. Where `skip`, points larger than one
    of their series that ran out of memory are rows without being tried. Of `text`, the folder keeps how much there is
    to train on, and what the experiment plans: `whole`, where `points` are only some of it. What trains does so at
    `seeds`, where these are given instead of the experiment's.
    Raises UserError where the folder cannot be written or is damaged, and KeyboardInterrupt on Ctrl-C, SIGTERM or
    SIGHUP; by then the point in flight is stopped, and every finished one is kept.
    """
    console = console or terminal.console()
    with worker.interruptible():
        named = worker.call(machine.named, device)
        folder = out / experiment.name / machine.slug(named, device)
        with Writer(folder) as writer:
            writer.settings(experiment.dump())
            writer.planned(planned.rows(experiment.seeds, points if whole is None else whole))
            if text is not None:
                writer.training_bytes(text.sha256, len(text.train))
            for note in writer.notes:
                console.print(f"taken out: {note}", markup=False, highlight=False, soft_wrap=True)
            measured = functools.partial(worker.call, machine.environment, device)
            sweep = Sweep(writer, named["machine"], measured, fresh, skip, any_machine)
            _run_all(experiment.seeds if seeds is None else seeds, points, sweep, console)
    summary.tell(record.load(folder), sweep.configurations, console)
    where = f" --results {shlex.quote(str(out))} --out {shlex.quote(str(out / 'pages'))}"
    where = "" if out == pathlib.Path("results") else where
    before = f"{sweep.skipped} {'was' if sweep.skipped == 1 else 'were'} done before"
    told = f"{plurals.counted(sweep.ran, 'point')} run, {before}. Results: {folder}"
    console.print(f"{told}\nPages: python -m harness report{where}", markup=False, highlight=False, soft_wrap=True)
    for told, style in _unfinished(sweep):
        console.print(told, style=style, markup=False, highlight=False, soft_wrap=True)
    return Ran(folder, sweep.errors + sweep.kept_errors)


def _unfinished(sweep: Sweep) -> Iterator[tuple[str, str]]:
    """Lines on points that have no number and may get one, each with how it looks."""
    if count := sweep.timeouts:
        again = "it" if count == 1 else "them"
        fixes = f"`--set limits.seconds=...` with more runs {again} again, `--fresh --only ...` under the same limit"
        yield f"{plurals.counted(count, 'point')} timed out: {fixes}", "yellow"
    if count := sweep.errors:
        yield f"{count} of {plurals.counted(sweep.ran, 'point')} ended in an error: see the lines above", "red"
    if count := sweep.kept_errors:
        again = "it" if count == 1 else "them"
        yield f"{plurals.being(count, 'error')} kept from before; `--fresh --only ...` runs {again} again", "red"


def _run_all(seeds: Sequence[int], points: list[Point], sweep: Sweep, console: Console) -> None:
    """The points, then those that use the learning rate that the trials among them chose."""
    trials = [point for point in points if point.role == "trial"]
    later = plan.further(seeds, points)
    with Bar(console, [*points, *later]) as progress:
        for point in points:
            progress.start(point)
            progress.end(point, sweep.run(point))
        chosen = plan.chosen(seeds, _tuned(sweep, trials))
        progress.replace(later, chosen)
        for point in chosen:
            progress.start(point)
            progress.end(point, sweep.run(point))


def _tuned(sweep: Sweep, trials: list[Point]) -> list[tuple[Point, float | None]]:
    """Each trial with what chooses among them, None where it failed."""
    if not trials:
        return []
    samples = record.load(sweep.writer.folder).samples
    bits = dict(samples.loc[samples["metric"] == plan.TUNED_BY, ["point", "value"]].to_numpy())
    last = [sweep.last(point) for point in trials]
    told = [bits.get(done.point) if done.status == "ok" else None for done in last]
    return list(zip(trials, told, strict=True))
