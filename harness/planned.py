"""What an experiment plans, kept beside its results as `planned.csv`: what was never run has no row to be told by.

A run keeps the whole plan, also where `--only` leaves most of it for later, and what several runs plan adds up. A line
has the columns of points.csv that tell planned points apart; the rate of a `chosen` one is known once the trials are.

`python -m harness.planned FOLDER [EXPERIMENT.yaml]` keeps the plan of an experiment, or of the settings in a results
folder, and measures nothing.
"""

import pathlib
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness import cells, csvfile, ending
from harness.errors import UserError
from harness.point import Point
from reports import plurals

if TYPE_CHECKING:
    from harness.experiment import Experiment

FILE = "planned.csv"
TYPES = {
    "measure": "str", "label": "str", "form": "str", "batch_size": "Int64", "sequence_length": "Int64", "dtype": "str",
    "width": "Int64", "layers": "Int64", "heads": "Int64", "parameters_target": "Int64", "seed": "Int64",
    "role": "str", "learning_rate": "float64",
}  # fmt: skip
RATE = "learning_rate"
USAGE = "usage: python -m harness.planned FOLDER [EXPERIMENT.yaml], such as results/triangle/cpu-intel-xeon"


def rows(seeds: Sequence[int], points: Iterable[Point]) -> Iterator[dict[str, Any]]:
    """A row per point that an experiment plans, and per further one that uses the rate that its trials choose."""
    from harness import plan

    given = list(points)
    for point in given:
        yield _row(point, point.training.learning_rate if point.training else None)
    for point in plan.further(seeds, given):
        yield _row(point, None)


def _row(point: Point, rate: float | None) -> dict[str, Any]:
    return {name: rate if name == RATE else getattr(point, name) for name in TYPES}


def counted(seeds: Sequence[int], points: Sequence[Point]) -> str:
    """How many points these are with all that follow from their trials, as the pages count them, and what is among."""
    from harness import plan

    more = len(plan.further(seeds, points))
    barred = sum(point.not_applicable is not None for point in points)
    among = [f"{plurals.counted(more, 'further seed')} at the rates that trials choose"] if more else []
    among += [f"{barred} not applicable"] if barred else []
    told = plurals.counted(len(points) + more, "planned point")
    return f"{told}, among them {' and '.join(among)}" if among else told


def lacking(folder: pathlib.Path, experiment: "Experiment") -> int:
    """How many points an experiment plans that the plan kept in a results folder does not have.

    Raises UserError where the folder cannot be read.
    """
    from harness import plan, record

    path, devices = folder / FILE, record.load(folder).points["device"]
    if not path.exists() or devices.empty:
        return 0
    told = rows(experiment.seeds, plan.points(experiment, str(devices.iloc[-1])))
    return len(set(_lines(told)) - set(_known(path)))


def merged(path: pathlib.Path, told: Iterable[Mapping[str, Any]]) -> str:
    """The file with these rows added, each once."""
    load(path.parent)  # refuses what is no such file
    return "".join(f"{line}\n" for line in dict.fromkeys([*_known(path), *_lines(told)]))


def _known(path: pathlib.Path) -> list[str]:
    """The lines that `load` reads, blank ones at the end left out; the header where there is no file."""
    return cells.lines(cells.text_of(path))[0] or [",".join(TYPES)]


def _lines(told: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    return (csvfile.line(list(TYPES), row) for row in told)


def load(folder: pathlib.Path) -> pd.DataFrame:
    """The plan that a folder keeps; empty where it keeps none. Raises UserError where it cannot be read."""
    path = folder / FILE
    if not path.exists():
        return pd.DataFrame(columns=list(TYPES))
    anew = f"remove it and write it anew with `python -m harness.planned {shlex.quote(str(folder))}`"
    return csvfile.plain(path, TYPES, f"restore it (as `git restore` does), or {anew}")


def keep(folder: pathlib.Path, experiment: "Experiment") -> None:
    """Keeps the plan of an experiment beside results that there are. Raises UserError where there are none."""
    from harness import plan, record
    from harness.writer import Writer

    devices = record.load(folder).points["device"]  # a writer would make the folder
    if devices.empty:
        raise UserError(
            f"{folder}: its tables hold no row yet; `python -m harness run` keeps a plan with its first one"
        )
    with Writer(folder) as writer:
        writer.planned(rows(experiment.seeds, plan.points(experiment, str(devices.iloc[-1]))))


def main() -> None:
    """Keeps the plan that the words of the command line name. Raises UserError for what is no such folder or file."""
    from harness import experiment, record

    given = sys.argv[1:]
    if not 1 <= len(given) <= 2 or given[0].startswith("-"):
        raise UserError(USAGE)
    place, *files = map(pathlib.Path, given)
    record.load(place)  # first: settings are missed where there are no results
    keep(place, experiment.load(files[0] if files else place / record.SETTINGS))


if __name__ == "__main__":
    ending.run(main)
