"""What became of every point."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports import plurals, rows, style, unrun, wording
from reports.style import Style

MARKS = {  # shape and colour, so that neither is needed alone
    "ok": ("o", "#2e7d32"),
    "not_applicable": ("_", "#5b6470"),
    "skipped": ("D", "#8e7cc3"),
    "timeout": ("^", "#b26a00"),
    "oom": ("s", "#6a1b9a"),
    "error": ("X", "#b3261e"),
}
FACTORS = ["role", "form", "dtype", "width", "layers", "batch_size", "sequence_length"]


class Figure:
    title = "What ran, what did not, and why?"
    place = 90
    note = (
        "A cell is a model under one combination (8×128 is batch 8, length 128); where several seeds or learning "
        "rates share a cell, the worst status shows."
    )

    def data(self, result_set: Any) -> pd.DataFrame | None:
        points = rows.current(result_set.points)
        if points.empty:
            return None
        told = points.assign(series=points["label"])
        columns = ["series", "model", "measure", *FACTORS, "seed", "learning_rate", "status", "reason", "point"]
        told = told[columns].sort_values([name for name in columns if name not in ("reason", "status")], kind="stable")
        if (told.groupby(["series", "measure"])["form"].nunique() <= 1).all():
            told = told.assign(form=None)  # each model has one form, which its entry implies
        same = [name for name in (*FACTORS, "learning_rate") if told[name].isna().all()]
        same += [name for name in ("width", "layers", "dtype") if told[name].nunique() == 1]
        return told.drop(columns=same).reset_index(drop=True)

    def beside(self, result_set: Any) -> str:
        return unrun.told(result_set)

    def draw(self, data: pd.DataFrame, style_: Style) -> Drawing:
        names = sorted(set(data["series"]))
        cells: dict[str, dict[str, list[str]]] = {}
        order = ["measure", *(name for name in FACTORS if name in data)]
        for line in data.sort_values(order, kind="stable").to_dict("records"):
            cells.setdefault(_cell(line), {}).setdefault(line["series"], []).append(line["status"])
        wide, high = 0.95 * len(names), 0.2 * len(cells)
        made = style.figure(wide + 3.2, high + 1.6)
        axes = made.add_axes((2.9 / (wide + 3.2), 0.45 / (high + 1.6), wide / (wide + 3.2), high / (high + 1.6)))
        for row, cell in enumerate(cells):
            for column, name in enumerate(names):
                for status in [rows.worst(cells[cell][name])] if name in cells[cell] else []:
                    marker, colour = MARKS[status]
                    axes.plot(column, row, marker=marker, color=colour, markersize=6, markeredgewidth=1.6, linestyle="")
        axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(cells) - 0.5, -0.5))
        axes.set_yticks(range(len(cells)), list(cells))
        axes.set_xticks(range(len(names)), [wording.clipped(style_[name].title, 22) for name in names])
        axes.tick_params(axis="x", top=True, labeltop=True, bottom=False, labelbottom=False, rotation=30)
        for tick in axes.get_xticklabels():
            tick.set(ha="left", rotation_mode="anchor")
        _legend(axes, sorted(set(data["status"]), key=rows.SEVERITY.index))
        return made

    def text(self, data: pd.DataFrame) -> str:
        counts = data["status"].value_counts()
        told = [f"{counts[status]} {rows.STATUS_TEXT[status]}" for status in rows.SEVERITY if status in counts]
        failed = data[data["status"] != "ok"].drop_duplicates(["series", "measure", "reason"])
        reasons = [f"{line['series']}, {line['measure']}: {line['reason']}" for line in failed.to_dict("records")]
        more = "; more in the table" if len(reasons) > 12 else ""
        tail = f" Reasons: {'; '.join(reasons[:12])}{more}." if reasons else ""
        return f"Of {plurals.counted(len(data), 'point')}, {wording.listed(told)}.{tail}"


def _cell(line: dict) -> str:
    words = [str(line["measure"])]
    for name, said in (("role", "{}"), ("form", "{}"), ("dtype", "{}"), ("width", "width {}"), ("layers", "{} layers")):
        if pd.notna(line.get(name)):
            words.append(said.format(line[name]))
    if pd.notna(line.get("batch_size")):
        words.append(f"{line['batch_size']}×{wording.number(line.get('sequence_length'))}")
    return " ".join(words)


def _legend(axes: Any, statuses: list[str]) -> None:
    for status in statuses:
        marker, colour = MARKS[status]
        axes.plot(
            [], [], marker=marker, color=colour, linestyle="", markersize=6, markeredgewidth=1.6,
            label=rows.STATUS_TEXT[status],
        )  # fmt: skip
    axes.legend(loc="upper right", bbox_to_anchor=(0, 0), frameon=False, fontsize=8.5, ncols=1, borderaxespad=0.3)
