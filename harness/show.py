"""`python -m harness show`: what results folders hold, as plain tables of 100 columns at most. It only reads.

A table per measure, a line per model and combination of factors: how it went, the medians over repeats and seeds of the
metrics that the measure lists first, and the share of the floor where the pages draw one; below them, whether a time
is below its floor. Rows that hold now count.
"""

import csv
import dataclasses
import pathlib
import statistics
import textwrap
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
from rich.console import Console

from harness import cells, document, ending, filters, measures, plan, record, summary, terminal
from harness.errors import UserError, listed, named, unknown
from harness.point import Point
from harness.tables import TABLES

if TYPE_CHECKING:
    from reports.rows import View

WIDE = 100  # characters
MOST_REASON = 2 * WIDE  # of each failure
MOST_METRICS = 3
SIZES = ["batch_size", "sequence_length"]
SOMETIMES = {  # told where they differ within some label, and what their columns are called
    "form": "form", "dtype": "dtype", "learning_rate": "rate", "training_sequence_length": "trained at",
    "width": "width", "layers": "layers", "heads": "heads", "parameters_target": "parameters", "device": "device",
}  # fmt: skip


def tell(place: pathlib.Path | None, results: pathlib.Path, only: Sequence[str]) -> int:
    """Prints a section per results folder, and what is wrong with those that are damaged. Returns the exit code.

    Raises UserError where there are none, none is whole, or the filters keep nothing.
    """
    damaged: dict[pathlib.Path, UserError] = {}
    found = record.load_each(folders(place, results), damaged)
    try:
        _tell_all(found, only)
    finally:
        code = ending.damaged(damaged.values())
    return code


def _tell_all(found: Sequence[record.ResultSet], only: Sequence[str]) -> None:
    from reports import busy, floors, rows

    out = terminal.console()
    out.width = min(out.width, WIDE)
    kept = _kept([rows.current(one.points) for one in found], only)
    for one in (rows.View(dataclasses.replace(each, points=points)) for each, points in zip(found, kept, strict=True)):
        if only and one.points.empty:
            continue
        out.print(f"{one.experiment}, {one.device}: {one.question or 'no question is kept'}")
        for note in one.notes:
            out.print(f"left out: {note}")
        out.print()
        for measure, points in one.points.groupby("measure", sort=False):
            _tell(one, str(measure), points, out)
        for caution in filter(None, (busy.caution(one.points), floors.caution(one))):
            out.print(caution, "", sep="\n")


def folders(place: pathlib.Path | None, results: pathlib.Path) -> list[pathlib.Path]:
    """The results folders that are meant: all below `results`, or those in or below a folder, or of an experiment.

    Raises UserError where there are none, naming what there is.
    """
    if place is None:
        return record.folders(results)
    fix = "name a folder such as results/<experiment>, an experiment's file, or neither for all results"
    if place.is_dir():
        record.check_open(place)
        if found := _below(place, results):
            return found
        raise UserError(f"{place}: there are no results in this folder; {fix}")
    name = place.stem if place.suffix in (".yaml", ".yml") else str(place)
    if place.is_file() and name != place.stem:
        fix = f"name a folder such as {place.parent}" if _below(place.parent, results) else fix
        raise UserError(f"{named(place)}: this is no experiment, whose name ends in .yaml; {fix}")
    there = record.folders(results)
    if found := [folder for folder in there if folder.parent.name == name]:
        return found
    known = sorted({folder.parent.name for folder in there})
    if place.is_file():
        fix = f"`python -m harness run {place}` makes some, and --results names another folder to look in"
        told = f"there are no results of this experiment in {results}, but of {listed(known)}"
        raise UserError(f"{place}: {told}; {fix}")
    raise UserError(f"{named(place)}: there is no such folder or file; {unknown('experiment', name, known)}")


def _below(place: pathlib.Path, results: pathlib.Path) -> list[pathlib.Path]:
    """The results folders that a folder is or holds: it is one device's, one experiment's, or holds experiments."""
    for below in ("", "*/", "*/*/"):
        if found := sorted({path.parent for name in TABLES for path in place.glob(f"{below}{name}.csv")}):
            ours = below != "*/*/" or place.resolve().is_relative_to(results.resolve())
            return [folder for folder in found if ours or not _foreign(folder)]
    return []


def _foreign(folder: pathlib.Path) -> bool:
    """Whether its first point can be read and is not of the experiment that the folder around it is called. What
    cannot be read may be results that are damaged: loading them tells."""
    try:
        with (folder / "points.csv").open(encoding="utf-8-sig", newline="") as file:
            first = next(csv.DictReader(file), None)
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return first is not None and first.get("experiment") != folder.resolve().parent.name


