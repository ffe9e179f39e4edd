"""The table that a run ends with: for each model how its points went, and the first metric of each measure."""

import pandas as pd
from rich.console import Console
from rich.table import Table

from harness import measures, record
from harness.tables import STATUSES


def show(results: record.ResultSet, configurations: list[str], console: Console) -> None:
    """Prints one line per model over the points of these configurations."""
    points = record.current(results.points)
    points = points[points["configuration"].isin(configurations)]
    heads = {name: metric for name in dict.fromkeys(points["measure"]) if (metric := _headline(name))}
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model")
    table.add_column("points")
    for name, metric in heads.items():
        table.add_column(f"{name}\n{metric}", justify="right")
    for label, rows in points.groupby("label", sort=False):
        counts = rows["status"].value_counts()
        told = ", ".join(f"{counts[status]} {status}" for status in STATUSES if status in counts)
        cells = [_range(results.samples, rows[rows["measure"] == name], metric) for name, metric in heads.items()]
        table.add_row(str(label), told, *cells)
    console.print(table)


def _headline(measure: str) -> str | None:
    """The first metric of which more or less is better."""
    if measure not in measures.names():
        return None
    return next((name for name, metric in measures.load(measure).metrics.items() if metric.better), None)


def _range(samples: pd.DataFrame, rows: pd.DataFrame, metric: str) -> str:
    """The least and the greatest of the points' medians."""
    mine = samples[samples["point"].isin(rows["point"]) & (samples["metric"] == metric)]
    medians = mine.groupby("point")["value"].median()
    if medians.empty:
        return "-"
    low, high = _short(medians.min()), _short(medians.max())
    return low if low == high else f"{low} - {high}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
