"""How far off the harness itself is, on work whose answer is known."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports import rows, style, wording
from reports.style import Style

METRICS = {"time_error": "time", "device_time_error": "time on the device", "memory_error": "memory"}
BOUND = 0.01


class Figure:
    title = "How far off is the harness itself?"
    place = 80
    note = (
        f"Measured over known, less 1: a pause and an allocation. The band is ±{BOUND:.0%}, within which an idle "
        "machine should stay; the bars are 95% bootstrap intervals of the median over repeats in one process."
    )

    def data(self, result_set: Any) -> pd.DataFrame | None:
        found = [
            table.rename(columns={metric: "error"}).assign(of=METRICS[metric])
            for metric in METRICS
            if (table := rows.summary(result_set, "self_test", metric)) is not None
        ]
        if not found:
            return None
        table = pd.concat(found, ignore_index=True).dropna(subset="error")
        table["within"] = table["error"].abs() <= BOUND
        return table[["series", "model", "of", "error", "low", "high", "within", "repeats", "point"]]

    def draw(self, data: pd.DataFrame, style_: Style) -> Drawing:
        height = 0.34 * len(data) + 0.75
        made = style.figure(7.2, height)
        axes = made.add_axes((0.28, 0.5 / height, 0.6, (height - 0.6) / height))
        axes.axvspan(-100 * BOUND, 100 * BOUND, color=style.GRID, alpha=0.6, zorder=0)
        for row, line in enumerate(data.to_dict("records")):
            if pd.notna(line["low"]):
                axes.plot([100 * line["low"], 100 * line["high"]], [row, row], color=style.INK, linewidth=5, alpha=0.3)
            axes.plot(100 * line["error"], row, marker="o", markersize=7, color=style.INK, markeredgecolor="white")
            said = (1.02, row)
            axes.annotate(_percent(line["error"]), said, xycoords=("axes fraction", "data"), va="center", fontsize=8.5)
        axes.set(xlabel="error, per cent", ylim=(len(data) - 0.5, -0.5))
        axes.set_yticks(range(len(data)), list(data["of"]))
        axes.margins(x=0.08)
        axes.grid(axis="y", visible=False)
        return made

    def text(self, data: pd.DataFrame) -> str:
        parts = [
            f"{line['of']} {wording.interval(line['error'], line['low'], line['high'], _percent)}, "
            f"{'within' if line['within'] else 'beyond'} {BOUND:.0%}"
            for line in data.to_dict("records")
        ]
        return f"Median error of the harness: {'; '.join(parts)}."


def _percent(value: float) -> str:
    return f"{value:+.3%}"
