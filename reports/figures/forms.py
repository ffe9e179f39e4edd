"""How far the forms of one model are apart: a model whose forms disagree gets no other number."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports import apart, rows, wording
from reports.style import Style

METRICS = {"output_difference": "output", "state_difference": "state", "gradient_difference": "gradient"}


class Figure:
    title = "Do all forms of a model compute the same function?"
    place = 60
    note = (
        "Largest relative difference from the step-by-step form. A model whose forms differ by more than rounding"
        " failed here, and gets no other number."
    )

    def data(self, result_set: Any) -> pd.DataFrame | None:
        table = apart.table(result_set, METRICS, "difference", ["dtype"])
        return None if table is None else _once(table)

    def draw(self, data: pd.DataFrame, style: Style) -> Drawing:
        return apart.draw(data, style, "difference", "largest relative difference")

    def text(self, data: pd.DataFrame) -> str:
        parts = []
        for (name, model), group in data.groupby(["series", "model"], sort=True):
            largest = group["difference"].max()
            said = f"{largest:.1e}" if np.isfinite(largest) else rows.STATUS_TEXT[rows.worst(group["status"])]
            parts.append(f"{wording.title(str(name), str(model))} {said}")
        return f"Largest difference in output, state or gradient: {'; '.join(parts)}."


def _once(table: pd.DataFrame) -> pd.DataFrame:
    """A line for what was timed in several formats: here all compute in float64, whatever became of them after it."""
    names = [name.replace(f" {dtype}", "", 1) for name, dtype in zip(table["series"], table["dtype"], strict=True)]
    best = table.assign(series=names).sort_values(["series", "of", "difference"], ignore_index=True)
    points = best.groupby(["series", "of"])["point"].agg(" ".join)
    best = best.drop(columns="dtype").drop_duplicates(["series", "of"], ignore_index=True)
    return best.assign(point=points.to_numpy())
