"""What an interrupted run left in a results folder, told from damage.

The one writer (harness/writer.py) appends a point's samples and curve, and its row of points.csv last. So samples.csv
and curves.csv hold their rows in the order of points.csv, what follows them is what a crash left behind, and that is of
one point: the next run takes it out before it writes.
"""

import dataclasses
from collections.abc import Mapping

from harness.cells import ELSEWHERE
from harness.csvfile import Sheet
from harness.errors import UserError, listed
from harness.tables import TABLES
from reports import plurals

OWNED = ("samples", "curves")  # their rows belong to points
KILLED = "a run that is killed leaves the last point by half and no other"


@dataclasses.dataclass(frozen=True)
class Settled:
    """What of each sheet counts: one truth value per line; and what does not, in words."""

    counts: dict[str, list[bool]]
    notes: tuple[str, ...]


def settle(sheets: Mapping[str, Sheet]) -> Settled:
    """Holds the four tables against each other. Raises UserError for what no interrupted write explains.

    What one explains: a last line without its end, and one point by half, the last: rows of it without its row of
    points.csv, or that row without some of the others, and then it counts as not run. A file that has lost more is
    damaged, and the whole points behind the cut are not for a run to take out.
    """
    points = sheets["points"].frame
    _check_whole(sheets)
    lost: set[str] = set()
    for name in OWNED:
        lost |= _lost(sheets["points"], sheets[name], name)
    lost |= _without_environment(sheets)
    _check_one(sheets, lost)
    kept = set(points["point"]) - lost
    counts = {name: [True] * len(sheet.lines) for name, sheet in sheets.items()}
    for name in ("points", *OWNED):
        counts[name] = [point in kept for point in sheets[name].frame["point"]]
    return Settled(counts, tuple(note for name in TABLES for note in _notes(sheets[name], counts[name])))


def _check_whole(sheets: Mapping[str, Sheet]) -> None:
    """Raises UserError where a file has lost all of its rows, or is gone, and the others tell that it had some."""
    points = sheets["points"]
    owners = {name: sheets[name].frame["point"] for name in OWNED}
    orphans = {point for found in owners.values() for point in found}
    if not points.lines and len(orphans) > points.whole:  # whole, it may have been the first point's turn
        holding = [sheets[name] for name in OWNED if len(owners[name])]
        told = listed(f"{plurals.counted(len(each.lines), 'row')} of {each.path.name}" for each in holding)
        raise UserError(f"{points.path}: {_state(points)}, but there are {told}; {ELSEWHERE}")
    for name, found in owners.items():
        counted = int(points.frame[name].sum())
        if counted and found.empty:
            told = f"{_state(sheets[name])}, but {points.path.name} counts {plurals.counted(counted, 'row')} of it"
            raise UserError(f"{sheets[name].path}: {told}; {ELSEWHERE}")


def _state(sheet: Sheet) -> str:
    """Of a file without rows."""
    if not sheet.path.exists():
        return "the file is gone"
    return "it holds no row" if sheet.whole else "it holds nothing whole"


def _lost(points: Sheet, sheet: Sheet, name: str) -> set[str]:
    """The last point, where a cut-off file has lost rows of it. Raises UserError where others have lost some too."""
    counted = zip(points.frame["point"], points.frame[name], strict=True)
    owners = [point for point, count in counted for _ in range(count)]
    found, known = list(sheet.frame["point"]), list(points.frame["point"])
    for i, (owner, row) in enumerate(zip(owners, found, strict=False)):
        if owner != row:
            where = f"{points.path.name}:{known.index(owner) + 2}"
            told = f"found a row of point {row}, expected one of {owner} ({where}): rows were removed, added or sorted"
            raise UserError(f"{sheet.path}:{i + 2}: {told}; {ELSEWHERE}")
    whole = set(known)
    for i, row in enumerate(found[len(owners) :], len(owners)):
        if row in whole:
            raise UserError(f"{sheet.path}:{i + 2}: one row more of point {row} than points.csv counts; {ELSEWHERE}")
    lost = set(owners[len(found) :])
    if lost and lost != {known[-1]}:
        told = f"it ends after {len(found)} of the {len(owners)} rows that {points.path.name} counts"
        raise UserError(f"{sheet.path}: {told}: rows of {_share(lost, points)} are missing; {KILLED}; {ELSEWHERE}")
    return lost


def _without_environment(sheets: Mapping[str, Sheet]) -> set[str]:
    """The last point, where a cut-off file has lost its environment. Raises UserError where others have lost theirs."""
    points, environments = sheets["points"], sheets["environments"]
    missing = ~points.frame["environment"].isin(environments.frame["environment"])
    lost = set(points.frame["point"][missing])
    named, held = list(points.frame["environment"].drop_duplicates()), list(environments.frame["environment"])
    if lost and not held:
        told = f"{_state(environments)}, but {points.path.name} names rows of it"
        raise UserError(f"{environments.path}: {told}; {ELSEWHERE}")
    if lost and (missing.all() or missing[:-1].any()):
        count, at = len(set(named) & set(held)), int(missing.to_numpy().argmax())
        told = f"{'it ends after' if held == named[: len(held)] else 'it holds'} {count} of the {len(named)} rows that"
        told += f" {points.path.name} names: those of {_share(lost, points)} are missing, first of line {at + 2}"
        raise UserError(f"{environments.path}: {told}; {KILLED}; {ELSEWHERE}")
    return lost


def _check_one(sheets: Mapping[str, Sheet], lost: set[str]) -> None:
    """Raises UserError where more than one point is there by half: points.csv was cut off, or several files were."""
    points = sheets["points"]
    orphans = {name: set(sheets[name].frame["point"]) - set(points.frame["point"]) for name in OWNED}
    count = len(set().union(*orphans.values()))
    if count + len(lost) > 1:
        holding = listed(sheets[name].path.name for name, found in orphans.items() if found)
        told = f"points whose rows are missing here, while {holding} hold theirs: {count}"
        told += "; and of the last one that is here, rows of other files are missing" if lost else ""
        raise UserError(f"{points.path}: {told}; {KILLED}; {ELSEWHERE}")


def _share(lost: set[str], points: Sheet) -> str:
    return f"{len(lost)} of {len(points.lines)} points"


def _notes(sheet: Sheet, counts: list[bool]) -> list[str]:
    told = []
    dropped = [i + 2 for i, counted in enumerate(counts) if not counted]
    if dropped:
        told.append(f"{sheet.path}: {_lines(dropped)} of a point that was not written whole")
    if sheet.cut:
        told.append(f"{sheet.path}:{sheet.cut_line}: the last line was written by half")
    return told


def _lines(numbers: list[int]) -> str:
    """What is not counted is of one point, so its lines follow one another."""
    first, last = numbers[0], numbers[-1]
    return f"line {first}" if first == last else f"lines {first} to {last}"
