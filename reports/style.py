"""How every figure looks.

One colour and one marker per model everywhere, taken from the model's own file. Entries of one model that differ in
options share both, and differ in shade and dashes. A figure never says anything by colour alone.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import matplotlib
import pandas as pd
import seaborn
from matplotlib import colors
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from reports import wording

INK, QUIET, GRID = "#1b1f24", "#5b6470", "#dfe3e8"
UNKNOWN = ("#7f7f7f", "X")
# The solid line goes by its name: as a pattern without dashes it becomes a property without a value.
DASHES: tuple[str | tuple, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (3, 1, 1, 1, 1, 1)))
SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "impossible-triangle",
    "font.family": "DejaVu Sans",  # comes with matplotlib, and is wider than what pages show: labels keep their room
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "path.simplify": True,
}


class Look(NamedTuple):
    """How one series is drawn."""

    title: str
    colour: str
    marker: str
    dash: str | tuple

    @property
    def line(self) -> dict:
        return {"color": self.colour, "marker": self.marker, "linestyle": self.dash, "markersize": 5, "linewidth": 1.6}


Style = dict[str, Look]


def looks(table: pd.DataFrame, points: pd.DataFrame | None = None) -> Style:
    """The look of every series of a table. A model's own entry has its colour; its variants are shades of it.

    Shade and dash go by the entry's place among all entries of its model in `points`, whatever else the table shows, so
    that an entry looks the same in every figure. Forms and shapes of one entry differ in dashes.
    """
    every = table[["series", "model"]] if points is None else points[["label", "model"]]
    every = every.set_axis(["label", "model"], axis=1)
    shown = table[["series", "model"]].set_axis(every.columns, axis=1)
    titles = _titles(pd.concat([every, shown]).drop_duplicates().itertuples(index=False, name=None))
    told: Style = {}
    for model, group in table.groupby("model", sort=True):
        card = wording.card(str(model))
        colour, marker = card.get("colour", UNKNOWN[0]), card.get("marker", UNKNOWN[1])
        entries = sorted(set(every.loc[every["model"] == model, "label"]))  # the bare name first
        seen: dict[str, int] = {}
        for series in sorted(set(group["series"])):
            entry = max((name for name in entries if f"{series} ".startswith(f"{name} ")), key=len, default=entries[0])
            place, form = entries.index(entry), seen.get(entry, 0)
            seen[entry] = form + 1
            share = 0.55 * place / max(len(entries) - 1, 1)
            dash = DASHES[(place + form) % len(DASHES)]
            told[series] = Look(titles[series], _lighter(colour, share), marker, dash)
    return told


def _titles(told: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The title of each (series, model): the full one where several would have the same without what is null."""
    told = list(told)
    counts = Counter(wording.title(*pair) for pair in told)
    clear = (wording.title if counts[wording.title(*pair)] == 1 else wording.full_title for pair in told)
    return {pair[0]: form(*pair) for pair, form in zip(told, clear, strict=True)}


def _lighter(colour: str, share: float) -> str:
    red, green, blue = ((1 - share) * part + share for part in colors.to_rgb(colour))
    return colors.to_hex((red, green, blue)) if share else colour


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """The settings under which figures are made and saved; what the caller had comes back after."""
    with matplotlib.rc_context({**seaborn.axes_style("whitegrid"), **SETTINGS}):  # type: ignore[dict-item]
        yield


def figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, without any global state."""
    made = Figure(figsize=(width, height))
    FigureCanvasSVG(made)
    return made
