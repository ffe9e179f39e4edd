"""How far what is timed on a GPU, in the format it is timed in, is from float64."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import LogLocator

from reports import apart, rows, wording
from reports.style import Style

METRICS = {"output_error": "output", "state_error": "state", "gradient_error": "gradient"}
EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "bfloat16": 2.0**-7, "float16": 2.0**-10}
FEW = 500  # from one end of the axis to the other: beyond it, three ticks a decade have no room


class Figure:
    title = "How far is each model, in the format it is timed in, from float64?"
    place = 61
    note = (
        "Of one layer of the model's own width: output is the logits of a pass, state those of tokens decoded after "
        "it, gradient that of the worst parameter; each that of the worst form, over the same in float64. One eps of a "
        "format is the step from 1 to the next number. A model whose errors are more than rounding failed here, and "
        "gets no other number in this format. In float32 the order of sums counts more; a state may be kept in a "
        "shorter format."
    )

    def data(self, result_set: Any) -> pd.DataFrame | None:
        table = apart.table(result_set, METRICS, "error", ["dtype"])
        if table is None:
            return None
        table = table.assign(in_eps=table["error"] / table["dtype"].map(EPS))
        if table["dtype"].nunique() > 1:  # each name then says which
            pairs = zip(table["series"], table["dtype"], strict=True)
            table["series"] = [name if f" {dtype}" in name else f"{name} {dtype}" for name, dtype in pairs]
        return table.sort_values(["dtype", "series", "of"], ignore_index=True)

    def draw(self, data: pd.DataFrame, style: Style) -> Drawing:
        made = apart.draw(data, style, "in_eps", f"error beside float64, in eps of {_format(data)}", (2.0, 4.0))
        axes = made.axes[0]
        low, high = axes.get_xlim()
        subs = (1, 2, 5) if high / low < FEW else (1,)
        axes.xaxis.set(major_locator=LogLocator(subs=subs, numticks=15), major_formatter="{x:g}")
        return made

    def text(self, data: pd.DataFrame) -> str:
        parts = []
        for (name, model), group in data.groupby(["series", "model"], sort=True):
            largest = group[["error", "in_eps"]].max()
            said = f"{largest['error']:.1e} ({largest['in_eps']:.1f} eps)" if largest.notna().all() else ""
            parts.append(
                f"{wording.title(str(name), str(model))} {said or rows.STATUS_TEXT[rows.worst(group['status'])]}"
            )
        return f"Largest error of output, state or gradient, in {_format(data)}: {'; '.join(parts)}."


def _format(data: pd.DataFrame) -> str:
    """The number format where it is one; else the names say it."""
    return str(data["dtype"].iloc[0]) if data["dtype"].nunique() == 1 else "each format"
