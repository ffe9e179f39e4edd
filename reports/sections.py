"""The pieces that pages are made of: drawn figures, each with its table and the table's CSV. No layout."""

import dataclasses
import re
import urllib.parse
import zlib
from typing import Any

import pandas as pd
from markupsafe import Markup

from reports import corners, figures, language, rows, style, svg, tradeoffs, triangle, variants, wording
from reports.corner import VALUES

SHOWN = 12  # significant digits of the CSV
COLUMNS = "CONTRIBUTING.md says which columns a figure's table has"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table as it is shown, and the same table as a file."""

    caption: str
    head: list[str]
    body: list[list[str]]
    csv: str  # a data: URI
    file: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A figure on a page."""

    key: str
    title: str
    svg: Markup
    text: str
    note: str
    table: Table | None
    raw: list[list[str]] | None = None  # a head and lines to show at once, where the table is too wide to be read
    failed: str = ""  # why there is no figure here


def slug(text: str) -> str:
    """A name that is safe in ids, links and file names; where another text would give the same, told from it."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "x"
    return safe if safe == text else f"{safe}-{zlib.crc32(text.encode()):08x}"


def table(told: pd.DataFrame, caption: str, name: str) -> Table:
    """The table as shown and as a file: the same rows and columns, the file with all digits."""
    csv = told.to_csv(index=False, float_format=f"%.{SHOWN}g", lineterminator="\n")
    uri = "data:text/csv;charset=utf-8," + urllib.parse.quote(csv, safe=",;:.-_()/=+")
    head = [str(column) for column in told]
    body = [[cell(value) for value in line] for line in told.astype(object).itertuples(index=False, name=None)]
    return Table(caption, [column.replace("_", " ") for column in head], body, uri, f"{slug(name)}.csv")


def cell(value: Any) -> str:
    """One value as it is shown."""
    return value if isinstance(value, str) else wording.number(value)


def figure(name: str, result_set: Any, key: str) -> Section | None:
    """The figure of that name for one result set; None where there is nothing to draw."""
    plan = figures.load(name)
    data = plan.data(result_set)
    if data is None or data.empty:
        return None
    if missing := [column for column in figures.COLUMNS if column not in data]:
        raise figures.Incomplete(f"the table of data() lacks {', '.join(missing)}; {COLUMNS}")
    text = plan.text(data)
    with style.settings():
        drawn = Markup(svg.of(plan.draw(data, style.looks(data, result_set.points)), key, plan.title, text))
    shown = table(data, plan.title, f"{result_set.experiment}-{name}")
    more = plan.beside(result_set) if hasattr(plan, "beside") else ""
    return Section(key, plan.title, drawn, text, _with(plan.note, more), shown)


def failed(title: str, text: str, key: str) -> Section:
    """What stands in the place of a figure that raised."""
    return Section(key, title, Markup(""), "", "", None, failed=text)


def of_triangle(result_set: Any, found: corners.Corners, key: str) -> list[Section]:
    """The triangle of the corners, a small one per model where there are several, and its three sides."""
    told, name = found.table, f"{result_set.experiment}-triangle"
    looks, text = style.looks(told, result_set.points), triangle.text(told)
    with style.settings():
        whole = Markup(svg.of(triangle.draw(told, looks), key, triangle.TITLE, text))
        each = [] if found.alone else [_each(told, looks, key, text)]
        sides = [_side(found, looks, side, key, name) for side in tradeoffs.SIDES]
    first = Section(
        key,
        triangle.TITLE,
        whole,
        text,
        _with(TRIANGLE_NOTE, found.caution(), found.edges),
        table(told, triangle.TITLE, name),
        _raw(told),
    )
    return [first, *each, *sides]


def _each(told: pd.DataFrame, looks: style.Style, key: str, text: str) -> Section:
    drawn = Markup(svg.of(triangle.each(told, looks), f"{key}-each", "One triangle per model", text))
    return Section(f"{key}-each", "And each model by itself?", drawn, "", EACH_NOTE, None)


def picture(result_set: Any, about: str) -> str:
    """The triangle of a result set that has one, as a file of its own; `about` says what was measured."""
    found = corners.measure(result_set)
    assert found is not None
    told = found.table
    with style.settings():
        drawn = triangle.draw(told, style.looks(told, result_set.points), alone=about)
        return svg.of(drawn, "triangle", triangle.TITLE, triangle.text(told), alone=True)


def _raw(told: pd.DataFrame) -> list[list[str]]:
    """The corners' values in a table that fits a page."""
    head = ["Model", "Training, tokens/s", "Decoding, tokens/s", "State", "Bits per byte", "Weakest corner"]
    lines = [head]
    for line in told.to_dict("records"):
        speeds = [_value(line, name) for name in corners.CORNERS]
        state = "" if pd.isna(line["state_bytes"]) else wording.size(line["state_bytes"])
        weakest = f"{line['weakest']:.2f}" if pd.notna(line["weakest"]) else "a gap"
        lines.append([wording.title(line["series"], line["model"]), *speeds[:2], state, speeds[2], weakest])
    return [line[:-1] for line in lines] if len(told) == 1 else lines  # of one model alone every corner is as weak


