"""Joules per token of decoding and of training, where the hardware counts them."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from reports import dots, rows, style, wording
from reports.style import Style

METRICS = {"decode_joules_per_token": "decoding", "training_joules_per_token": "training"}
ROW = 0.3  # inches


class Figure:
    title = "How much energy does a token take?"
    place = 70
    note = (
        "Joules per token by the device's own counter, idle power included; less is better. The bars are 95% bootstrap "
        "intervals over repeats in one process."
    )

    def data(self, result_set: Any) -> pd.DataFrame | None:
        found = [
            table.rename(columns={metric: "joules_per_token"}).assign(of=METRICS[metric])
            for metric in METRICS
            if (table := rows.summary(result_set, "energy", metric)) is not None
        ]
        if not found:
            return None
        table = pd.concat(found, ignore_index=True)
        front = ["series", "model", "of"]
        order = [name for name in ("of", "sequence_length", "batch_size", "series") if name in table]
        return table[[*front, *(name for name in table if name not in front)]].sort_values(order, ignore_index=True)

    def draw(self, data: pd.DataFrame, style_: Style) -> Drawing:
        height = ROW * (len(data) + 2 * data["of"].nunique()) + 0.7
        made = style.figure(7.2, height)
        top = height
        for of, group in data.groupby("of", sort=True):
            inside = ROW * len(group)
            top -= 0.35
            axes = made.add_axes((0.36, (top - inside) / height, 0.52, inside / height))
            axes.set_title(f"{of}, joules per token", loc="left")
            self._panel(axes, group, style_)
            top -= inside + 0.3
        return made

    def _panel(self, axes: Any, group: pd.DataFrame, style_: Style) -> None:
        for row, line in enumerate(group.to_dict("records")):
            look, beside = style_[line["series"]], (1.02, row)
            dots.bar(axes, row, line, look)
            if pd.notna(line["joules_per_token"]):
                axes.plot(line["joules_per_token"], row, marker=look.marker, markersize=7, color=look.colour)
            axes.annotate(_said(line), beside, xycoords=("axes fraction", "data"), va="center", fontsize=8.5)
        axes.set(xscale="log", ylim=(len(group) - 0.5, -0.5))
        axes.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5), numticks=7), minor_locator=NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: wording.short(value)))
        names = [wording.clipped(style_[line["series"]].title) + _place(line) for line in group.to_dict("records")]
        axes.set_yticks(range(len(group)), names)
        axes.margins(x=0.1)
        axes.grid(axis="y", visible=False)

    def text(self, data: pd.DataFrame) -> str:
        sentences = []
        for of, group in data.groupby("of", sort=True):
            parts = [
                f"{wording.title(line['series'], line['model'])}{_place(line)} {_said(line, True)}"
                for line in group.to_dict("records")
            ]
            sentences.append(f"Joules per token of {of}: {'; '.join(parts)}.")
        return " ".join(sentences)


def _place(line: dict) -> str:
    """'8×128': batch and length."""
    return f" {wording.number(line.get('batch_size'))}×{wording.number(line.get('sequence_length'))}"


def _said(line: dict, interval: bool = False) -> str:
    if pd.isna(line["joules_per_token"]):
        return rows.STATUS_TEXT[line["status"]]
    low, high = (line["low"], line["high"]) if interval else (float("nan"), float("nan"))
    return wording.interval(line["joules_per_token"], low, high)
