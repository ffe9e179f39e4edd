"""What was predicted of each point before it ran, over what was measured."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports import rows, style, wording
from reports.style import Style

PEAKS = ("peak_bytes", "peak_allocated_bytes", "peak_resident_bytes")  # the first that a point has
QUANTITIES = {"seconds": "predicted_seconds", "peak bytes": "predicted_bytes"}  # and the columns of points.csv
TICKS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16)
RATIO = "predicted_over_measured"


class Figure:
    title = "How near do predictions come to what was measured?"
    place = 71
    note = (
        "Medians over the points of a measure; lines run from the least ratio to the largest. Seconds are those of a "
        "whole point, process and warming up included; peak bytes are above what the process held before."
    )

    def data(self, result_set: Any) -> pd.DataFrame | None:
        points = rows.current(result_set.points)
        points = points[points["status"] == "ok"]
        found = [_ratios(points, name, _measured(result_set, points, name)) for name in QUANTITIES]
        table = pd.concat(found, ignore_index=True)
        return None if table.empty else table.sort_values(["measure", "quantity", "series"], ignore_index=True)

    def draw(self, data: pd.DataFrame, style_: Style) -> Drawing:
        groups = list(data.groupby(["measure", "quantity"], sort=True))
        heights = [0.16 * len(group) + 0.16 for _, group in groups]
        names = sorted(set(data["series"]))
        high = sum(heights) + 0.75 + 0.22 * len(names)
        made = style.figure(7.2, high)
        axes = made.add_axes((0.26, 0.5 / high, 0.7, sum(heights) / high))
        low, top, at, places = data["least"].min(), data["most"].max(), 0.0, []
        for ((measure, quantity), group), room in zip(groups, heights, strict=True):
            places.append((at + room / 2, f"{measure}, {quantity}"))
            for i, line in enumerate(group.to_dict("records")):
                _line(axes, at + 0.16 * (i + 1), line, style_[line["series"]])
            at += room
        axes.axvline(1, color=style.QUIET, linewidth=1.2, zorder=1)
        axes.set(xscale="log", xlabel="predicted over measured", ylim=(at, 0))
        axes.set_xlim(min(low / 1.3, 0.45), max(top * 1.3, 2.2))
        axes.xaxis.set(major_locator=FixedLocator(TICKS), minor_locator=NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: wording.number(value)))
        axes.set_yticks(*zip(*places, strict=True))
        axes.grid(axis="y", visible=False)
        marks = [
            axes.plot([], [], **_dot(style_[name]), label=wording.clipped(style_[name].title))[0] for name in names
        ]
        axes.legend(handles=marks, loc="lower left", bbox_to_anchor=(0, 1), ncols=1, frameon=False)
        return made

    def text(self, data: pd.DataFrame) -> str:
        parts = []
        for (measure, quantity), group in data.groupby(["measure", "quantity"], sort=True):
            told = [
                f"{wording.title(line['series'], line['model'])} {wording.number(line[RATIO])}"
                for line in group.to_dict("records")
            ]
            parts.append(f"{quantity} of {measure}: {', '.join(told)}")
        return f"Predicted over measured, medians of {'; '.join(parts)}."


def _measured(result_set: Any, points: pd.DataFrame, quantity: str) -> pd.Series:
    """By point id."""
    if quantity == "seconds":
        return points.set_index("point")["seconds"].astype(float)
    found = pd.Series(dtype=float)
    for metric in PEAKS:
        samples = rows.samples_of(result_set, points, metric)
        found = found.combine_first(samples.groupby("point")["value"].median().astype(float))
    return found


def _ratios(points: pd.DataFrame, quantity: str, measured: pd.Series) -> pd.DataFrame:
    """A line per measure and series; none where the points hold no predictions of that quantity."""
    column = QUANTITIES[quantity]
    predicted = points[column] if column in points else pd.Series(float("nan"), index=points.index)
    ratios = pd.to_numeric(predicted).astype(float) / points["point"].map(measured).astype(float)
    told = points.assign(**{RATIO: ratios}, series=points["label"], quantity=quantity)
    told = told[(told[RATIO] > 0) & (told[RATIO] < float("inf"))]
    grouped = told.groupby(["series", "model", "measure", "quantity"], sort=True)
    lines = grouped[RATIO].agg(["median", "min", "max", "size"])
    names = {"median": RATIO, "min": "least", "max": "most", "size": "points"}
    return lines.rename(columns=names).assign(point=grouped["point"].agg(" ".join)).reset_index()


def _dot(look: style.Look) -> dict[str, Any]:
    return {"marker": look.marker, "color": look.colour, "linestyle": "", "markersize": 4.5}


def _line(axes: Any, y: float, line: dict, look: style.Look) -> None:
    axes.plot([line["least"], line["most"]], [y, y], color=look.colour, linewidth=1.4, alpha=0.6)
    axes.plot(line[RATIO], y, **_dot(look))
