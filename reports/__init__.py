"""The pages: a pure function of the result tables. No torch, no network, nothing measured, the same bytes every time.

`reports.build(result_sets, out)` is the only way in. A result set has the attributes `experiment`, `question`,
`device`, `points`, `samples`, `curves`, `environments` (tables as in harness/tables.py) and `settings` (the resolved
experiment); it may have `planned` (as in harness/planned.py). A figure is one file in reports/figures/, a claim one
file in reports/claims/; both are found by listing.
"""

import pathlib
from collections.abc import Iterable
from typing import Any


def build(result_sets: Iterable[Any], out: pathlib.Path, broken: dict[str, str] | None = None) -> list[pathlib.Path]:
    """Writes every page into the folder `out` and returns what was written. Raises OSError where it cannot write.

    `broken` maps files of figures and claims that cannot be used to a line that says why: pages are made without them,
    and say so. Those that raise are added to it; where there is none given, what they raise is raised.
    """
    from reports.pages import write

    return write(list(result_sets), pathlib.Path(out), broken)
