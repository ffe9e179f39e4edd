"""One CSV file of a results folder: its text as checked rows and back, every complaint with its line and column.

A row is one line, always. An empty cell is a missing value. Numbers read back exactly as they were.
"""

import ast
import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import pandera.pandas as pa

from harness import cells, consistency
from harness.cells import ELSEWHERE
from harness.errors import UserError, first, listed, nearest, shown
from harness.tables import LATER, TABLES, TIME, VERSION

OPTION = "option."
MOST_COMPLAINTS = 5


@dataclasses.dataclass(frozen=True)
class Sheet:
    """What one file holds. Line i of `lines` is row i of `frame`; `cut` is a last line that was not written whole."""

    path: pathlib.Path
    header: list[str]
    lines: list[str]
    frame: pd.DataFrame
    cut: str = ""
    cut_line: int = 1  # where it stands
    whole: bool = True  # whether the file is there with its header, and ends where its last row does

    def text(self, lines: Iterable[str]) -> str:
        """The file with these lines."""
        return "".join(f"{line}\n" for line in [",".join(self.header), *lines])


def columns(name: str) -> list[str]:
    """The header of a table, without the options of models."""
    return [column for column, told in TABLES[name].columns.items() if not told.regex]


def line(header: list[str], row: Mapping[str, Any]) -> str:
    """One row as a line of the file, its end left out. Raises KeyError for a value that has no column."""
    if unknown := set(row) - set(header):
        raise KeyError(f"no column for {', '.join(sorted(unknown))}")
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([cells.cell(row.get(column)) for column in header])
    return text.getvalue()


def parse(path: pathlib.Path, name: str, text: str) -> Sheet:
    """What the file of table `name` holds, as checked rows.

    Raises UserError, with file and line, for what is damaged, lacks a column or was written under another schema.
    """
    lines, cut, written = cells.lines(text)
    cells.check_commas(path, lines, ELSEWHERE)
    header, *rows = cells.rows(lines, path, ELSEWHERE) or [columns(name)]
    _check_version(path, header, rows)
    _check_header(path, header, columns(name), ELSEWHERE, LATER.get(name, ()), name == "points")
    cells.check_sizes(path, header, rows, ELSEWHERE)
    frame = _frame(path, name, header, rows)
    return Sheet(path, header, lines[1:], frame, cut, written + 1, whole=0 < len(lines) == written)


def plain(path: pathlib.Path, kinds: Mapping[str, str], fix: str) -> pd.DataFrame:
    """A file of ours that is no such table: of just these columns, each of a type, and written as a whole.

    Raises UserError, with file and line and the fix, for what is damaged.
    """
    lines, cut, written = cells.lines(cells.text_of(path, fix))
    if cut:
        raise UserError(f"{path}:{written + 1}: the last line has no end, so the file was cut off; {fix}")
    cells.check_commas(path, lines, fix)
    header, *rows = cells.rows(lines, path, fix) or [[]]
    _check_header(path, header, list(kinds), fix)
    if header != list(kinds):
        raise UserError(f"{path}:1: the columns stand in another order than {','.join(kinds)}; {fix}")
    cells.check_sizes(path, header, rows, fix)
    typed = {
        column: cells.typed([row[at] for row in rows], kind, column, path, fix)
        for at, (column, kind) in enumerate(kinds.items())
    }
    return pd.DataFrame(typed)


def check(sheet: Sheet, name: str, lines: list[str]) -> None:
    """Holds lines that are about to be appended against the schema, as `parse` will. Raises UserError."""
    _frame(sheet.path, name, sheet.header, cells.rows(lines, sheet.path, ELSEWHERE, 2))


def _validated(name: str, frame: pd.DataFrame, path: pathlib.Path) -> pd.DataFrame:
    """The frame held against its schema. Raises UserError that tells the first complaints by line and column."""
    try:
        return TABLES[name].validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases.to_dict("records")
    told = []
    for case in cases:
        number = "" if pd.isna(case["index"]) else f"{int(case['index']) + 2}:"
        found = "nothing" if pd.isna(case["failure_case"]) else shown(case["failure_case"])
        told.append(f"{path}:{number} column {case['column']}: found {found}, expected {_expected(case['check'])}")
    raise UserError("\n".join([*first(list(dict.fromkeys(told)), MOST_COMPLAINTS), ELSEWHERE]))


def _expected(check: str) -> str:
    """A pandera check in words."""
    words = {
        "not_nullable": "a value",
        "multiple_fields_uniqueness": "a row that stands here only once",
        "column_in_dataframe": "a column of this name",
        "column_in_schema": "no column of this name",
        TIME: "a time such as 2026-01-02T03:04:05+00:00",
    }
    if check in words:
        return words[check]
    name, _, inside = check.partition("(")
    inside = inside.removesuffix(")")
    if name == "isin":
        return f"one of {listed(ast.literal_eval(inside))}"
    told = {"greater_than": f"above {inside}", "greater_than_or_equal_to": f"at least {inside}", "equal_to": inside}
    return told.get(name, f"text like {inside}" if name == "str_matches" else check)


def _check_version(path: pathlib.Path, header: list[str], rows: list[list[str]]) -> None:
    if "schema" not in header:
        return
    at = header.index("schema")
    for number, row in enumerate(rows, 2):
        if len(row) > at and row[at] != str(VERSION):
            told = f"found version {shown(row[at])} of the tables; this program reads and writes version {VERSION}"
            raise UserError(f"{path}:{number}: column schema: {told}; {ELSEWHERE}")


def _check_header(
    path: pathlib.Path, header: list[str], wanted: list[str], fix: str, later: Iterable[str] = (), options: bool = False
) -> None:
    """Raises UserError for columns that are missing, but for `later` ones, or that are none but those of `options`."""
    missing = [column for column in wanted if column not in header and column not in later]
    foreign = [column for column in header if column not in wanted and not (options and column.startswith(OPTION))]
    twice = sorted({column for column in header if header.count(column) > 1})
    told = [f"column {column!r} is missing" for column in missing]
    told += [f"column {column!r} is unknown{_hint(column, missing or wanted)}" for column in foreign]
    told += [f"column {column!r} stands there twice" for column in twice]
    if told:
        raise UserError(f"{path}:1: {listed(first(told, MOST_COMPLAINTS))}; {fix}")


def _hint(column: str, wanted: list[str]) -> str:
    found = nearest(column, wanted)
    return f" (nearest: {found!r})" if found else ""


def _frame(path: pathlib.Path, name: str, header: list[str], rows: list[list[str]]) -> pd.DataFrame:
    schema = TABLES[name].columns
    told = {}
    for at, column in enumerate(header):
        texts = [row[at] for row in rows]
        kind = "str" if column.startswith(OPTION) else str(schema[column].dtype)
        told[column] = cells.typed(texts, kind, column, path)
    for column in LATER.get(name, ()):
        told.setdefault(column, cells.typed([""] * len(rows), str(schema[column].dtype), column, path))
    frame = _validated(name, pd.DataFrame(told), path)
    if name == "samples":
        consistency.check_samples(path, frame)
    if name == "points":
        consistency.check_points(path, frame)
    return frame
