"""`python -m harness report`: the pages of a folder of results, and what is to be said beside them."""

import pathlib
import sys

from harness import ending, plugins, record
from harness.errors import UserError, listed


def draw(results: pathlib.Path, out: pathlib.Path) -> int:
    """Writes the pages into `out`, prints their names and returns the exit code: 2 where results are damaged, which
    leaves the pages with them as they were; else 1 where a figure or a claim failed.

    Raises UserError where no results are whole, or pages cannot be written.
    """
    import reports

    damaged: dict[pathlib.Path, UserError] = {}
    found = record.load_all(results, damaged)
    lost: dict[str, list[str]] = {}
    for folder, error in damaged.items():
        lost.setdefault(folder.relative_to(results).parts[0], []).append(str(error))
    if lost and all(one.experiment in lost for one in found):
        raise record.all_of(damaged)
    plugins.check("model")
    broken = unusable()
    for note in (note for one in found for note in one.notes):
        print(f"left out: {note}; the next run takes it out and keeps it beside", file=sys.stderr)
    kept = reports.kept(lost, out)
    try:
        pages = reports.build(found, out, broken, lost)
    except OSError as error:
        told = f"cannot be written: {error.strerror or error}; no page has changed for the worse"
        where = error.filename2 or error.filename or out
        raise UserError(f"{where}: {told}; make room, or use another --out") from None
    for page in pages:
        print(page)
    left = sorted({page.name for page in set(out.glob("experiment-*.html")) - set(pages)} - set(kept))
    if left:
        print(f"of no experiment in {results}, left as they were: {listed(left)}", file=sys.stderr)
    for line in broken.values():
        print(line, file=sys.stderr)
    code = ending.damaged(damaged.values())
    if kept:
        print(f"left as they were, until this is mended: {listed(kept)}", file=sys.stderr)
    return code or (1 if broken else 0)


def unusable() -> dict[str, str]:
    """Files of figures and claims that are not whole, each with a line that says what it lacks."""
    from reports import broken, claims, figures, packages

    told = {}
    for kind, package in (("figure", figures), ("claim", claims)):
        for name in packages.files(package):
            try:
                plugins.check_named(kind, [name])
            except UserError as error:
                told[broken.file(package, name)] = str(error)
    return told
