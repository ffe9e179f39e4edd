"""Which rows count, and what they say: every figure, corner and claim reads the tables through this file.

A table of results that this file returns has one line per combination of factors, with the columns `series` (the name
in the pictures), `model`, the factors, the measured value with `low` and `high` (a 95% interval over
repeats in one process, empty for a single value; processes can differ by more), how many values stand behind it,
`status`, `reason` and `point`, the ids of the rows of points.csv behind it.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from reports import intervals, peaks

Table = TypeVar("Table")

SIZE = ["width", "layers", "parameters_target"]
SHAPE = ["width", "layers", "heads", "parameters_target"]
CELL = ["sequence_length", "batch_size", "dtype"]  # where models are compared
FACTORS = ["form", "batch_size", "sequence_length", "dtype", *SHAPE]
SAME_POINT = ["measure", "label", *FACTORS, "device", "training_sequence_length", "training_batch_size", "seed"]
FLOOR = (("flops_per_second", "peak_flops"), ("bytes_per_second", "peak_bytes_per_second"))  # of environments.csv
SHARE = "share_of_floor"
SEVERITY = ("ok", "not_applicable", "skipped", "timeout", "oom", "error")
STATUS_TEXT = {
    "ok": "ok",
    "not_applicable": "not applicable",
    "skipped": "skipped as too large",
    "timeout": "timed out",
    "oom": "out of memory",
    "error": "failed",
}


class View:
    """A result set that remembers what has been read out of it: its tables do not change while pages are drawn."""

    def __init__(self, result_set: Any) -> None:
        self.experiment, self.device = str(result_set.experiment), str(result_set.device)
        self.question, self.settings = result_set.question, result_set.settings
        self.points, self.samples = result_set.points, result_set.samples
        self.curves, self.environments = result_set.curves, result_set.environments
        self.planned = getattr(result_set, "planned", None)
        self.training_bytes = getattr(result_set, "training_bytes", {})
        self.notes = getattr(result_set, "notes", ())
        self.kept: dict[Any, Any] = {}


def once(read: Callable[..., Table]) -> Callable[..., Table]:
    """Reads a `View` once for the same arguments, another result set every time. What is read must not be changed."""

    @functools.wraps(read)
    def kept(result_set: Any, *arguments: Any) -> Table:
        if not isinstance(result_set, View):
            return read(result_set, *arguments)
        key = (read.__module__, read.__name__, *arguments)
        if key not in result_set.kept:
            result_set.kept[key] = read(result_set, *arguments)
        return result_set.kept[key]

    return kept


def current(points: pd.DataFrame) -> pd.DataFrame:
    """The rows that hold now: points.csv only grows, so of each configuration, and of each combination of factors that
    was run again with other training tokens, text or unswept options, the last row."""
    told = points.drop_duplicates("configuration", keep="last")
    return told.drop_duplicates([*SAME_POINT, "learning_rate", "role"], keep="last")


def changed(environments: pd.DataFrame) -> pd.Series:
    """Which of these ran sources that differ from their commit."""
    return environments["dirty"].astype(str).str.lower() == "true"


@once
def _current(result_set: Any) -> pd.DataFrame:
    return current(result_set.points)


@once
def of_measure(result_set: Any, measure: str) -> pd.DataFrame:
    """The current rows of points.csv for one measure."""
    points = _current(result_set)
    return points[points["measure"] == measure]


@once
def comparable(result_set: Any, measure: str) -> pd.DataFrame:
    """The current rows of one measure that may be compared as equals, see `of_last_size`."""
    same = of_last_size(result_set)
    return same[same["measure"] == measure]


@once
def of_last_size(result_set: Any) -> pd.DataFrame:
    """The current rows of the width, depth and parameter budget that was run last, and of each entry the heads that it
    was run with last. What is left out is told by reports/sizes.py."""
    points = _current(result_set)
    if points.empty:
        return points
    same = alike(points, points.iloc[-1][SIZE])
    return same[same["heads"] == same.groupby("label")["heads"].transform("last")]


def alike(table: pd.DataFrame, wanted: Any) -> pd.DataFrame:
    """The lines that equal `wanted`, a mapping of columns to values; a missing value equals a missing value."""
    masks = [table[name].isna() if pd.isna(value) else table[name] == value for name, value in wanted.items()]
    return table[np.logical_and.reduce([mask.fillna(False).to_numpy(bool) for mask in masks])]


def named(table: pd.DataFrame) -> pd.DataFrame:
    """With `series`: the label, and those of form, dtype and shape that differ within some label."""
    told = table.copy()
    told["series"] = told["label"].astype(object)
    for factor in ("form", "dtype", *SHAPE):
        if factor in told and (told.groupby("label")[factor].nunique() > 1).any():
            extra = told[factor].map(lambda value, name=factor: _said(name, value))
            told["series"] = told["series"] + extra
    return told


def _said(factor: str, value: Any) -> str:
    if pd.isna(value):
        return ""
    return f" {value}" if factor in ("form", "dtype") else f" {factor}={value}"


def environments(result_set: Any) -> pd.DataFrame:
    """The rows of environments.csv, the last one of each."""
    return result_set.environments.drop_duplicates("environment", keep="last")


def samples_of(result_set: Any, points: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The samples of one metric behind the `ok` rows of `points`."""
    finished = points.loc[points["status"] == "ok", "point"]
    samples = result_set.samples
    return samples[samples["point"].isin(finished) & (samples["metric"] == metric)]


