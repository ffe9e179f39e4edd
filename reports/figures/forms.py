"""How far the forms of one model are apart: a model whose forms disagree gets no other number."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import LogLocator, NullLocator

from reports import rows, style, wording
from reports.style import Style

METRICS = {"output_difference": "output", "state_difference": "state", "gradient_difference": "gradient"}
SMALLEST = 1e-17  # where an exact zero is drawn on the log axis


class Figure:
    title = "Do all forms of a model compute the same function?"
    place = 60
    note = (
        "Largest relative difference from the step-by-step form. A model whose forms differ by more than rounding"
        " failed here, and gets no other number."
    )

    def data(self, result_set: Any) -> pd.DataFrame | None:
        told = [rows.summary(result_set, "forms", metric) for metric in METRICS]
        found = [
            table.rename(columns={metric: "difference"}).assign(of=METRICS[metric])
            for metric, table in zip(METRICS, told, strict=True)
            if table is not None
        ]
        if not found:
            return None
        table = pd.concat(found, ignore_index=True)
        columns = ["series", "model", "of", "difference", "status", "reason", "point"]
        return table[columns].sort_values(["series", "of"], ignore_index=True)

    def draw(self, data: pd.DataFrame, style_: Style) -> Drawing:
        names = sorted(set(data["series"]))
        height = 0.5 * len(names) + 0.8
        made = style.figure(7.2, height)
        axes = made.add_axes((0.28, 0.5 / height, 0.6, (height - 0.75) / height))
        for row, name in enumerate(names):
            for line in data[data["series"] == name].to_dict("records"):
                self._row(axes, row, line, style_[name])
        numbers = data["difference"].to_numpy(float)
        low, high = max(float(np.nanmin(numbers)), SMALLEST) / 5, max(float(np.nanmax(numbers)), SMALLEST) * 20
        axes.set(xscale="log", xlabel="largest relative difference", ylim=(len(names) - 0.5, -0.5), xlim=(low, high))
        axes.xaxis.set(major_locator=LogLocator(numticks=9), minor_locator=NullLocator())
        axes.set_yticks(range(len(names)), [wording.clipped(style_[name].title) for name in names])
        axes.grid(axis="y", visible=False)
        return made

    def _row(self, axes: Any, row: int, line: dict, look: style.Look) -> None:
        place = row + {"output": -0.27, "state": 0.0, "gradient": 0.27}[line["of"]]
        if np.isfinite(line["difference"]):
            at = max(line["difference"], SMALLEST)
            axes.plot(at, place, marker=look.marker, markersize=4.5, color=look.colour, linestyle="")
            axes.annotate(line["of"], (at, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=7)
        elif line["of"] == "output":
            said = rows.STATUS_TEXT[line["status"]]
            axes.annotate(said, (0.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=8.5)

    def text(self, data: pd.DataFrame) -> str:
        parts = []
        for (name, model), group in data.groupby(["series", "model"], sort=True):
            largest = group["difference"].max()
            said = f"{largest:.1e}" if np.isfinite(largest) else rows.STATUS_TEXT[rows.worst(group["status"])]
            parts.append(f"{wording.title(str(name), str(model))} {said}")
        return f"Largest difference in output, state or gradient: {'; '.join(parts)}."
