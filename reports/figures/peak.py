"""Peak memory against the context, in a process of its own apart from timing."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports import panels, rows, wording
from reports.style import Style

METRICS = ("peak_allocated_bytes", "peak_resident_bytes")  # the allocator's own count where there is one


class Figure:
    title = "How much memory does each model need at its peak?"
    place = 51
    note = "Allocated: by tensors, as the allocator counts. Resident: by the process, above what it held before."

    def data(self, result_set: Any) -> pd.DataFrame | None:
        for metric in METRICS:
            table = rows.summary(result_set, "memory", metric)
            if table is not None and "sequence_length" in table:
                return table
        return None

    def draw(self, data: pd.DataFrame, style: Style) -> Drawing:
        metric = _metric(data)
        names = ("context, tokens", metric.replace("_", " ").replace(" bytes", ", bytes"))
        panel = panels.panel_of(data, "batch_size", "sequence_length")
        return panels.lines(data, style, "sequence_length", metric, names, panel, form=wording.size)

    def text(self, data: pd.DataFrame) -> str:
        panel = panels.panel_of(data, "batch_size", "sequence_length")
        return panels.told(data, "sequence_length", _metric(data), "", "context", panel, form=wording.size)


def _metric(data: pd.DataFrame) -> str:
    return next(metric for metric in METRICS if metric in data)
