"""Bits per byte by the position in the sequence. Later positions are other bytes of the text."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports import language, panels, wording
from reports.style import Style

OTHER_BYTES = (
    "Each bucket holds other bytes, the same ones for every model and seed: models can be compared at a position, but "
    "a rise or fall along a line can be that of the text, and no interval holds how hard it is."
)


class Figure:
    title = "How well is the text predicted at each position of a sequence?"
    place = 16
    note = (
        "Held-out text, by position in the sequence (the end of each bucket). Means over seeds with 95% intervals by "
        f"Student's t. {OTHER_BYTES}"
    )

    def data(self, result_set: Any) -> pd.DataFrame | None:
        told = language.values(result_set)
        told = told[told["bucket"].notna()]
        if told["bucket"].nunique() < 2:
            return None
        told = told.assign(length=told["length"].fillna(told["training_sequence_length"]))
        ends = {told["training_sequence_length"].min(), told["length"].max()}  # the two that tell most
        shown = told[told["length"].isin(ends)]
        table = language.by_label(shown if len(shown) else told, "value", ["length", "bucket"])
        return table.rename(columns={"value": "bits_per_byte"})

    def draw(self, data: pd.DataFrame, style: Style) -> Drawing:
        names = ("position, tokens", "bits per byte")
        panel = panels.panel_of(data, "length", "bucket")
        return panels.lines(data, style, "bucket", "bits_per_byte", names, panel, wording.number, (True, False))

    def text(self, data: pd.DataFrame) -> str:
        panel = panels.panel_of(data, "length", "bucket")
        told = panels.told(data, "bucket", "bits_per_byte", "", "position", panel)
        return f"{told} Each position is of other bytes: a change from one to the next can be the text's."
