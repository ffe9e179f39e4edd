"""The pages: a pure function of the result tables. No torch, no network, nothing measured, the same bytes every time.

`reports.build(result_sets, out)` is the only way in; `kept` says beforehand which pages it leaves alone. A result set
has the attributes `experiment`, `question`, `device`, `points`, `samples`, `curves`, `environments` (tables as in
harness/tables.py) and `settings` (the resolved experiment); it may have `planned` (as in harness/planned.py). A figure
is one file in reports/figures/, a claim one file in reports/claims/; both are found by listing.
"""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Lost = Mapping[str, Sequence[str]]  # experiments of which some results are damaged, each with what is wrong


def build(
    result_sets: Iterable[Any], out: pathlib.Path, broken: dict[str, str] | None = None, lost: Lost | None = None
) -> list[pathlib.Path]:
    """Writes every page into the folder `out` and returns what was written. Raises OSError where it cannot write.

    `broken` maps files of figures and claims that cannot be used to a line that says why: pages are made without them,
    and say so. Those that raise are added to it; where there is none given, what they raise is raised.

    Where an experiment is `lost`, what else there is of it is not drawn: the pages in `kept` are left as they were, and
    those that take all experiments together and are not there yet say what they lack.
    """
    from reports.pages import write

    return write(list(result_sets), pathlib.Path(out), broken, lost or {})


def kept(lost: Lost, out: pathlib.Path) -> list[str]:
    """The names of the pages in the folder `out` that `build` leaves as they were where these experiments are lost."""
    from reports import pages

    return pages.kept(lost, pathlib.Path(out))
