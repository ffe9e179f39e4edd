"""One CSV file of a results folder: its text as checked rows and back, every complaint with its line and column.

A row is one line, always. An empty cell is a missing value. Numbers read back exactly as they were.
"""

import csv
import dataclasses
import io
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import pandera.pandas as pa

from harness.errors import UserError, nearest, shown
from harness.tables import LATER, TABLES, VERSION

OPTION = "option."
ELSEWHERE = "nothing was changed; restore the file, or move its folder away, or use --out"
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


def read(path: pathlib.Path, name: str) -> Sheet:
    """Reads and checks the file of table `name`; a file that is not there is an empty table.

    Raises UserError, with file and line, for what is damaged, lacks a column or was written under another schema.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        text = ""
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8 text; {ELSEWHERE}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    *lines, cut = [part.removesuffix("\r") for part in text.split("\n")]
    written = len(lines)
    while lines and not lines[-1]:  # an editor's blank line at the end
        del lines[-1]
    header = _cells(lines[0], path, 1) if lines else columns(name)
    rows = [_cells(told, path, number) for number, told in enumerate(lines[1:], 2)]
    _check_version(path, header, rows)
    _check_header(path, name, header)
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise UserError(f"{path}:{number}: {len(row)} cells, but the header names {len(header)}; {ELSEWHERE}")
    frame = _frame(path, name, header, rows)
    return Sheet(path, header, lines[1:], frame, cut, written + 1, whole=0 < len(lines) == written)


def check(sheet: Sheet, name: str, lines: list[str]) -> None:
    """Holds lines that are about to be appended against the schema, as `read` will. Raises UserError."""
    _frame(sheet.path, name, sheet.header, [_cells(told, sheet.path, number) for number, told in enumerate(lines, 2)])


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
    told = {"isin": f"one of {inside}", "greater_than_or_equal_to": f"at least {inside}", "equal_to": inside}
    return told.get(name, f"text like {inside}" if name == "str_matches" else check)


def _cells(text: str, path: pathlib.Path, number: int) -> list[str]:
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise UserError(f"{path}:{number}: this is no line of CSV ({error}); {ELSEWHERE}") from None


def _check_version(path: pathlib.Path, header: list[str], rows: list[list[str]]) -> None:
    if "schema" not in header:
        return
    at = header.index("schema")
    for number, row in enumerate(rows, 2):
        if len(row) > at and row[at] != str(VERSION):
            told = f"found version {shown(row[at])} of the tables; this program reads and writes version {VERSION}"
            raise UserError(f"{path}:{number}: column schema: {told}; {ELSEWHERE}")


def _check_header(path: pathlib.Path, name: str, header: list[str]) -> None:
    wanted = columns(name)
    optional = [column for column in header if name == "points" and column.startswith(OPTION)]
    missing = [column for column in wanted if column not in header and column not in LATER.get(name, ())]
    foreign = [column for column in header if column not in wanted and column not in optional]
    twice = sorted({column for column in header if header.count(column) > 1})
    told = [f"column {column!r} is missing" for column in missing]
    told += [f"column {column!r} is unknown{_hint(column, missing or wanted)}" for column in foreign]
    told += [f"column {column!r} stands there twice" for column in twice]
    if told:
        more = [f"and {len(told) - MOST_COMPLAINTS} more"] if len(told) > MOST_COMPLAINTS else []
        raise UserError(f"{path}:1: {', '.join([*told[:MOST_COMPLAINTS], *more])}; {ELSEWHERE}")


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


def _typed(texts: list[str], kind: str, what: str, path: pathlib.Path) -> Any:
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
            raise UserError(f"{path}:{number}: {what}: found {shown(text)}, expected {words}; {ELSEWHERE}") from None
    dtype: Any = {"int64": "Int64" if None in values else "int64", "Int64": "Int64", "float64": "float64"}.get(
        kind, "str"
    )
    return pd.array(values, dtype=dtype)
