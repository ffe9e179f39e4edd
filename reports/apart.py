"""A row per series with its output, state and gradient: how far each is from what it is to be, on a log axis."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from reports import rows, style, wording
from reports.style import Style

PLACES = {"output": -0.27, "state": 0.0, "gradient": 0.27}  # in a row
SMALLEST = 1e-17  # where an exact zero is drawn
ROOM = (5.0, 20.0)  # below the smallest value, and beyond the largest, for the words beside it


def table(result_set: Any, metrics: Mapping[str, str], value: str, more: list[str]) -> pd.DataFrame | None:
    """A line per series and one of `metrics`, which names what each is of; None where none was measured."""
    told = [rows.summary(result_set, "forms", metric) for metric in metrics]
    found = [
        one.rename(columns={metric: value}).assign(of=of)
        for (metric, of), one in zip(metrics.items(), told, strict=True)
        if one is not None
    ]
    if not found:
        return None
    columns = ["series", "model", *more, "of", value, "status", "reason", "point"]
    return pd.concat(found, ignore_index=True)[columns].sort_values(["series", "of"], ignore_index=True)


def draw(data: pd.DataFrame, looks: Style, value: str, axis: str, room: tuple[float, float] = ROOM) -> Figure:
    """`value` of every series, in the order of the table; `room` is left on both sides, as factors."""
    names = list(dict.fromkeys(data["series"]))
    height = 0.5 * len(names) + 0.8
    made = style.figure(7.2, height)
    axes = made.add_axes((0.28, 0.5 / height, 0.6, (height - 0.75) / height))
    for row, name in enumerate(names):
        for line in data[data["series"] == name].to_dict("records"):
            _mark(axes, row, line, looks[name], value)
    low, high = (max(float(end), SMALLEST) for end in (data[value].min(), data[value].max()))
    axes.set(xscale="log", xlabel=axis, ylim=(len(names) - 0.5, -0.5), xlim=(low / room[0], high * room[1]))
    axes.xaxis.set(major_locator=LogLocator(numticks=9), minor_locator=NullLocator())
    axes.set_yticks(range(len(names)), [wording.clipped(looks[name].title) for name in names])
    axes.grid(axis="y", visible=False)
    return made


def _mark(axes: Any, row: int, line: dict, look: style.Look, value: str) -> None:
    place = row + PLACES[line["of"]]
    if np.isfinite(line[value]):
        at = max(line[value], SMALLEST)
        axes.plot(at, place, marker=look.marker, markersize=4.5, color=look.colour, linestyle="")
        axes.annotate(line["of"], (at, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=7)
    elif line["of"] == "output":
        said = rows.STATUS_TEXT[line["status"]]
        axes.annotate(said, (0.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=8.5)
