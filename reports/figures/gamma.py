"""Held-out bits per byte of one architecture under different decays."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports import dots, language, rows, wording
from reports.style import Style


class Figure:
    title = "How much does the choice of the decay γ matter?"
    place = 11
    note = dots.NOTE

    def data(self, result_set: Any) -> pd.DataFrame | None:
        points = rows.of_measure(result_set, "language")
        if "option.gamma" not in points:
            return None
        told = language.headline(result_set)
        told = told.assign(gamma=told["point"].map(points.set_index("point")["option.gamma"])).dropna(subset="gamma")
        if told["gamma"].nunique() < 2:
            return None
        return language.best_first(told, ["gamma"])

    def draw(self, data: pd.DataFrame, style: Style) -> Drawing:
        return dots.draw(data, style, "bits_per_byte", "bits per byte of held-out text (lower is better)", name="gamma")

    def text(self, data: pd.DataFrame) -> str:
        parts = [
            f"γ {line['gamma']} {wording.interval(line['bits_per_byte'], line['low'], line['high'])}"
            for line in data.to_dict("records")
        ]
        return f"Bits per byte by decay, best first: {'; '.join(parts)}."
