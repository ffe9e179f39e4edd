"""Lines with intervals over a factor, one panel for each value of another: what most figures are made of."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from reports import floors, intervals, labels, rows, style, wording
from reports.style import Style

WIDE, HIGH = 3.1, 2.4  # inches of a panel's inside
MARGIN, BETWEEN = 0.75, 0.75  # left of it; above and below it

TIMED_NOTE = (
    "Medians over repeats; the bars are 95% bootstrap intervals over repeats in one process, and do not say how "
    "processes differ."
)
NOUNS = {"batch_size": "batch", "sequence_length": "length", "length": "evaluation length"}

Form = Callable[[float], str]


class Swept:
    """A figure of one metric of one measure over one factor: a file in figures/ only states which, in what words."""

    measure: ClassVar[str]
    metric: ClassVar[str]
    over: ClassVar[str]  # the factor on the x axis
    panel: ClassVar[str | None]  # the factor that panels are for; None where the measure depends on no other
    axes: ClassVar[tuple[str, str]]  # what stands at the axes, with units
    words: ClassVar[tuple[str, str]]  # the unit after a value, and what the x axis is called in a sentence
    form: Form = staticmethod(wording.number)

    @property
    def value(self) -> str:
        """The column that is drawn."""
        return self.metric

    def data(self, result_set: Any) -> pd.DataFrame | None:
        table = self.table(result_set)
        if table is None or not {self.over, self.panel or self.over} <= set(table):
            return None
        groups = [table] if self.panel is None else [group for _, group in table.groupby(self.panel)]
        swept = any(group[self.over].nunique() > 1 for group in groups)
        return table if swept or self.over == "sequence_length" else None

    def table(self, result_set: Any) -> pd.DataFrame | None:
        """What is drawn, however little it is."""
        return rows.summary(result_set, self.measure, self.metric)

    def draw(self, data: pd.DataFrame, style: Style) -> Figure:
        panel = panel_of(data, self.panel, self.over)
        form = wording.short if self.form is wording.number else self.form
        heading = "" if panel is not None or self.panel is None else _along(data, self.over, self.panel)
        return lines(data, style, self.over, self.value, self.axes, panel, form, heading=heading)

    def text(self, data: pd.DataFrame) -> str:
        panel = panel_of(data, self.panel, self.over)
        return told(data, self.over, self.value, *self.words, panel, self.form)


class Floor(Swept):
    """A figure of how near the floor a measure comes."""

    metric = rows.SHARE
    note = (
        "The least time over the measured time: 1 is the floor. The least time is that of the FLOPs that are "
        "needed, at the speed of a matrix product in the same number format, or that of the bytes that must be moved, "
        "at the bandwidth of a copy, which what only reads can pass by some percent: the longer one. Speed and "
        "bandwidth are the best that any run of this page measured on a device of this name, so that shares can be "
        "compared: a run whose own were lower, as under a power cap or beside a neighbour, has a smaller share. What a "
        f"mask discards and what is computed again is not needed. {TIMED_NOTE}"
    )

    def table(self, result_set: Any) -> pd.DataFrame | None:
        return rows.floor(result_set, self.measure)

    def beside(self, result_set: Any) -> str:
        return floors.caution(result_set, self.measure)


def grid(names: list[str], count: int = 1, strips: int = 0, high: float = HIGH) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, with room at the right for the longest of `names` and above for `strips` failures.

    Two panels to a row, or one where there is only one or the names are long.
    """
    beside = labels.inches(names)
    columns = 2 if count > 1 and beside < 1.9 else 1
    wide = WIDE if columns == 2 else 1.4 * WIDE
    above = BETWEEN + strips * labels.LINE / 72
    width, height = columns * (MARGIN + wide + beside), math.ceil(count / columns) * (above + high)
    made = style.figure(width, height)
    axes = []
    for place in range(count):
        line, column = divmod(place, columns)
        left, top = MARGIN + column * (MARGIN + wide + beside), line * (above + high) + above - 0.45
        axes.append(made.add_axes((left / width, 1 - (top + high) / height, wide / width, high / height)))
    return made, axes


