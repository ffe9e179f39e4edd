"""Every learning rate tried, and the one chosen."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports import language, panels, wording
from reports.style import Style


class Figure:
    title = "Which learning rate suits each model, and was the best inside the grid?"
    place = 14
    note = (
        "Every model gets the same trials, of one seed. The ring is the chosen rate; a square ring is a choice at "
        "the edge of the grid, where a rate beyond it might do better."
    )

    def data(self, result_set: Any) -> pd.DataFrame | None:
        table = language.trials(result_set)
        if table is None or table["learning_rate"].nunique() < 2 or not table["chosen"].any():
            return None
        front = ["series", "model"]
        return table[[*front, *(name for name in table if name not in (*front, "label"))]]

    def draw(self, data: pd.DataFrame, style: Style) -> Drawing:
        names = ("peak learning rate", "bits per byte, tuning split")
        made = panels.lines(
            data, style, "learning_rate", "tuning_bits_per_byte", names, form=wording.number, log=(True, False)
        )
        for line in data[data["chosen"]].to_dict("records"):
            made.axes[0].plot(
                line["learning_rate"], line["tuning_bits_per_byte"], marker="s" if line["at_edge"] else "o",
                markersize=11, markerfacecolor="none", markeredgecolor=style[line["series"]].colour, linestyle="",
            )  # fmt: skip
        return made

    def text(self, data: pd.DataFrame) -> str:
        parts = []
        for line in data[data["chosen"]].to_dict("records"):
            edge = ", at the edge of the grid" if line["at_edge"] else ""
            name = wording.title(line["series"], line["model"])
            parts.append(f"{name} {wording.number(line['learning_rate'])}{edge}")
        failed = data[data["status"] != "ok"]
        tail = f" Trials without a value: {len(failed)}." if len(failed) else ""
        return f"Best rates: {'; '.join(parts)}.{tail}"
