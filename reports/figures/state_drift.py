"""How far a state that is rounded after every token is from one that is not, against the tokens read."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports import panels, rows, wording
from reports.style import Style

MEASURE, STATE, LOGITS = "state_drift", "state_error", "logits_error"


class Figure:
    title = "How far does a state that is rounded after every token drift?"
    place = 52
    note = (
        "The norm of the difference from a state in float32, over that of the state in float32, after so many random "
        "tokens; one run each. In bfloat16 all else is rounded as well; in float32 the state alone is."
    )

    def data(self, result_set: Any) -> pd.DataFrame | None:
        points = rows.of_measure(result_set, MEASURE)
        points = rows.named(points[points["status"] != "not_applicable"])
        if points.empty:
            return None
        told = points[["series", "model", "dtype", "status", "reason", "point"]]
        for metric in (STATE, LOGITS):
            samples = rows.samples_of(result_set, points, metric)[["point", "length", "value"]]
            keys = ["point", "length"] if "length" in told else ["point"]
            told = told.merge(samples.rename(columns={"value": metric}), "left", keys)
        return told[["series", "model", "dtype", "length", STATE, LOGITS, "status", "reason", "point"]]

    def draw(self, data: pd.DataFrame, style: Style) -> Drawing:
        names = ("tokens read", "error of the state, relative")
        return panels.lines(data, style, "length", STATE, names)

    def text(self, data: pd.DataFrame) -> str:
        told = []
        for metric in (STATE, LOGITS):
            good = data[data[metric].notna()]
            parts = [_told(part, metric) for _, part in good.groupby("series", sort=True)]
            if parts:
                told.append(f"{panels.y_name(metric)}: {'; '.join(parts)}.")
        told += [
            f"{line['series']}: {rows.STATUS_TEXT[line['status']]}." for line in rows.failures(data).to_dict("records")
        ]
        return " ".join(told)


def _told(part: pd.DataFrame, metric: str) -> str:
    """Where one series begins, is worst and ends."""
    part = part.sort_values("length")
    first, worst, last = (
        f"{wording.short(line[metric])} after {wording.number(line['length'])}"
        for line in (part.iloc[0], part.iloc[part[metric].argmax()], part.iloc[-1])
    )
    name = wording.title(part["series"].iloc[0], part["model"].iloc[0])
    return f"{name} {first} tokens, {worst} at most, {last} at the end"
