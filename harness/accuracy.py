"""How far predictions are from what was measured: each finished point on the machine that its own row describes.

Rates are those that the point's environment measured (products, a copy); the time of a launch is that of the file in
harness/machines/ that fits its device, which itself may come from decode steps. Nothing else is taken from times.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

import models
from harness import cost, document, hardware, measures, options, record
from harness.cells import ELSEWHERE
from harness.csvfile import OPTION
from harness.errors import UserError
from harness.hardware import Machine
from harness.job import Job
from models._cost import Shape
from reports import rows

MS = 1000.0  # in a second
KEPT = ("measure", "model", "label", "batch_size", "sequence_length")
Predict = Callable[[Job, Machine], float]

PREDICTED: dict[str, Predict] = {  # by metric, wherever a measure gives it
    "step_ms": lambda job, machine: MS * cost.training(job, machine).seconds,
    "prefill_ms": lambda job, machine: MS * cost.prefill(job, machine).seconds,
    "token_ms": lambda job, machine: MS * cost.decode(job, machine).seconds,
    "peak_bytes": lambda job, machine: cost.training(job, machine).memory_bytes,
    "peak_allocated_bytes": cost.context_bytes,
    "peak_resident_bytes": cost.context_bytes,
    "state_bytes": lambda job, machine: cost.decode(job, machine).memory["state"],
}


def load(results: pathlib.Path, damaged: dict[pathlib.Path, UserError] | None = None) -> pd.DataFrame:
    """A line per finished point and metric: where it is from, `KEPT`, metric, measured, predicted, and their ratio.

    Folders that are damaged are left out and added to `damaged`. Raises UserError for them where there is none given or
    nothing is left, where there are no results, and where none can be predicted.
    """
    lines: list[dict[str, Any]] = []
    for one in record.load_all(results, damaged):
        folder = results / one.experiment / one.device
        try:
            lines += of(one)
        except UserError as error:
            of_row = UserError(f"{folder}/{error}")
            if damaged is None:
                raise of_row from None
            damaged[folder] = of_row
    if damaged and not lines:
        raise record.all_of(damaged)
    if not lines:
        known = ", ".join(PREDICTED)
        raise UserError(f"--results {results}: none of its points measured what can be predicted: {known}")
    told = pd.DataFrame(lines)
    told = told[told["measured"] > 0]
    return told.assign(ratio=told["predicted"] / told["measured"])


def of(result_set: record.ResultSet) -> list[dict[str, Any]]:
    """The lines of one results folder."""
    points = rows.current(result_set.points)
    points = points[(points["status"] == "ok") & points["batch_size"].notna() & points["sequence_length"].notna()]
    samples = result_set.samples[result_set.samples["metric"].isin(PREDICTED)]
    medians = samples.groupby(["point", "metric"])["value"].median()
    environments = result_set.environments.drop_duplicates("environment", keep="last").set_index("environment")
    lines = []
    for point in points.to_dict("records"):
        if point["model"] not in models.names():  # a file that is gone
            continue
        there = [metric for metric in PREDICTED if (point["point"], metric) in medians.index]
        if "peak_allocated_bytes" in there and "peak_resident_bytes" in there:
            there.remove("peak_resident_bytes")  # of an allocator that keeps what is freed
        machine = hardware.measured(environments.loc[point["environment"]].dropna(), point["device"])
        told: dict[str, Any] = {"experiment": result_set.experiment, "device": result_set.device}
        told |= {name: point[name] for name in KEPT}
        for metric in there:
            values = {"measured": medians[point["point"], metric], "predicted": PREDICTED[metric](job(point), machine)}
            lines.append(told | {"metric": metric} | values)
    return lines


def job(point: Mapping[Any, Any]) -> Job:
    """What a row of points.csv computed. Raises UserError where its model refuses the options that stand there."""
    kind, known = models.load(point["model"]), options.of(point["model"])
    shape = Shape(**{field.name: int(point[field.name]) for field in dataclasses.fields(Shape)})
    try:
        chosen = {name: _option(option, point.get(OPTION + name)) for name, option in known.items()}
        built = options.build(point["model"], chosen)
        kind.check(shape, built)
    except ValueError as error:
        raise UserError(f"points.csv: point {point['point']} of {point['model']}: {error}; {ELSEWHERE}") from None
    form = None if pd.isna(point["form"]) else point["form"]
    sizes = int(point["batch_size"]), int(point["sequence_length"])
    graph = point.get("graph") == "true"
    return Job(kind, shape, built, *sizes, point["dtype"], form, graph=graph)


def _option(option: options.Option, cell: Any) -> Any:
    """An option's value from how `options.tell` wrote it; an empty cell is the default. Raises ValueError."""
    if cell is None or pd.isna(cell):
        return option.default
    plain, as_list = _parsed(cell)
    for given in (cell, as_list):
        with contextlib.suppress(ValueError):
            return option.value(given)
    try:
        return option.value(plain)
    except ValueError as error:
        raise ValueError(f"{OPTION}{option.name}: {error}") from None


def _parsed(cell: str) -> tuple[Any, list[Any]]:
    value, _ = document.parse(cell, "")
    return value, [document.parse(part, "")[0] for part in cell.strip("[]").split(",")]


def summary(told: pd.DataFrame) -> pd.DataFrame:
    """Of each kind of device, metric and model: points, and median, least and most of predicted over measured."""
    grouped = told.groupby(["device", "metric", "model"], sort=True)["ratio"]
    return grouped.agg(points="size", median="median", least="min", most="max").reset_index()


def units() -> dict[str, str]:
    """The unit of each metric that can be predicted."""
    found = [measures.load(name).metrics for name in measures.names()]
    return {metric: about.unit for each in found for metric, about in each.items() if metric in PREDICTED}
