"""What columns and tables of a results folder must say alike, beyond what each may hold by itself.

A measure that is not there any more, or is broken, has nothing to be held against.
"""

import pathlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness import measures, values
from harness.cells import ELSEWHERE
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.csvfile import Sheet

SIZES = ("batch_size", "sequence_length")  # factors that an experiment must give where a measure depends on them


def check_samples(path: pathlib.Path, samples: pd.DataFrame) -> None:
    """Raises UserError for a value that its unit does not allow."""
    for at, (unit, value) in enumerate(zip(samples["unit"], samples["value"], strict=True)):
        if wanted := values.expected(unit, value):
            raise _wrong(path, at, "value", repr(float(value)), wanted)


def check_points(path: pathlib.Path, points: pd.DataFrame) -> None:
    """Raises UserError for a row that has a learning rate and does not say how long the sequences were."""
    wrong = points.index[points["learning_rate"].notna() & points["training_sequence_length"].isna()]
    if len(wrong):
        raise _wrong(path, wrong[0], "training_sequence_length", "nothing", "a value beside a learning_rate")


def check(sheets: Mapping[str, "Sheet"]) -> None:
    """Raises UserError for a finished row without a size that its measure depends on, and for a sample of another
    measure than its point's, or in another unit than its metric has."""
    points, samples = sheets["points"], sheets["samples"]
    known = {name: measure for name in set(points.frame["measure"]) if (measure := _measure(name))}
    finished = points.frame[points.frame["status"] == "ok"]
    for size in SIZES:
        needing = [name for name, measure in known.items() if size in measure.factors]
        lacking = finished.index[finished["measure"].isin(needing) & finished[size].isna()]
        if len(lacking):
            name = finished.loc[lacking[0], "measure"]
            raise _wrong(points.path, lacking[0], size, "nothing", f"a value, for {name} depends on it")
    owners = dict(zip(points.frame["point"], points.frame["measure"], strict=True))
    rows: Iterable[Any] = zip(*(samples.frame[name] for name in ("point", "measure", "metric", "unit")), strict=True)
    for at, (point, measure, metric, unit) in enumerate(rows):
        if measure != owners.get(point, measure):
            raise _wrong(samples.path, at, "measure", repr(measure), f"{owners[point]}, which its point is of")
        told = known[measure].metrics.get(metric) if measure in known else None
        if told and unit != told.unit:
            raise _wrong(samples.path, at, "unit", repr(unit), f"{told.unit}, for its metric is {metric}")


def _measure(name: str) -> measures.Measure | None:
    try:
        return measures.load(name)
    except Exception:  # whatever its author has written: results are read without it
        return None


def _wrong(path: pathlib.Path, at: int, column: str, found: str, wanted: str) -> UserError:
    return UserError(f"{path}:{at + 2}: column {column}: found {found}, expected {wanted}; {ELSEWHERE}")
