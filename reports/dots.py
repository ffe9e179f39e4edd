"""A row per series: seeds as small dots, their mean as a large marker with its interval."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports import style, wording
from reports.style import Style

ROW = 0.34  # inches
NOTE = (
    "Bits per byte, lower is better. Dots are seeds, the large marker their mean, the bar its 95% interval by "
    "Student's t over seeds."
)


def draw(data: pd.DataFrame, looks: Style, value: str, axis: str, name: str = "series") -> Figure:
    """`value` with `low`, `high` and, in `each_seed`, the seeds' own numbers; rows in the order of the table."""
    height = ROW * len(data) + 0.75
    made = style.figure(7.2, height)
    axes = made.add_axes((0.28, 0.5 / height, 0.6, (height - 0.6) / height))
    for row, line in enumerate(data.to_dict("records")):
        look = looks[line["series"]]
        seeds = [float(number) for number in str(line["each_seed"]).split()]
        axes.plot(seeds, [row] * len(seeds), linestyle="", marker="o", markersize=3.5, color=look.colour, alpha=0.55)
        bar(axes, row, line, look)
        axes.plot(line[value], row, marker=look.marker, markersize=8, color=look.colour, markeredgecolor="white")
        axes.annotate(
            wording.number(line[value]), (1.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=8.5
        )
    axes.set(xlabel=axis, ylim=(len(data) - 0.5, -0.5), yticks=range(len(data)))
    axes.set_yticklabels([wording.clipped(_name(line, looks, name)) for line in data.to_dict("records")])
    axes.margins(x=0.08)
    axes.grid(axis="y", visible=False)
    return made


def bar(axes: Axes, row: int, line: dict, look: style.Look) -> None:
    """The interval of a row, where it has one."""
    if pd.notna(line["low"]):
        axes.plot([line["low"], line["high"]], [row, row], color=look.colour, linewidth=5, alpha=0.3)


def _name(line: dict, looks: Style, name: str) -> str:
    return looks[line["series"]].title if name == "series" else f"{name} {line[name]}"
