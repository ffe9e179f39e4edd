"""What the command line prints on: a console as wide as where it goes, and tables that fit it."""

import os
from collections.abc import Iterable

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from harness.errors import CLOSED

NOT_APPLICABLE = "not applicable: "
WIDE = 150  # characters, where the output is no terminal and COLUMNS says nothing


class Terminal(Console):
    """A console that ends the command where nobody reads it any more, with the exit code of one that SIGPIPE ends."""

    def on_broken_pipe(self) -> None:
        self.quiet = True  # what is closed on the way out tells nobody
        raise SystemExit(CLOSED)


def console() -> Console:
    told = Terminal(markup=False, emoji=False, highlight=False)
    columns = os.environ.get("COLUMNS", "")
    if not told.is_terminal and not (columns.isdecimal() and int(columns)):
        told.width = WIDE
    return told


def table(title: str, *columns: str) -> Table:
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def rows(out: Console, title: str, columns: tuple[str, ...], cells: Iterable[tuple[str, ...]]) -> None:
    """A table; where it would break words a few lines per row instead, empty cells left out."""
    made, kept = table(title, *columns), list(cells)
    for row in kept:
        made.add_row(*row, style="dim" if any(cell.startswith(NOT_APPLICABLE) for cell in row) else None)
    if Measurement.get(out, out.options.update(max_width=10 * WIDE), made).minimum <= out.width:
        out.print(made, "")
        return
    names = [column.replace("\n", " ") for column in columns]
    told = (", ".join(f"{name} {cell}" for name, cell in zip(names, row, strict=True) if cell) for row in kept)
    out.print(f"{title}:", *(f"- {line}" for line in told), "", sep="\n")
