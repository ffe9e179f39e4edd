"""Labels beside the data, without overlaps. Names are dark text beside a marker in the model's colour: some of the
colours are too light to be read as letters."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import blended_transform_factory
from scipy.optimize import isotonic_regression

from reports import style, wording
from reports.style import Look, Style

LINE = 12.5  # points from one label to the next
LETTER = 0.62  # width of a letter over its height
BESIDE = 12.0  # points from the end of a line to its name inside the panel
EDGE = 0.9  # of a panel's width: a line that ends beyond it ends at the right
FAR: dict[str, Any] = {"color": style.GRID, "linewidth": 1.2, "linestyle": (0, (1, 2)), "zorder": 1}


def spread(wanted: list[float], gap: float, most: float = float("inf")) -> list[float]:
    """Places at least `gap` apart and at most `most`, in the order of the wanted ones and as near to them as can be."""
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    placed = np.empty(len(wanted))
    placed[order] = isotonic_regression(np.asarray(wanted, float)[order] - steps).x + steps
    placed[order] = np.minimum(placed[order], most - steps[::-1])
    return [float(place) for place in placed]


def at_ends(axes: Axes, ends: dict[str, tuple[float, float]], looks: Style) -> None:
    """Names of lines that have all been drawn and end at these (x, y); limits must be final.

    Those of lines that end at the right of the panel stand beyond it, the others beside their ends if there is room for
    all of these. What joins a name to its line is short, or dotted and grey, so that it is not taken for data.
    """
    at = {name: axes.transAxes.inverted().transform(axes.transData.transform(end)) for name, end in ends.items()}
    early: dict[float, dict[str, float]] = {}
    for name, (x, y) in at.items():
        if x < EDGE:
            early.setdefault(round(float(x), 6), {})[name] = float(y)
    step = LINE * axes.figure.dpi / 72 / axes.bbox.height
    inside = [
        (name, x, place)
        for x, names in early.items()
        for name, place in zip(names, spread(list(names.values()), step, most=1 - step / 2), strict=True)
    ]
    inside = inside if _free(axes, inside, looks) else []
    for name, x, place in inside:
        _beside(axes, looks[name], (x, at[name][1]), place)
    beyond = [name for name in at if not inside or at[name][0] >= EDGE]
    places = spread([at[name][1] for name in beyond], step, most=1)  # above stand the failures
    for name, place in zip(beyond, places, strict=True):
        look, (x, y) = looks[name], at[name]
        axes.plot([x, 1.03], [y, place], transform=axes.transAxes, clip_on=False, **(FAR if x < EDGE else _near(look)))
        _name(axes, look, place, wording.clipped(look.title))


def _near(look: Look) -> dict[str, Any]:
    """How a short line from a series to its name is drawn."""
    return {"color": look.colour, "linewidth": 0.6, "alpha": 0.7}


def _beside(axes: Axes, look: Look, end: tuple[float, float], place: float) -> None:
    """A name inside the panel, beside the end of its line and without a marker: there it would be a point."""
    left = end[0] + BESIDE * axes.figure.dpi / 72 / axes.bbox.width
    axes.plot([end[0], left - 0.006], [end[1], place], transform=axes.transAxes, **_near(look))
    axes.text(left, place, wording.clipped(look.title), transform=axes.transAxes, va="center", fontsize=8.5, zorder=5)


def _free(axes: Axes, names: list[tuple[str, float, float]], looks: Style) -> bool:
    """Whether names at these (name, end of its line, height) are inside the panel and touch neither lines nor names."""
    wide, high = (axes.figure.dpi / 72 / side for side in (axes.bbox.width, axes.bbox.height))  # of a point
    drawn = _drawn(axes)
    boxes: list[Box] = []
    for name, x, place in names:
        left, half = x + BESIDE * wide, LINE * high / 2
        box = (left, place - half, left + len(wording.clipped(looks[name].title)) * 8.5 * LETTER * wide, place + half)
        on = ((drawn > box[:2]) & (drawn < box[2:])).all(axis=1).any()
        if on or box[2] > 1 or box[1] < 0 or any(_overlap(box, other) > 1e-9 for other in boxes):
            return False
        boxes.append(box)
    return True


def _drawn(axes: Axes) -> np.ndarray:
    """Points close to each other along all lines and bars of a panel, as shares of its width and height."""
    paths = [np.asarray(line.get_xydata(), float) for line in axes.lines]
    for bars in axes.collections:
        paths += [np.asarray(path.vertices, float) for path in bars.get_paths()]
    found = [np.empty((0, 2))]
    for path in paths:
        points = axes.transAxes.inverted().transform(axes.transData.transform(path))
        steps = np.linspace(0, 1, 60)[:, None, None]
        found += [points, (points[:-1] + steps * np.diff(points, axis=0)).reshape(-1, 2)]
    return np.concatenate(found)


def failure(look: Look, what: str) -> str:
    """What stands beside a row of failures."""
    return f"{wording.clipped(look.title)}: {what}"


def inches(names: list[str]) -> float:
    """The room that the longest of these names takes beside a panel, with its marker."""
    return 0.4 + max(map(len, names), default=0) * 8.5 * LETTER / 72


def _name(axes: Axes, look: Look, y: float, text: str) -> None:
    x = 1.045
    axes.plot([x], [y], transform=axes.transAxes, clip_on=False, marker=look.marker, color=look.colour, markersize=5)
    axes.annotate(
        text, (x, y), xycoords="axes fraction", xytext=(6, -0.5),
        textcoords="offset points", va="center", fontsize=8.5, annotation_clip=False,
    )  # fmt: skip


def failed_above(axes: Axes, failed: dict[tuple[str, str], list[float]], looks: Style) -> None:
    """A strip above the panel for what gave no value: a row for each (series, what happened), a cross at each x."""
    mixed = blended_transform_factory(axes.transData, axes.transAxes)
    step = LINE * axes.figure.dpi / 72 / axes.bbox.height
    for row, ((name, what), places) in enumerate(sorted(failed.items())):
        y = 1 + step * (row + 0.9)
        look = looks[name]
        axes.plot([0, 1], [y, y], transform=axes.transAxes, color=style.GRID, linewidth=0.7, clip_on=False, zorder=0)
        axes.plot(
            places, [y] * len(places), transform=mixed, clip_on=False, linestyle="", marker="x", color=look.colour,
            markersize=6, markeredgewidth=1.8,
        )  # fmt: skip
        _name(axes, look, y, failure(look, what))
    axes.title.set_position((0, 1 + step * len(failed)))
    axes.set_title(axes.get_title("left"), loc="left", y=1 + step * (len(failed) + 0.3))


def beside_points(axes: Axes, points: dict[str, tuple[float, float]], looks: Style) -> None:
    """Names beside single points, at the first of several places that is free and inside. Limits must be final."""
    unit = axes.figure.dpi / 72
    at = {name: axes.transData.transform(place) for name, place in points.items()}
    taken = [(x - 5 * unit, y - 5 * unit, x + 5 * unit, y + 5 * unit) for x, y in at.values()]
    for name, (x, y) in sorted(at.items(), key=lambda item: (-item[1][1], item[0])):
        text = wording.clipped(looks[name].title)
        width, height = len(text) * 8.5 * LETTER * unit, 10 * unit
        tried = [(_box(x, y, dx * unit, dy * unit, width, height), dx, dy) for dx, dy in PLACES]
        box, dx, dy = min(tried, key=lambda option: _cost(option[0], taken, axes))
        taken.append(box)
        axes.annotate(
            text, points[name], xytext=(dx, dy), textcoords="offset points", fontsize=8.5, va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5}, zorder=5,
            ha="left" if dx > 0 else "right" if dx < 0 else "center",
            arrowprops={"arrowstyle": "-", "color": style.QUIET, "linewidth": 0.5} if abs(dx) + abs(dy) > 14 else None,
        )  # fmt: skip


PLACES = [(8, 0), (-8, 0), (0, 11), (0, -11), (8, 13), (8, -13), (-8, 13), (-8, -13), (16, 26), (16, -26), (-16, 26)]
PLACES += [(-16, -26), (24, 40), (24, -40), (-24, 40), (-24, -40)]

Box = tuple[float, float, float, float]


def _box(x: float, y: float, dx: float, dy: float, width: float, height: float) -> Box:
    left = x + dx - (0 if dx > 0 else width if dx < 0 else width / 2)
    return left, y + dy - height / 2, left + width, y + dy + height / 2


def _cost(box: Box, taken: list[Box], axes: Axes) -> float:
    """The area that the box shares with what is taken or that lies outside the panel."""
    inside = axes.bbox
    shared = sum(_overlap(box, other) for other in taken)
    area = (box[2] - box[0]) * (box[3] - box[1])
    return shared + area - _overlap(box, (inside.x0, inside.y0, inside.x1 + 60, inside.y1))


def _overlap(one: Box, two: Box) -> float:
    wide = min(one[2], two[2]) - max(one[0], two[0])
    high = min(one[3], two[3]) - max(one[1], two[1])
    return max(wide, 0.0) * max(high, 0.0)