def _kept(found: list[pd.DataFrame], only: Sequence[str]) -> list[pd.DataFrame]:
    """Of each table of points the rows that all filters keep; those of forms only where nothing else is asked for."""
    if not only:
        return found
    rows = [
        types.SimpleNamespace(**{key: cells.value(row[key]) for key in filters.KEYS}, point=(i, row["point"]))
        for i, points in enumerate(found)
        for row in points.astype(object).to_dict("records")
    ]
    kept = filters.only(cast(list[Point], rows), only, sorted({row.seed for row in rows}))
    of_entries = {text.partition("=")[0] for text in only} <= set(filters.OF_ENTRIES)
    if not of_entries and f"measure={plan.FORMS}" not in only:
        kept = [row for row in kept if row.measure != plan.FORMS]
    if not kept:
        raise UserError(f"--only {listed(map(named, only))}: no row has all of these; leave one out")
    points = {cast(Any, row).point for row in kept}
    return [each[[(i, point) in points for point in each["point"]]] for i, each in enumerate(found)]


def _tell(one: "View", measure: str, points: pd.DataFrame, out: Console) -> None:
    """The table of one measure, and below it why points failed."""
    samples, floors = _samples(one, points), _floors(one, measure)
    metrics = _metrics(measure, samples)
    values = {key: list(found) for key, found in samples.groupby(["metric", "point"])["value"]}
    by = ["label", *SIZES, *(name for name in SOMETIMES if (points.groupby("label")[name].nunique() > 1).any())]
    sized = points[SIZES].notna().to_numpy().any()
    columns = ["model", *(["batch x length"] if sized else []), *(SOMETIMES[name] for name in by[3:]), "status"]
    columns += [name if unit == "1" else f"{name}\n{unit}" for name, unit in metrics.items()]
    columns += ["of floor"] if floors else []
    cells, failed = [], []
    for _, group in points.groupby(by, dropna=False):
        first = group.iloc[0]
        size = ["x".join(_plain(first[name]) or "-" for name in SIZES)] if sized else []
        factors = [first["label"], *size, *(_plain(first[name]) for name in by[3:])]
        medians = [_median(values, group["point"], name, unit) for name, unit in metrics.items()]
        shares = [floors[point] for point in group["point"] if point in floors][:1]
        share = [f"{shares[0]:.1%}" if shares else "-"] if floors else []
        cells.append((*factors, _status(group), *medians, *share))
        reasons = (f"{' '.join(filter(None, factors))}: {reason}" for reason in group["reason"].dropna().unique())
        failed += [textwrap.shorten(reason, MOST_REASON, placeholder=" ...") for reason in reasons]
    terminal.rows(out, measure, tuple(columns), cells)
    if failed:
        out.print(*failed, "", sep="\n")


def _samples(one: "View", points: pd.DataFrame) -> pd.DataFrame:
    """Of what finished: those at a point's own length, or that of its training, else at the longest one."""
    finished = points.loc[points["status"] == "ok", ["point", "sequence_length", "training_sequence_length"]]
    found = one.samples[one.samples["bucket"].isna()].merge(finished, on="point")
    length = found["length"]
    own = length.isna() | (length == found["sequence_length"]) | (length == found["training_sequence_length"])
    found = found.assign(own=own.fillna(False).astype(bool), length=length.fillna(0))
    of_each = found.groupby(["metric", "point"])
    longest = found["length"] == of_each["length"].transform("max")
    return found[found["own"] | (longest & ~of_each["own"].transform("any"))]


def _metrics(measure: str, samples: pd.DataFrame) -> dict[str, str]:
    """The first metrics of which there are samples, with their units, less those that the share of the floor tells.

    They are in the order of the measure, while its file is there.
    """
    from reports import rows

    told = [name for name, _ in rows.FLOOR]
    units = dict(samples[["metric", "unit"]].drop_duplicates("metric").to_numpy())
    order = measures.load(measure).metrics if measure in measures.names() else units
    return {name: units[name] for name in [name for name in order if name in units and name not in told][:MOST_METRICS]}


def _floors(one: "View", measure: str) -> dict[str, float]:
    """The median share of the floor behind each point, of measures for which the pages have a figure of it."""
    from reports import rows

    if not (document.FOLDER.parent / "reports" / "figures" / f"{measure}_floor.py").is_file():
        return {}
    found = rows.floor(one, measure)
    lines = [] if found is None else found.dropna(subset=rows.SHARE).to_dict("records")
    return {point: line[rows.SHARE] for line in lines for point in line["point"].split()}


def _median(values: Mapping[Any, list[float]], points: Iterable[str], metric: str, unit: str) -> str:
    """Over repeats and seeds."""
    mine = [value for point in points for value in values.get((metric, point), [])]
    return summary.short(statistics.median(mine), unit) if mine else "-"


def _status(group: pd.DataFrame) -> str:
    """Of all of them, or how many of each."""
    alone = group["status"].nunique() == 1
    return str(group["status"].iloc[0]) if alone else summary.counted(group["status"])


def _plain(cell: Any) -> str:
    if pd.isna(cell):
        return ""
    return f"{cell:g}" if isinstance(cell, float) else str(cell)
