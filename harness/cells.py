"""The text of a CSV file, read whole, as cells, and cells as values of a type and back.

Every complaint names the file, the line and a fix, `ELSEWHERE` where nothing better is known.
"""

import csv
import pathlib
import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from harness.errors import UserError, shown
from harness.values import MOST as LARGEST

ELSEWHERE = "nothing was changed; restore the file (as `git restore` does), move its folder away, or `run` with --out"
MOST = 2**63  # what a column of whole numbers holds


def value(read: Any) -> Any:
    """A cell of a table that was read, None where it is empty."""
    return None if pd.isna(read) else read


def cell(given: Any) -> str:
    """A value as text: empty for None, floats in the shortest form that reads back the same, lists with commas."""
    if given is None or given is pd.NA:
        return ""
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, list | tuple):
        return ",".join(map(cell, given))
    return repr(given) if isinstance(given, float) else " ".join(str(given).split())


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


def lines(text: str) -> tuple[list[str], str, int]:
    """The whole lines of a file, what stands after the last one, and how many they are with blank ones at the end."""
    *whole, cut = [part.removesuffix("\r") for part in text.split("\n")]
    written = len(whole)
    while whole and not whole[-1]:  # an editor's blank line at the end
        del whole[-1]
    return whole, cut, written


def rows(told: Iterable[str], path: pathlib.Path, fix: str, first: int = 1) -> list[list[str]]:
    """Lines as cells. Raises UserError, with the line, where one is none; the first of them is line `first`."""
    found = []
    for number, line in enumerate(told, first):
        try:
            found.append(next(csv.reader([line], strict=True), []))
        except csv.Error as error:
            raise UserError(f"{path}:{number}: this is no line of CSV ({error}); {fix}") from None
    return found


def check_commas(path: pathlib.Path, told: list[str], fix: str) -> None:
    """Raises UserError where semicolons separate the columns that the first of these lines names."""
    if told and ";" in told[0] and "," not in told[0]:
        why = "semicolons separate its columns, where commas must: so a spreadsheet saves it in German and some other"
        raise UserError(f"{path}:1: {why} languages, and numbers with a comma, 0,5 for 0.5; {fix}")


def check_sizes(path: pathlib.Path, header: list[str], below: list[list[str]], fix: str) -> None:
    """Raises UserError, with the line, for a row below the header that has more cells than it, or fewer."""
    for number, row in enumerate(below, 2):
        if len(row) != len(header):
            raise UserError(f"{path}:{number}: {len(row)} cells, but the header names {len(header)}; {fix}")


def typed(texts: list[str], kind: str, column: str, path: pathlib.Path, fix: str = ELSEWHERE) -> Any:
    """One column's cells as values of its type. Raises UserError, with the line, for one that is none."""
    pattern, convert, words = {
        "int64": (r"-?\d+", _whole, "a whole number below 2^63"),
        "Int64": (r"-?\d+", _whole, "a whole number below 2^63"),
        "float64": (r"-?\d.*", _finite, f"a number below {LARGEST:.0e}"),
    }.get(kind, (r"(?s).*", str, "text"))
    values: list[Any] = []
    for number, text in enumerate(texts, 2):
        try:
            values.append(None if text == "" else convert(re.fullmatch(pattern, text)[0]))  # type: ignore[index]
        except (TypeError, ValueError, OverflowError):
            told = f"column {column}: found {shown(text)}, expected {words}"
            raise UserError(f"{path}:{number}: {told}; {fix}") from None
    dtype: Any = {"int64": "Int64" if None in values else "int64", "Int64": "Int64", "float64": "float64"}.get(
        kind, "str"
    )
    return pd.array(values, dtype=dtype)


def _whole(text: str) -> int:
    """Raises OverflowError for what a column cannot hold."""
    if not -MOST <= (number := int(text)) < MOST:
        raise OverflowError(text)
    return number


def _finite(text: str) -> float:
    """Raises OverflowError for what is too large to compute with."""
    if not abs(number := float(text)) < LARGEST:
        raise OverflowError(text)
    return number
