"""`python -m harness validate`: whether experiment files can be run, and what is odd about them wherever they are run.

Text in files here is read, for a run reads it first; none is fetched or built. What depends on a machine, its memory or
what else computes there, is for `run` to say, before anything runs as well: `run --dry-run`.
"""

import pathlib
import sys
from collections.abc import Iterable, Iterator

from harness import experiment, foresight, plan, planned, predict, record
from harness.errors import UserError
from harness.experiment import Experiment
from harness.point import DEVICES, Point
from harness.quantity import tell_bytes
from reports import plurals

DEFAULT = pathlib.Path("results")  # which a new clone may lack


def refused(files: Iterable[pathlib.Path], results: pathlib.Path, overrides: list[str]) -> int:
    """Prints what there is to say of each file with these overrides, and returns how many of them cannot be run.

    Raises UserError where a folder of results is named that is none.
    """
    if results != DEFAULT and not results.is_dir():
        record.folders(results)  # tells which is meant
    bad = 0
    for file in files:
        try:
            asked = experiment.load(file, overrides)
            text = experiment.text(file, overrides, asked.corpus, elsewhere=False)
            points = plan.points(asked, DEVICES[0])
            foresight.refuse_nothing(points, str(file))
        except UserError as error:
            bad += 1
            print(error, file=sys.stderr)
            continue
        print(f"{file}: ok, {_counted(asked, points)}; {_largest(points)}")
        odd = foresight.anywhere(points, asked.corpus, len(text.train) if text else None)
        for told in (*odd, *_outgrown(asked, results)):
            print(f"{file}: {told}", file=sys.stderr)
    return bad


def _counted(asked: Experiment, points: list[Point]) -> str:
    """The points, and how many more they are on other devices."""
    more = {device: len(plan.points(asked, device)) - len(points) for device in DEVICES[1:]}
    others = [f"{count} more on {device}" for device, count in more.items() if count]
    return "; ".join([planned.counted(asked.seeds, points), *others])


def _largest(points: list[Point]) -> str:
    most = tell_bytes(max(map(predict.memory_bytes, points)))
    return f"the largest is predicted to need {most} (`run --dry-run` tells of each)"


def _outgrown(asked: Experiment, results: pathlib.Path) -> Iterator[str]:
    """A line for each folder of its results whose plan lacks some of its points: they are data, and keep their own."""
    for path in sorted(results.glob(f"{asked.name}/*/{planned.FILE}")):
        try:
            more = planned.lacking(path.parent, asked)
        except UserError as error:
            yield str(error)
            continue
        if more:
            told = f"it plans {plurals.counted(more, 'point')} more than the results in {path.parent} were run with"
            yield f"{told}; the pages count them from the next run there on"
