"""`python -m harness report`: the pages of a folder of results, and what is to be said beside them."""

import pathlib
import sys

from harness import plugins, record
from harness.errors import UserError, listed


def draw(results: pathlib.Path, out: pathlib.Path) -> None:
    """Writes the pages into `out` and prints their names. Raises UserError where results or pages are no good."""
    import reports
    from reports import figures

    found = record.load_all(results)
    plugins.check("model", "figure", "claim")
    for note in (note for one in found for note in one.notes):
        print(f"left out: {note}; the next run takes it out and keeps it beside", file=sys.stderr)
    try:
        pages = reports.build(found, out)
    except figures.Incomplete as error:
        raise UserError(f"{error}; CONTRIBUTING.md says which columns a figure's table has") from None
    except OSError as error:
        told = f"cannot be written: {error.strerror or error}; no page has changed for the worse"
        where = error.filename2 or error.filename or out
        raise UserError(f"{where}: {told}; make room, or use another --out") from None
    for page in pages:
        print(page)
    left = sorted(page.name for page in set(out.glob("experiment-*.html")) - set(pages))
    if left:
        print(f"of no experiment in {results}, left as they were: {listed(left)}", file=sys.stderr)