def behind(points: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Those of `points`, or of samples, that the column `point` of a table names."""
    return points[points["point"].isin(" ".join(table["point"]).split())]


@once
def summary(result_set: Any, measure: str, metric: str) -> pd.DataFrame | None:
    """The median of one metric over repeats and seeds for every combination of factors; None where there is no row.

    A combination without any value keeps its line, with the worst status and its reason. Combinations that ran but do
    not give this metric have no line.
    """
    points = of_measure(result_set, measure)
    return _medians(points, samples_of(result_set, points, metric), metric)


@once
def floor(result_set: Any, measure: str) -> pd.DataFrame | None:
    """The same of the share of the floor: the least time that the device's measured rates allow over the time that was
    measured. What must be computed and what must be moved each set a floor; the higher one counts."""
    points = of_measure(result_set, measure)
    shares = [_shares(result_set, samples_of(result_set, points, metric), peak) for metric, peak in FLOOR]
    highest = pd.concat(shares).sort_values("value").drop_duplicates(["point", "repeat"], keep="last")
    return _medians(points, highest, SHARE)


def _medians(points: pd.DataFrame, samples: pd.DataFrame, metric: str) -> pd.DataFrame | None:
    lines = []
    for _, group in points.groupby(["label", "model", *FACTORS], dropna=False, sort=True):
        values = samples.loc[samples["point"].isin(group["point"]), "value"].to_numpy(float)
        failed = group[group["status"] != "ok"]
        if not len(values) and failed.empty:
            continue
        lines.append(_line(group, failed, metric, values))
    if not lines or all(np.isnan(line[metric]) for line in lines):
        return None
    return tidy(named(pd.DataFrame(lines)))


def _shares(result_set: Any, samples: pd.DataFrame, peak: str) -> pd.DataFrame:
    """The samples over the best peak of their device, where there is one of their own number format over that one."""
    best: Any = peaks.best(environments(result_set))
    points = result_set.points.drop_duplicates("point", keep="last").set_index("point")
    told = points.loc[samples["point"], ["environment", "dtype"]].itertuples(index=False)
    columns = [(where, peaks.column(best, peak, dtype)) for where, dtype in told]
    rates = [best.at[where, column] if column in best else float("nan") for where, column in columns]
    return samples.assign(value=samples["value"] / pd.array(rates, dtype="Float64")).dropna(subset="value")


def _line(group: pd.DataFrame, failed: pd.DataFrame, metric: str, values: np.ndarray) -> dict[str, Any]:
    low, high = intervals.bootstrap(values)
    first = group.iloc[0]
    return {
        **{name: first[name] for name in ("label", "model", *FACTORS)},
        metric: float(np.median(values)) if len(values) else float("nan"),
        "low": low,
        "high": high,
        "repeats": len(values),
        "status": "ok" if len(values) else worst(failed["status"]),
        "reason": "; ".join(sorted(set(failed["reason"].dropna()))),
        "point": " ".join(group["point"]),
    }


def worst(statuses: Any) -> str:
    """The worst of several statuses."""
    return max(statuses, key=SEVERITY.index)


def tidy(table: pd.DataFrame) -> pd.DataFrame:
    """`series` and `model` first, `label` gone, factors that say nothing (all empty, or a shape that is the same
    everywhere) gone."""
    silent = [name for name in FACTORS if name in table and table[name].isna().all()]
    silent += [name for name in SHAPE if name in table and table[name].nunique(dropna=False) == 1]
    told = table.drop(columns=["label", *dict.fromkeys(silent)])
    front = ["series", "model"]
    return told[[*front, *(name for name in told if name not in front)]].reset_index(drop=True)


def failures(table: pd.DataFrame) -> pd.DataFrame:
    """The lines without a value that someone should know of."""
    return table[table["status"] != "ok"]
