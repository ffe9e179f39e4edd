"""Whether a table's last line, which lacks its newline, is whole: an editor may have taken the newline and no more.

A line that was cut within its last cell can look whole. So it counts as whole only where nothing can follow that cell:
`true` and `false` are, and so is the empty cell of an option that the row's model does not have. No number is: its last
digits may be gone.
"""

import csv
import re

import models
from harness.tables import OPTION, STATUSES

FLAGS = ("true", "false")


def is_whole(name: str, header: list[str], line: str) -> bool:
    """Whether `line`, the last one of table `name`, certainly lacks nothing but its end."""
    try:
        cells = next(csv.reader([line], strict=True), [])
    except csv.Error:  # a quote that is open
        return False
    if len(cells) != len(header):
        return False
    row = dict(zip(header, cells, strict=True))
    if name == "points" and row.get("status") not in STATUSES:
        return False
    last = header[-1]
    if cells[-1] or not last.startswith(OPTION):
        return cells[-1] in FLAGS
    return not _may_have(row.get("model", ""), last.removeprefix(OPTION))


def _may_have(model: str, option: str) -> bool:
    """Whether a model may have an option, by what its file and those that models share state. Loads no torch."""
    if model not in models.names():
        return True
    files = [models.FOLDER / f"{model}.py", *models.FOLDER.glob("_*.py")]
    stated = re.compile(rf"^ +{re.escape(option)} *:", re.MULTILINE)
    return any(stated.search(file.read_text(encoding="utf-8")) for file in files)
