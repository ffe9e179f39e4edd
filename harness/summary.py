"""The table that a run ends with: for each model how its points went, and what each measure lists first."""

import pandas as pd
from rich.console import Console

from harness import measures, plan, record, terminal
from harness.measures import Metric
from harness.quantity import tell_bytes
from harness.tables import STATUSES
from reports import busy
from reports.rows import current

NOTHING = "-"


def tell(results: record.ResultSet, configurations: list[str], console: Console) -> None:
    """Prints one line per model over the points of these configurations."""
    points = current(results.points[results.points["configuration"].isin(configurations)])
    heads = [(measure, *head) for measure in dict.fromkeys(points["measure"]) for head in _headlines(measure)]
    models = list(points.groupby("label", sort=False))
    columns: dict[str, list[str]] = {}
    for measure, name, metric in heads:
        cells = [_range(results.samples, rows[rows["measure"] == measure], name, metric) for _, rows in models]
        alone = [each for each, _, _ in heads].count(measure) == 1
        if alone or set(cells) != {NOTHING}:
            unit = "" if metric.unit == "1" else f", {metric.unit}"
            columns[f"{measure}\n{metric.unit if alone else name + unit}"] = cells
    table = terminal.table("", "model", "points", *columns)
    for i, (label, rows) in enumerate(models):
        table.add_row(str(label), counted(rows["status"]), *(cells[i] for cells in columns.values()))
    console.print(table)
    if told := busy.caution(points):
        console.print(told, style="yellow")


def counted(statuses: pd.Series) -> str:
    """'4 ok, 1 oom'."""
    counts = statuses.value_counts()
    return ", ".join(f"{counts[status]} {status}" for status in STATUSES if status in counts)


def _headlines(measure: str) -> list[tuple[str, Metric]]:
    """The metrics that a measure states first, up to one of which more or less is better: what it is for comes first.

    The forms have none: they agree, or their status says it.
    """
    if measure == plan.FORMS or measure not in measures.names():
        return []
    metrics = list(measures.load(measure).metrics.items())
    first = next((i for i, (_, metric) in enumerate(metrics) if metric.better), -1)
    return metrics[: first + 1]


def _range(samples: pd.DataFrame, rows: pd.DataFrame, name: str, metric: Metric) -> str:
    """The least and the greatest of the points' medians, of trials those at the learning rate that they chose."""
    rows = pd.concat([_tuned(samples, each) for _, each in rows.groupby(["width", "layers", "heads"])] or [rows])
    mine = samples[samples["point"].isin(rows["point"]) & (samples["metric"] == name) & samples["bucket"].isna()]
    trained = mine["point"].map(rows.set_index("point")["training_sequence_length"])
    mine = mine[mine["length"].isna() | (mine["length"] == trained)]  # others are for the pages
    medians = mine.groupby("point")["value"].median()
    if medians.empty:
        return NOTHING
    low, high = short(medians.min(), metric.unit), short(medians.max(), metric.unit)
    return low if low == high else f"{low} to {high}"


def _tuned(samples: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    trials = rows[rows["role"] == "trial"]
    bits = samples[samples["point"].isin(trials["point"]) & (samples["metric"] == plan.TUNED_BY)]
    if bits.empty:
        return rows
    best = bits.sort_values("value")["point"].iloc[0]
    rate = trials.loc[trials["point"] == best, "learning_rate"].iloc[0]
    return rows[rows["learning_rate"] == rate]


def short(value: float, unit: str) -> str:
    """A number for a table, in three digits or, from a thousand on, whole."""
    if unit == "bytes":
        return tell_bytes(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
