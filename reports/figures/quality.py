"""Held-out bits per byte of every trained model, and what each got to reach it."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports import dots, language, passes, wording
from reports.style import Style


class Figure:
    title = "Which model predicts held-out text best under this budget?"
    place = 10
    note = dots.NOTE

    def data(self, result_set: Any) -> pd.DataFrame | None:
        told = language.headline(result_set)
        if told.empty:
            return None
        table = language.best_first(told)
        rate = language.rates(result_set)
        tokens = told.groupby("label")["training_tokens"].max()
        return table.assign(
            learning_rate=table["series"].map(rate).astype(float),
            training_tokens=table["series"].map(tokens),
        )

    def beside(self, result_set: Any) -> str:
        trained = passes.told(result_set, language.results(result_set))
        return " ".join(filter(None, [f"Trained for {trained}." if trained else "", language.edges(result_set)]))

    def draw(self, data: pd.DataFrame, style: Style) -> Drawing:
        return dots.draw(data, style, "bits_per_byte", "bits per byte of held-out text (lower is better)")

    def text(self, data: pd.DataFrame) -> str:
        parts = [
            f"{wording.title(line['series'], line['model'])} "
            f"{wording.interval(line['bits_per_byte'], line['low'], line['high'])}"
            for line in data.to_dict("records")
        ]
        return f"Bits per byte, best first: {'; '.join(parts)}."