def _value(line: dict, name: str) -> str:
    if pd.isna(line[VALUES[name]]):
        return f"a gap: {line[f'{name}_missing']}"
    value = wording.interval(line[VALUES[name]], line[f"{name}_low"], line[f"{name}_high"])
    ratio = line[f"{name}_ratio"]
    return f"{value} [a gap: {line[f'{name}_missing']}]" if pd.isna(ratio) else f"{value} [{ratio:.2f}]"


SIDE_NOTE = (
    "Better is up and to the right. Bars are 95% intervals: of speeds by bootstrap over repeats in one process, of "
    "quality by Student's t over seeds."
)
FRONT_NOTE = "The dashed line joins the models that no other beats on both."
TRIANGLE_NOTE = "The edge of the triangle is the best model at that corner, the centre is zero. A gap is an open side."
EACH_NOTE = "The same values, one model at a time, the others in grey."


def _with(note: str, *more: str) -> str:
    return " ".join([note, *(each for each in more if each)])


def _side(found: corners.Corners, looks: style.Style, side: tradeoffs.Side, key: str, name: str) -> Section:
    told, key = found.table, f"{key}-{side.x}-{side.y}"
    edges = found.edges if "quality" in (side.x, side.y) else ""
    front = "" if found.alone else FRONT_NOTE
    text, note = tradeoffs.text(told, side), _with(SIDE_NOTE, front, found.caution((side.x, side.y)), edges)
    drawn = Markup(svg.of(tradeoffs.draw(told, looks, side), key, side.title, text))
    return Section(key, side.title, drawn, text, note, _side_table(told, side, name))


def _side_table(told: pd.DataFrame, side: tradeoffs.Side, name: str) -> Table:
    columns = ["series", "model"]
    for at in (side.x, side.y):
        columns += [VALUES[at], f"{at}_low", f"{at}_high"]
    return table(told[[*columns, "point"]], side.title, f"{name}-{side.x}-{side.y}")


def got(result_set: Any) -> Table | None:
    """What each model actually got: sizes, mismatch with the budget, training, the rate chosen, and its options."""
    points = rows.current(result_set.points)
    if points.empty:
        return None
    points = points.assign(options=variants.as_run(points))
    same = ["label", "model", "width", "layers", "heads", "ffn_width", "parameters", "parameters_target", "options"]
    told = points.drop_duplicates(same, keep="last")[[*same, "parameters_mismatch", "point"]]
    trained = language.results(result_set).groupby("label")[["training_tokens", "training_flops"]].max()
    told = told.sort_values(same, kind="stable")
    for column in trained:
        told[column] = told["label"].map(trained[column])
    told["learning_rate"] = told["label"].map(language.rates(result_set)).astype(float)
    told["options"] = told.pop("options")  # the widest, last
    empty = [column for column in told if told[column].replace("", None).isna().all()]
    told = told.drop(columns=empty).rename(columns={"label": "series"})
    return table(told, "What each model got", f"{result_set.experiment}-budget")