def lines(
    data: pd.DataFrame, looks: Style, x: str, y: str, names: tuple[str, str], panel: str | None = None,
    form: Form = wording.short, log: tuple[bool, bool] = (True, True), heading: str = "",
) -> Figure:  # fmt: skip
    """`y` over `x` for every series, a panel for each value of `panel`, else one under `heading`; `names` label the
    axes, with units."""
    data = data[data[x].notna()].assign(**{x: lambda told: told[x].astype(float)})
    groups = _groups(data, x, panel)
    failed = [_failed(group, x) for _, group in groups]
    written = [wording.clipped(looks[str(name)].title) for name in data["series"].unique()]
    written += [labels.failure(looks[name], what) for one in failed for name, what in one]
    made, all_axes = grid(written, len(groups), max(map(len, failed)))
    log = log[0], log[1] and _extremes(data, y)[0] > 0  # a peak of no bytes has no logarithm
    limits = _limits(data, y, log[1])
    for axes, (value, group), none in zip(all_axes, groups, failed, strict=True):
        axes.set_title(heading if panel is None else f"{NOUNS.get(panel, panel)} {wording.number(value)}", loc="left")
        _scales(axes, sorted(set(data[x])), limits, names, form, log)
        shown = _apart(group, x)
        ends = {str(name): _line(axes, told, looks[str(name)], x, y) for name, told in shown.groupby("series")}
        labels.at_ends(axes, {name: end for name, end in ends.items() if end is not None}, looks)
        labels.failed_above(axes, none, looks)
    return made


def _groups(data: pd.DataFrame, x: str, panel: str | None) -> list[tuple[Any, pd.DataFrame]]:
    """What each panel shows: panels with a single `x` say nothing beside ones with several."""
    groups = [(None, data)] if panel is None else list(data.groupby(panel, sort=True))
    return [(value, group) for value, group in groups if group[x].nunique() > 1] or groups


def panel_of(data: pd.DataFrame, other: str | None, x: str) -> str | None:
    """`other`, unless every `x` has a value of its own, as where batch times length is held equal."""
    if other is None:
        return None
    alone = data[other].nunique() == 1
    return other if alone or (data.groupby(x)[other].nunique() > 1).any() else None


def _along(data: pd.DataFrame, x: str, other: str) -> str:
    """The value of `other` at each `x`, and the tokens of each such batch where they are equal, up to the last."""
    told = data.dropna(subset=[x, other]).drop_duplicates(x).sort_values(x)
    *tokens, last = map(wording.number, told[x] * told[other])
    heading = f"{NOUNS[other]} {', '.join(map(wording.number, told[other]))}"
    if len(set(tokens)) != 1 or (len(tokens) == 1 and last not in tokens):
        return heading
    return f"{heading} ({tokens[0]} tokens each{'' if last in tokens else f', the last {last}'})"


def _apart(group: pd.DataFrame, x: str) -> pd.DataFrame:
    """Where all stand at one `x`, they stand a little apart, so that their intervals can be told."""
    if group[x].nunique() > 1:
        return group
    names = sorted(set(group["series"]))
    steps = {name: 1.1 ** (2 * (place + 0.5) / len(names) - 1) for place, name in enumerate(names)}
    return group.assign(**{x: group[x] * group["series"].map(steps)})


def _line(axes: Axes, told: pd.DataFrame, look: style.Look, x: str, y: str) -> tuple[float, float] | None:
    told = told[told[y].notna()].sort_values(x)
    if told.empty:
        return None
    axes.plot(told[x], told[y], zorder=3, **look.line)
    bars = told[told["low"].notna()] if "low" in told else told.iloc[:0]
    if len(bars):
        axes.vlines(bars[x], bars["low"], bars["high"], color=look.colour, linewidth=3.5, alpha=0.35, zorder=2)
    return float(told[x].iloc[-1]), float(told[y].iloc[-1])


