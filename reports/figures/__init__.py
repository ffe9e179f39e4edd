"""The figures: one file each, found by listing this folder, each holding one class named `Figure`.

Adding a figure is adding a file; nothing else names it. Importing this module draws nothing.
"""

import importlib
import pathlib
from typing import Any, ClassVar, Protocol

import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports.style import Style

FOLDER = pathlib.Path(__file__).parent


COLUMNS = ("series", "model", "point")  # of every table that is drawn


class Incomplete(Exception):
    """A figure's table lacks columns that every table has; the text says which, and whose."""


class Figure(Protocol):
    """What a file in this folder holds. All three are functions of the result set's tables and of nothing else.

    One that must say of these results what its table does not hold also has `beside(result_set)`, which gives a
    sentence to stand after the note, or an empty text.
    """

    title: ClassVar[str]  # the question that the figure answers
    place: ClassVar[int]  # figures stand on a page in this order
    note: ClassVar[str]  # how to read it, one or two sentences

    def data(self, result_set: Any) -> pd.DataFrame | None:
        """The table that is drawn, with `series`, `model` and `point`; None where there is nothing to draw."""

    def draw(self, data: pd.DataFrame, style: Style) -> Drawing:
        """The picture of that table; `style` says how each series looks."""

    def text(self, data: pd.DataFrame) -> str:
        """The finding in words, computed from the table."""


def load(name: str) -> Figure:
    """One figure."""
    return importlib.import_module(f"reports.figures.{name}").Figure()
