"""One CSV file of a results folder: its text as checked rows and back, every complaint with its line and column.

A row is one line, always. An empty cell is a missing value. Numbers read back exactly as they were.
"""

import ast
import csv
import dataclasses
import io
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import pandera.pandas as pa

from harness.errors import UserError, listed, nearest, shown
from harness.tables import LATER, TABLES, VERSION

OPTION = "option."
ELSEWHERE = "nothing was changed; restore the file (as `git restore` does), or move its folder away, or use --out"
MOST_COMPLAINTS = 5


def value(cell: Any) -> Any:
    """A cell of a table that was read, None where it is empty."""
    return None if pd.isna(cell) else cell


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


def columns(name: str, options: Iterable[str] = ()) -> list[str]:
    """The header of a table, with a column for each option of a model."""
    fixed = [column for column, told in TABLES[name].columns.items() if not told.regex]
    return fixed + [OPTION + option for option in options]


def line(header: list[str], row: Mapping[str, Any]) -> str:
    """One row as a line of the file, its end left out. Raises KeyError for a value that has no column."""
    if unknown := set(row) - set(header):
        raise KeyError(f"no column for {', '.join(sorted(unknown))}")
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([cell(row.get(column)) for column in header])
    return text.getvalue()


def cell(value: Any) -> str:
    """A value as text: empty for None, floats in the shortest form that reads back the same, lists with commas."""
    if value is None or value is pd.NA:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(cell, value))
    return repr(value) if isinstance(value, float) else " ".join(str(value).split())


