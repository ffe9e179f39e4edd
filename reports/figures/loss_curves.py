"""Training loss of the results, each seed a thin line."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import LogLocator, NullLocator

from reports import labels, language, panels, plurals, wording
from reports.style import Style

MOST = 800  # lines of the table; runs are thinned evenly, their last row stays


class Figure:
    title = "How does the loss fall as training goes on?"
    place = 12
    note = (
        "Loss of the training batches at the chosen rate, each seed a line of its own; long runs are thinned "
        "evenly, curves.csv holds every row."
    )

    def data(self, result_set: Any) -> pd.DataFrame | None:
        told = language.results(result_set)[["point", "label", "model", "seed", "learning_rate"]]
        table = result_set.curves.merge(told, on="point").sort_values(["label", "seed", "step"], kind="stable")
        if table.empty:
            return None
        keep = max(MOST // table["point"].nunique(), 8)
        thin = [_thinned(run, keep) for _, run in table.groupby(["label", "seed"], sort=True)]
        columns = ["series", "model", "seed", "learning_rate", "step", "tokens", "seconds", "loss", "point"]
        return pd.concat(thin).rename(columns={"label": "series"})[columns].reset_index(drop=True)

    def draw(self, data: pd.DataFrame, style: Style) -> Drawing:
        made, (axes,) = panels.grid([wording.clipped(look.title) for look in style.values()], high=3.2)
        axes.set(xlabel="training tokens", ylabel="loss, nats per token", yscale="log")
        axes.xaxis.set_major_formatter(lambda value, _: wording.short(value))
        axes.yaxis.set(major_locator=LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 7)), minor_locator=NullLocator())
        axes.yaxis.set_major_formatter(lambda value, _: wording.short(value))
        low, high = float(data["loss"].min()), float(data["loss"].max())
        axes.set(xlim=(0, float(data["tokens"].max())), ylim=(low / 1.05, high * 1.05))
        ends = {}
        for name, runs in data.groupby("series"):
            for _, run in runs.groupby("seed"):
                look = style[str(name)]
                tokens = run["tokens"].astype(float)
                axes.plot(tokens, run["loss"], color=look.colour, linestyle=look.dash, linewidth=0.9)
            ends[str(name)] = _end(runs)
        labels.at_ends(axes, ends, style)
        return made

    def text(self, data: pd.DataFrame) -> str:
        parts = []
        for (name, model), runs in data.groupby(["series", "model"], sort=True):
            tokens, loss = _end(runs)
            parts.append(
                f"{wording.title(str(name), str(model))} {wording.number(loss)} nats per token after "
                f"{wording.number(tokens)} tokens ({plurals.counted(runs['seed'].nunique(), 'seed')})"
            )
        return f"Last loss: {'; '.join(parts)}."


def _thinned(run: pd.DataFrame, keep: int) -> pd.DataFrame:
    picks = np.unique(np.linspace(0, len(run) - 1, min(keep, len(run))).round().astype(int))
    return run.iloc[picks]


def _end(runs: pd.DataFrame) -> tuple[float, float]:
    last = runs.groupby("seed").tail(1)
    return float(last["tokens"].max()), float(last["loss"].mean())