def _failed(group: pd.DataFrame, x: str) -> dict[tuple[str, str], list[float]]:
    told: dict[tuple[str, str], list[float]] = {}
    for line in rows.failures(group).to_dict("records"):
        told.setdefault((line["series"], rows.STATUS_TEXT[line["status"]]), []).append(float(line[x]))
    return told


def _extremes(data: pd.DataFrame, y: str) -> tuple[float, float]:
    columns = [name for name in (y, "low", "high") if name in data]
    return float(np.nanmin(data[columns])), float(np.nanmax(data[columns]))


def _limits(data: pd.DataFrame, y: str, log: bool) -> tuple[float, float]:
    """At least a factor of four on a log axis, so that noise looks like noise."""
    low, high = _extremes(data, y)
    if not log:
        room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
        return low - room, high + room
    low, high = low / 1.2, high * 1.2
    widen = math.sqrt(max(4 * low / high, 1.0))
    return low / widen, high * widen


def _scales(
    axes: Axes, xs: list[float], limits: tuple[float, float], names: tuple[str, str], form: Form, log: tuple[bool, bool]
) -> None:
    axes.set(xlabel=names[0], ylabel=names[1])
    if log[0]:
        axes.set_xscale("log", base=2)
        room = max((xs[-1] / xs[0]) ** 0.06, 1.15)
        axes.set_xlim(xs[0] / room, xs[-1] * room)
        shown = xs[:: math.ceil(len(xs) / 7)]
        axes.xaxis.set(major_locator=FixedLocator(shown), minor_locator=NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: wording.number(round(value, 12))))
    if log[1]:
        axes.set_yscale("log")
        binary = form is wording.size
        wide = limits[1] / limits[0]
        parts = (1,) if binary or wide > 300 else (1, 2, 5) if wide > 10 else (1, 1.5, 2, 3, 4, 5, 7)
        locator = LogLocator(base=2 if binary else 10, subs=parts, numticks=7)
        axes.yaxis.set(major_locator=locator, minor_locator=NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
    axes.set_ylim(*limits)


def told(
    data: pd.DataFrame, x: str, y: str, unit: str, noun: str, panel: str | None = None, form: Form = wording.number
) -> str:
    """The finding in words: each series at both ends of `x`, how steep it is, and what failed."""
    sentences = []
    groups = _groups(data, x, panel)
    for value, group in groups:
        where = "" if panel is None else f" at {NOUNS.get(panel, panel)} {wording.number(value)}"
        parts = [_ends(part, x, y, unit, noun, form) for _, part in group.groupby(["series", "model"], sort=True)]
        sentences.append(f"{y_name(y)}{where}: {'; '.join(parts)}.")
    return " ".join(sentences)


def y_name(y: str) -> str:
    """A column's name as the start of a sentence."""
    return y.replace("_", " ").capitalize()


def _ends(part: pd.DataFrame, x: str, y: str, unit: str, noun: str, form: Form) -> str:
    name = wording.title(part["series"].iloc[0], part["model"].iloc[0])
    good = part[part[y].notna()].sort_values(x)
    words = [f"{form(line[y])}{unit} at {noun} {wording.number(line[x])}" for line in good.to_dict("records")]
    told = f"{name} {words[0]}" if words else f"{name} gave no value"
    if len(words) > 1:
        told += f" and {words[-1]}"
    if len(set(good[x])) > 1 and (good[y] > 0).all():
        told += f" (x{2 ** intervals.slope(good[x], good[y]):.2f} per doubling)"
    for (_, what), places in sorted(_failed(part[part[x].notna()], x).items()):
        told += f", {what} at {wording.listed([wording.number(place) for place in sorted(places)])}"
    return told