def text_of(path: pathlib.Path, fix: str = ELSEWHERE) -> str:
    """What a file holds; nothing where it is not there. Raises UserError, with the fix, where it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8 text; {fix}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; {fix}") from None


def parse(path: pathlib.Path, name: str, text: str) -> Sheet:
    """What the file of table `name` holds, as checked rows.

    Raises UserError, with file and line, for what is damaged, lacks a column or was written under another schema.
    """
    lines, cut, written = _lines(text)
    _check_commas(path, lines, ELSEWHERE)
    header, *rows = _rows(lines, path, ELSEWHERE) or [columns(name)]
    _check_version(path, header, rows)
    _check_header(path, header, columns(name), ELSEWHERE, LATER.get(name, ()), name == "points")
    _check_sizes(path, header, rows, ELSEWHERE)
    frame = _frame(path, name, header, rows)
    return Sheet(path, header, lines[1:], frame, cut, written + 1, whole=0 < len(lines) == written)


def plain(path: pathlib.Path, kinds: Mapping[str, str], fix: str) -> pd.DataFrame:
    """A file of ours that is no such table: of just these columns, each of a type, and written as a whole.

    Raises UserError, with file and line and the fix, for what is damaged.
    """
    lines, cut, written = _lines(text_of(path, fix))
    if cut:
        raise UserError(f"{path}:{written + 1}: the last line has no end, so the file was cut off; {fix}")
    _check_commas(path, lines, fix)
    header, *rows = _rows(lines, path, fix) or [[]]
    _check_header(path, header, list(kinds), fix)
    if header != list(kinds):
        raise UserError(f"{path}:1: the columns stand in another order than {','.join(kinds)}; {fix}")
    _check_sizes(path, header, rows, fix)
    typed = {
        column: _typed([row[at] for row in rows], kind, f"column {column}", path, fix)
        for at, (column, kind) in enumerate(kinds.items())
    }
    return pd.DataFrame(typed)


def check(sheet: Sheet, name: str, lines: list[str]) -> None:
    """Holds lines that are about to be appended against the schema, as `parse` will. Raises UserError."""
    _frame(sheet.path, name, sheet.header, _rows(lines, sheet.path, ELSEWHERE, 2))


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
    told = list(dict.fromkeys(told))
    more = [f"... and {len(told) - MOST_COMPLAINTS} more"] if len(told) > MOST_COMPLAINTS else []
    raise UserError("\n".join([*told[:MOST_COMPLAINTS], *more, ELSEWHERE]))


def _expected(check: str) -> str:
    """A pandera check in words."""
    words = {
        "not_nullable": "a value",
        "multiple_fields_uniqueness": "a row that stands here only once",
        "column_in_dataframe": "a column of this name",
        "column_in_schema": "no column of this name",
    }
    if check in words:
        return words[check]
    name, _, inside = check.partition("(")
    inside = inside.removesuffix(")")
    if name == "isin":
        return f"one of {listed(ast.literal_eval(inside))}"
    told = {"greater_than_or_equal_to": f"at least {inside}", "equal_to": inside}
    return told.get(name, f"text like {inside}" if name == "str_matches" else check)


def _lines(text: str) -> tuple[list[str], str, int]:
    """The whole lines of a file, what stands after the last one, and how many they are with blank ones at the end."""
    *lines, cut = [part.removesuffix("\r") for part in text.split("\n")]
    written = len(lines)
    while lines and not lines[-1]:  # an editor's blank line at the end
        del lines[-1]
    return lines, cut, written


def _rows(lines: Iterable[str], path: pathlib.Path, fix: str, first: int = 1) -> list[list[str]]:
    """Lines as cells. Raises UserError, with the line, where one is none; the first of them is line `first`."""
    rows = []
    for number, told in enumerate(lines, first):
        try:
            rows.append(next(csv.reader([told], strict=True), []))
        except csv.Error as error:
            raise UserError(f"{path}:{number}: this is no line of CSV ({error}); {fix}") from None
    return rows


def _check_commas(path: pathlib.Path, lines: list[str], fix: str) -> None:
    if lines and ";" in lines[0] and "," not in lines[0]:
        told = "semicolons separate its columns, where commas must: so a spreadsheet saves it in German and some other"
        raise UserError(f"{path}:1: {told} languages, and numbers with a comma, 0,5 for 0.5; {fix}")


def _check_sizes(path: pathlib.Path, header: list[str], rows: list[list[str]], fix: str) -> None:
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise UserError(f"{path}:{number}: {len(row)} cells, but the header names {len(header)}; {fix}")


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
        more = [f"and {len(told) - MOST_COMPLAINTS} more"] if len(told) > MOST_COMPLAINTS else []
        raise UserError(f"{path}:1: {', '.join([*told[:MOST_COMPLAINTS], *more])}; {fix}")


def _hint(column: str, wanted: list[str]) -> str:
    found = nearest(column, wanted)
    return f" (nearest: {found!r})" if found else ""


def _frame(path: pathlib.Path, name: str, header: list[str], rows: list[list[str]]) -> pd.DataFrame:
    schema = TABLES[name].columns
    told = {}
    for at, column in enumerate(header):
        texts = [row[at] for row in rows]
        kind = "str" if column.startswith(OPTION) else str(schema[column].dtype)
        told[column] = _typed(texts, kind, f"column {column}", path)
    for column in LATER.get(name, ()):
        told.setdefault(column, _typed([""] * len(rows), str(schema[column].dtype), f"column {column}", path))
    return _validated(name, pd.DataFrame(told), path)


def _typed(texts: list[str], kind: str, what: str, path: pathlib.Path, fix: str = ELSEWHERE) -> Any:
    """One column's cells as values of its type."""
    pattern, convert, words = {
        "int64": (r"-?\d+", int, "a whole number"),
        "Int64": (r"-?\d+", int, "a whole number"),
        "float64": (r"-?\d.*", float, "a number"),
    }.get(kind, (r"(?s).*", str, "text"))
    values: list[Any] = []
    for number, text in enumerate(texts, 2):
        try:
            values.append(None if text == "" else convert(re.fullmatch(pattern, text)[0]))  # type: ignore[index]
        except (TypeError, ValueError, OverflowError):
            raise UserError(f"{path}:{number}: {what}: found {shown(text)}, expected {words}; {fix}") from None
    dtype: Any = {"int64": "Int64" if None in values else "int64", "Int64": "Int64", "float64": "float64"}.get(
        kind, "str"
    )
    return pd.array(values, dtype=dtype)
