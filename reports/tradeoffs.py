"""The three sides of the triangle: each pair of corners against each other, raw values with intervals."""

from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from reports import labels, style, wording
from reports.corner import BY_NAME, VALUES
from reports.style import Style


class Side(NamedTuple):
    """One pair of corners: x, y, and the question that the pair answers."""

    x: str
    y: str
    title: str


SIDES = (
    Side("training", "quality", "Does fast training cost prediction?"),
    Side("decode", "quality", "Does cheap decoding cost prediction?"),
    Side("training", "decode", "Does fast training cost cheap decoding?"),
)


def draw(table: pd.DataFrame, looks: Style, side: Side) -> Figure:
    """Better is always up and to the right: the axis of bits per byte is turned round."""
    made = style.figure(6.6, 3.7)
    axes = made.add_axes((0.13, 0.15, 0.72, 0.8))
    told = table.dropna(subset=[VALUES[side.x], VALUES[side.y]])
    _scale(axes, "x", told, side.x, 1.5)
    _scale(axes, "y", told, side.y, 1.25)
    axes.set(xlabel=BY_NAME[side.x].axis, ylabel=BY_NAME[side.y].axis)
    _front(axes, told, side)
    for line in told.to_dict("records"):
        _point(axes, line, looks[line["series"]], side)
    labels.beside_points(
        axes, {line["series"]: (line[VALUES[side.x]], line[VALUES[side.y]]) for line in told.to_dict("records")}, looks
    )
    return made


def _point(axes: Axes, line: dict, look: style.Look, side: Side) -> None:
    x, y = line[VALUES[side.x]], line[VALUES[side.y]]
    if pd.notna(line[f"{side.x}_low"]):
        axes.plot([line[f"{side.x}_low"], line[f"{side.x}_high"]], [y, y], color=look.colour, linewidth=3.5, alpha=0.35)
    if pd.notna(line[f"{side.y}_low"]):
        axes.plot([x, x], [line[f"{side.y}_low"], line[f"{side.y}_high"]], color=look.colour, linewidth=3.5, alpha=0.35)
    axes.plot(x, y, marker=look.marker, color=look.colour, markersize=8, markeredgecolor="white", zorder=4)


def _scale(axes: Axes, which: str, told: pd.DataFrame, name: str, room: float) -> None:
    columns = told[[VALUES[name], f"{name}_low", f"{name}_high"]].astype(float)
    low, high = float(columns.min().min()), float(columns.max().max())
    if name == "quality":
        spare = 0.14 * (high - low) or 0.05 * high
        axes.set(**{f"{which}lim": (high + spare, low - spare)})
        return
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low / room, high * room)})
    axis = getattr(axes, f"{which}axis")
    axis.set(major_locator=LogLocator(subs=(1, 2, 5), numticks=8), minor_locator=NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: wording.short(value)))


def unbeaten(told: pd.DataFrame, side: Side) -> list[str]:
    """The series that no other one beats on both axes, sorted by x."""
    told = told.dropna(subset=[VALUES[side.x], VALUES[side.y]])
    pairs = {line["series"]: (_good(line, side.x), _good(line, side.y)) for line in told.to_dict("records")}
    kept = [
        name
        for name, mine in pairs.items()
        if not any(other != mine and other[0] >= mine[0] and other[1] >= mine[1] for other in pairs.values())
    ]
    return sorted(kept, key=lambda name: (pairs[name], name))


def _good(line: dict, name: str) -> float:
    value = float(line[VALUES[name]])
    return -value if name == "quality" else value


def _front(axes: Axes, told: pd.DataFrame, side: Side) -> None:
    front = told.set_index("series").loc[unbeaten(told, side)]
    axes.plot(
        front[VALUES[side.x]], front[VALUES[side.y]], color=style.QUIET, linewidth=1, linestyle=(0, (2, 2)), zorder=1
    )


def text(table: pd.DataFrame, side: Side) -> str:
    """Every model's two values with intervals, who is unbeaten where there are several, and who is missing."""
    parts, missing = [], []
    for line in table.to_dict("records"):
        name = wording.title(line["series"], line["model"])
        if pd.isna(line[VALUES[side.x]]) or pd.isna(line[VALUES[side.y]]):
            missing.append(name)
            continue
        both = [wording.interval(line[VALUES[at]], line[f"{at}_low"], line[f"{at}_high"]) for at in (side.x, side.y)]
        parts.append(f"{name} {both[0]} {BY_NAME[side.x].unit} and {both[1]} {BY_NAME[side.y].unit}")
    models = table.set_index("series")["model"]
    front = [wording.title(name, models[name]) for name in unbeaten(table, side)]
    told = f"{'; '.join(parts)}."
    told += f" Beaten by no other on both: {wording.listed(front)}." if len(parts) > 1 else ""
    return told + (f" Missing here: {wording.listed(missing)}." if missing else "")
