"""How often the gate is wrong on this machine: trials of a tree against itself and against slower copies of itself.

    python -m harness.gate.trial run       # measures, and writes results/gate/<device>/visits.csv as it goes
    python -m harness.gate.trial table     # the rules side by side, from those files alone
    python -m harness.gate.trial write     # the same into CONTRIBUTING.md

A trial is one gate over every point of the experiment. Trials of all kinds take turns, so that a drift of the machine
meets them alike. Nothing is decided while measuring but what a gate decides, which is whether to take more pairs.
"""

import contextlib
import csv
import dataclasses
import pathlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from harness import commands, ending, machine, terminal, worker
from harness.child import ROOT
from harness.errors import UserError
from harness.gate import cases, command, compare, control, plant, processes, trial_table
from harness.gate.cases import Case, Pair
from harness.gate.rules import Rules
from harness.gate.trees import Tree
from reports import plurals

EXPERIMENT = ROOT / "experiments" / "ci_throughput.yaml"
SLOWDOWNS = (5, 10, 20)  # percent
CALIBRATION = 5  # visits to every point, from which the loops are sized
COLUMNS = (
    *("trial", "slowdown_percent", "point", "model", "measure"),
    *("stage", "pair", "side", "position", "repeat", "ms"),
)
app = typer.Typer(
    cls=commands.Commands,
    help=str(__doc__).partition("\n")[0],
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Out = Annotated[pathlib.Path, typer.Option(metavar="DIR", help="Where the results are.")]


@app.command()
def run(
    experiment: Annotated[pathlib.Path, typer.Option(help="The points of every trial.")] = EXPERIMENT,
    same: Annotated[int, typer.Option(help="Trials against an equal copy.")] = 7,
    planted: Annotated[int, typer.Option(help="Trials against each slower copy.")] = 3,
    minutes: Annotated[float, typer.Option(help="Time after which no further trial begins.")] = 35.0,
    threads: Annotated[int, typer.Option(help="That each measurement computes with.")] = 1,
    out: Out = pathlib.Path("results/gate"),
) -> None:
    """Measures trials of a tree against itself and against slower copies."""
    began, console = time.monotonic(), terminal.console()
    with command.threads(threads), worker.interruptible(), tempfile.TemporaryDirectory(prefix="gate-trial-") as scratch:
        environment = worker.call(machine.environment, "cpu")
        folder = out / machine.slug(environment, "cpu")
        with _writer(folder, environment) as write:
            trees, rows = _prepared(pathlib.Path(scratch), experiment)
            for number, slowdown in enumerate(_order(same, planted)):
                if time.monotonic() - began > 60 * minutes:
                    console.print(f"{minutes:g} minutes are over after {plurals.counted(number, 'trial')}")
                    break
                console.print(f"trial {number + 1} of {same + planted * len(SLOWDOWNS)}: {slowdown}% slower")
                write(number, slowdown, *_trial(trees[None], trees[slowdown], rows))
    console.print(f"{folder} after {(time.monotonic() - began) / 60:.1f} minutes")
    table(out)


@app.command()
def table(out: Out = pathlib.Path("results/gate")) -> None:
    """Prints false alarms and misses of every rule."""
    terminal.console().print(trial_table.markdown(out), soft_wrap=True)


@app.command()
def write(out: Out = pathlib.Path("results/gate")) -> None:
    """Puts the tables between the marks of CONTRIBUTING.md."""
    trial_table.PART.write(trial_table.markdown(out))


def _prepared(scratch: pathlib.Path, experiment: pathlib.Path) -> tuple[dict[int | None, Tree], list[Case]]:
    """The copies, None for the base and then by slowdown, and the points. Raises UserError where there is none."""
    trees = {
        slowdown: Tree(plant.copy(ROOT, scratch / f"copy-{slowdown}"), str(slowdown), "")
        for slowdown in (None, 0, *SLOWDOWNS)
    }
    (lines,) = processes.surveyed([trees[None].path], experiment.resolve(), "cpu")
    found = cases.paired(lines, lines)
    if not found.cases:
        raise UserError(f"{experiment}: no point of it has a time; {' '.join(found.notes)}")
    times: dict[str, list[float]] = {}
    for _ in range(CALIBRATION):
        with compare.visits(trees[None], trees[0]) as measure:
            for case in found.cases:
                told = measure("base", case)
                if told["status"] != "ok":
                    raise UserError(f"{case.key} cannot be measured: {told['reason']}")
                times.setdefault(case.key, []).append(statistics.median(told["samples"]))
    sized = [(case.base, statistics.median(times[case.key])) for case in found.cases]
    for slowdown in SLOWDOWNS:
        plant.slow_down(trees[slowdown].path, sized, slowdown / 100)
    return trees, found.cases


def _order(same: int, planted: int) -> list[int]:
    """The slowdowns of all trials in percent, each kind spread evenly over the whole time."""
    counts = {0: same, **dict.fromkeys(SLOWDOWNS, planted)}
    at = [((i + 0.5) / count, slowdown) for slowdown, count in counts.items() for i in range(count)]
    return [slowdown for _, slowdown in sorted(at)]


def _trial(base: Tree, head: Tree, rows: list[Case]) -> tuple[list[Case], list[Pair]]:
    """One gate over all points."""
    fresh = [dataclasses.replace(case, first=[], again=[], failures={"base": [], "head": []}) for case in rows]
    rules = Rules()
    pairs = compare.run(
        fresh,
        lambda: compare.visits(base, head),
        lambda: control.measure("cpu"),
        lambda case: rules,
        float("inf"),
        lambda line: None,
    )
    return fresh, pairs


@contextlib.contextmanager
def _writer(folder: pathlib.Path, environment: dict[str, Any]) -> Iterator[Any]:
    """A function that writes a trial's samples. Raises UserError where there are samples already: they are kept."""
    samples = folder / trial_table.SAMPLES
    folder.mkdir(parents=True, exist_ok=True)
    try:
        made = open(samples, "x", encoding="utf-8", newline="")  # noqa: SIM115
    except FileExistsError:
        fix = "move them away, or name another --out"
        raise UserError(f"{samples}: there are trials of this machine already; {fix}") from None
    with open(folder / "environment.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([environment.keys(), environment.values()])
    with made as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)

        def write(number: int, slowdown: int, found: list[Case], controls: list[Pair]) -> None:
            for case in found:
                names = (number, slowdown, case.key, case.base["model"], case.base["measure"])
                for stage in ("first", "again"):
                    lines.writerows((*names, stage, *rest) for rest in _samples(getattr(case, stage)))
            names = (number, slowdown, trial_table.CONTROL, "", "")
            lines.writerows((*names, "first", *rest) for rest in _samples(controls))
            file.flush()

        yield write


def _samples(pairs: list[Pair]) -> Iterator[tuple[Any, ...]]:
    for number, pair in enumerate(pairs):
        for side in ("base", "head"):
            position = int((side == "base") != pair.base_first)
            for repeat, value in enumerate(getattr(pair, side)):
                yield number, side, position, repeat, value


def main() -> None:
    """Runs the command line."""
    app(prog_name="python -m harness.gate.trial")


if __name__ == "__main__":
    ending.run(main)
