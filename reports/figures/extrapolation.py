"""Bits per byte at and beyond the training length."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports import language, panels, style, wording
from reports.style import Style


class Figure:
    title = "What happens beyond the length that a model was trained on?"
    place = 15
    note = "Held-out text; the dashed line is the training length. Means over seeds with 95% intervals by Student's t."

    def data(self, result_set: Any) -> pd.DataFrame | None:
        told = language.at_lengths(result_set)
        if told["length"].nunique() < 2:
            return None
        table = language.by_label(told, "value", ["length", "training_sequence_length"])
        return table.rename(columns={"value": "bits_per_byte"})

    def draw(self, data: pd.DataFrame, style_: Style) -> Drawing:
        names = ("evaluation length, tokens", "bits per byte")
        made = panels.lines(data, style_, "length", "bits_per_byte", names, None, wording.number, (True, False))
        for length in sorted(set(data["training_sequence_length"])):
            made.axes[0].axvline(float(length), color=style.QUIET, linestyle=(0, (4, 3)), linewidth=1, zorder=1)
        return made

    def text(self, data: pd.DataFrame) -> str:
        trained = wording.listed([wording.number(length) for length in sorted(set(data["training_sequence_length"]))])
        return f"Trained at {trained} tokens. {panels.told(data, 'length', 'bits_per_byte', '', 'length')}"
