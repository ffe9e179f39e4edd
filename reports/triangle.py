"""The picture of the triangle: three axes, a polygon per model, ranked names at every corner."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports import style, wording
from reports.corner import BY_NAME
from reports.corners import ALONE, CORNERS
from reports.style import Look, Style

TITLE = "Which models have all three: fast training, cheap decoding, good prediction?"
ANGLES = {name: 90 + 120 * place for place, name in enumerate(CORNERS)}
LISTS = {
    "training": (0.42, 1.25, 1),
    "decode": (-1.02, -0.18, -1),
    "quality": (1.02, -0.18, 1),
}  # x, y, where text runs
RINGS = (0.25, 0.5, 0.75, 1.0)
INCH = 2.1  # from the centre to a corner
STEP = 0.105  # between names, in units of the axes


def draw(table: pd.DataFrame, looks: Style, alone: str = "") -> Figure:
    """All models in one triangle. A gap is an open side; a negative quality is drawn at the centre. `alone`
    says what was measured, and adds a title, for a picture outside a page."""
    extra = 0.25 if alone else 0.0
    bottom, top = min(-0.6, -0.26 - STEP * len(table)) - extra / 2, 1.38 + extra
    made = style.figure(4.4 * INCH, (top - bottom) * INCH)
    axes = made.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-2.2, 2.2), ylim=(bottom, top), aspect="equal")
    axes.axis("off")
    _frame(axes, 8)
    for line in table.to_dict("records"):
        _polygon(axes, line, looks[line["series"]], 1.8, 0.05)
    for name in CORNERS:
        _ranked(axes, table, looks, name)
    if alone:
        axes.text(0, 1.58, TITLE, ha="center", fontsize=11, fontweight="bold")
        read = ALONE if len(table) == 1 else "Each axis is the ratio to the best model there: edge 1, centre 0."
        told = f"{read} {alone}"
        axes.text(-2.15, bottom + 0.03, told, fontsize=7.5, color=style.QUIET)
    return made


def each(table: pd.DataFrame, looks: Style) -> Figure:
    """A small triangle per model, the others in grey behind."""
    columns = min(len(table), 5)
    lines = math.ceil(len(table) / columns)
    made = style.figure(columns * 1.75, lines * 1.85)
    entries = table.to_dict("records")
    for place, line in enumerate(entries):
        row, column = divmod(place, columns)
        axes = made.add_axes((column / columns, 1 - (row + 1) / lines, 1 / columns, 1 / lines))
        axes.set(xlim=(-1.15, 1.15), ylim=(-0.98, 1.45), aspect="equal")
        axes.axis("off")
        _frame(axes, 0)
        for other in entries:
            if other["series"] != line["series"]:
                _polygon(axes, other, Look("", "#c4c9d0", "", looks[other["series"]].dash), 0.8, 0.0)
        look = looks[line["series"]]
        _polygon(axes, line, look, 2.0, 0.18)
        weakest = "open" if pd.isna(line["weakest"]) else f"weakest {line['weakest']:.2f}"
        axes.text(0, 1.28, wording.clipped(look.title, 20), ha="center", fontsize=9, fontweight="bold")
        axes.text(0, -0.85, weakest, ha="center", fontsize=8, color=style.QUIET)
    return made


def text(table: pd.DataFrame) -> str:
    """The finding: who is best at each corner, everyone's three ratios, and the largest weakest corner. Of one model
    alone there is none."""
    parts = []
    for line in table.to_dict("records"):
        ratios = [f"{name} {ratio(line[f'{name}_ratio'])}" for name in CORNERS]
        parts.append(f"{wording.title(line['series'], line['model'])}: {', '.join(ratios)}")
    if len(table) == 1:
        return f"{ALONE} {parts[0]}."
    whole = table[table["weakest"].notna()]
    told = f"Ratios to the best model of each corner. {'; '.join(parts)}."
    if len(whole):
        best = whole.sort_values("weakest", kind="stable").iloc[-1]
        name = wording.title(best["series"], best["model"])
        told += f" {name} has the largest weakest corner, {best['weakest']:.2f}."
    return told


def ratio(value: float) -> str:
    """A ratio in words."""
    return "a gap" if pd.isna(value) else f"{value:.2f}"


def _at(name: str, ratio: float) -> tuple[float, float]:
    angle = math.radians(ANGLES[name])
    return ratio * math.cos(angle), ratio * math.sin(angle)


def _frame(axes: Axes, fontsize: float) -> None:
    for ring in RINGS:
        xs, ys = zip(*[_at(name, ring) for name in (*CORNERS, CORNERS[0])], strict=True)
        axes.plot(xs, ys, color=style.QUIET if ring == 1 else style.GRID, linewidth=1 if ring == 1 else 0.7, zorder=1)
        if fontsize and ring < 1:
            axes.text(
                0, -ring / 2, f"{ring:g}", fontsize=7, color=style.QUIET, ha="center", va="center", zorder=2.5,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.3},
            )  # fmt: skip
    for name in CORNERS:
        axes.plot(*zip((0, 0), _at(name, 1), strict=True), color=style.GRID, linewidth=0.9, zorder=1)


def _polygon(axes: Axes, line: dict, look: Look, width: float, fill: float) -> None:
    points = {name: _at(name, max(line[f"{name}_ratio"], 0)) for name in CORNERS if pd.notna(line[f"{name}_ratio"])}
    corners = list(points.values())
    if len(corners) == 3:
        corners.append(corners[0])
        axes.fill(*zip(*corners, strict=True), color=look.colour, alpha=fill, linewidth=0, zorder=2)
    if corners:
        xs, ys = zip(*corners, strict=True)
        axes.plot(
            xs,
            ys,
            color=look.colour,
            marker=look.marker,
            linestyle=look.dash,
            linewidth=width,
            markersize=5.5,
            zorder=3,
        )


def _ranked(axes: Axes, table: pd.DataFrame, looks: Style, name: str) -> None:
    """The names at one corner, best first, gaps last."""
    x, y, side = LISTS[name]
    align = "left" if side > 0 else "right"
    beside = " · state" if name == "decode" else ""
    axes.text(x, y, BY_NAME[name].title + beside, fontsize=10, fontweight="bold", ha=align)
    ordered = table.sort_values([f"{name}_ratio", "series"], ascending=[False, True], na_position="last")
    for place, line in enumerate(ordered.to_dict("records")):
        look, ratio = looks[line["series"]], line[f"{name}_ratio"]
        height = y - STEP * (place + 1)
        axes.plot(x + 0.03 * side, height + 0.03, marker=look.marker, color=look.colour, markersize=5, linestyle="")
        said = "gap" if pd.isna(ratio) else f"{ratio:.2f}"
        if name == "decode" and pd.notna(line.get("state_bytes")):
            said += f" · {wording.size(line['state_bytes'])}"
        axes.text(x + 0.1 * side, height, f"{wording.clipped(look.title, 20)} {said}", fontsize=8.5, ha=align)
