"""A results folder as tables: what `load` gives, and how an interrupted write is told from damage.

The one writer (harness/writer.py) appends a point's samples and curve, and its row of points.csv last. So samples.csv
and curves.csv hold their rows in the order of points.csv, and what follows them is what a crash left behind.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness import csvfile, planned
from harness.csvfile import ELSEWHERE, Sheet
from harness.errors import UserError, listed, nearest, relative
from harness.tables import TABLES

OWNED = ("samples", "curves")  # their rows belong to points
SETTINGS, TEXTS = "experiment.yaml", "texts.json"
FOLDER = pathlib.Path(__file__).parent.parent / "results"


@dataclasses.dataclass(frozen=True)
class ResultSet:
    """One results folder, read and checked."""

    experiment: str
    question: str
    device: str  # the folder's name, such as cpu-intel-xeon-processor-2-cores
    points: pd.DataFrame
    samples: pd.DataFrame
    curves: pd.DataFrame
    environments: pd.DataFrame
    settings: dict[str, Any]  # the resolved experiment, as it was run last
    training_bytes: dict[str, int] = dataclasses.field(default_factory=dict)  # by corpus_sha256, where it is known
    planned: pd.DataFrame = dataclasses.field(default_factory=pd.DataFrame)  # see harness/planned.py
    notes: tuple[str, ...] = ()  # what an interrupted run left in the files, and is not in these tables


@dataclasses.dataclass(frozen=True)
class Settled:
    """What of each sheet counts: one truth value per line; and what does not, in words."""

    counts: dict[str, list[bool]]
    notes: tuple[str, ...]


def load(folder: pathlib.Path) -> ResultSet:
    """Reads one results folder and changes nothing. Raises UserError, with file and line, for one that is damaged."""
    folder = pathlib.Path(folder)
    if not any((folder / f"{name}.csv").is_file() for name in TABLES):
        raise UserError(f"{folder}: there are no results in it; name a folder such as results/<experiment>/<device>")
    sheets = read_all(folder)
    settled = settle(sheets)
    tables = {name: sheet.frame.loc[settled.counts[name]].reset_index(drop=True) for name, sheet in sheets.items()}
    question, settings = _settings(folder / SETTINGS)
    place = folder.resolve()
    return ResultSet(
        place.parent.name,
        question,
        place.name,
        **tables,
        settings=settings,
        training_bytes=training_bytes(folder),
        planned=planned.load(folder),
        notes=settled.notes,
    )


def load_all(results: pathlib.Path) -> list[ResultSet]:
    """What every results folder holds; see `folders`."""
    return [load(folder) for folder in folders(results)]


def folders(results: pathlib.Path) -> list[pathlib.Path]:
    """Every results folder `results/<experiment>/<device>/`, in the order of their names.

    Raises UserError, naming what is meant, where there is none.
    """
    results = pathlib.Path(results)
    found = sorted({path.parent for name in TABLES for path in results.glob(f"*/*/{name}.csv")})
    if not found:
        raise UserError(f"{results}: {_not_results(results)}")
    return found


def _not_results(path: pathlib.Path) -> str:
    """Why there are no results in a folder, and which one may be meant."""
    there_is_none = "there are no results, DIR/<experiment>/<device>/*.csv, in it; `python -m harness run` makes some"
    if path.is_file():
        return "this is a file; name a folder such as results, with an experiment's results in results/<experiment>/"
    if not path.exists():
        near = nearest(path.name, (each.name for each in path.absolute().parent.glob("*") if each.is_dir()))
        meant = path.parent / near if near else relative(FOLDER)
        return f"there is no such folder; did you mean {meant}?" if any(meant.glob("*/*/*.csv")) else there_is_none
    for steps, kind in enumerate(("points.csv", "*/points.csv", "*/*/*/points.csv")):
        for found in path.absolute().glob(kind):
            what = ("one device's results", "one experiment's folder", "no folder of results")[steps]
            return f"this is {what}; did you mean {relative(found.parents[2])}?"
    return there_is_none


def training_bytes(folder: pathlib.Path) -> dict[str, int]:
    """How many bytes of each text there are to train on, by its hash; training tokens over these are passes over it."""
    path = folder / TEXTS
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {str(sha256): int(size) for sha256, size in told.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError):
        raise UserError(f"{path}: cannot be read; restore it, or remove it: the next run writes it anew") from None


def current(points: pd.DataFrame) -> pd.DataFrame:
    """The rows that hold now: the last one of each configuration."""
    return points.drop_duplicates("configuration", keep="last").reset_index(drop=True)


def read_all(folder: pathlib.Path) -> dict[str, Sheet]:
    """The four files, each checked by itself."""
    return {name: csvfile.read(folder / f"{name}.csv", name) for name in TABLES}


def settle(sheets: Mapping[str, Sheet]) -> Settled:
    """Holds the four tables against each other. Raises UserError for what no interrupted write explains.

    What one explains: a last line without its end; rows of a point that has no row in points.csv; and, where a file
    was cut off later, points that have lost some of their rows, which count as not run. A table that is gone as a whole
    is no cut.
    """
    points = sheets["points"].frame
    _check_whole(sheets)
    lost: set[str] = set()
    for name in OWNED:
        lost |= _lost(sheets["points"], sheets[name], name)
    lost |= _without_environment(sheets)
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
        told = listed(
            f"{len(sheets[name].lines)} rows of {sheets[name].path.name}" for name in OWNED if len(owners[name])
        )
        raise UserError(f"{points.path}: {_state(points)}, but there are {told}; {ELSEWHERE}")
    for name, found in owners.items():
        counted = int(points.frame[name].sum())
        if counted and found.empty:
            told = f"{_state(sheets[name])}, but {points.path.name} counts {counted} rows of it"
            raise UserError(f"{sheets[name].path}: {told}; {ELSEWHERE}")


def _state(sheet: Sheet) -> str:
    """Of a file without rows."""
    if not sheet.path.exists():
        return "the file is gone"
    return "it holds no row" if sheet.whole else "it holds nothing whole"


def _lost(points: Sheet, sheet: Sheet, name: str) -> set[str]:
    """The points some of whose rows a cut-off file has lost."""
    counted = zip(points.frame["point"], points.frame[name], strict=True)
    owners = [point for point, count in counted for _ in range(count)]
    found = list(sheet.frame["point"])
    for i, (owner, row) in enumerate(zip(owners, found, strict=False)):
        if owner != row:
            where = f"{points.path.name}:{list(points.frame['point']).index(owner) + 2}"
            told = f"found a row of point {row}, expected one of {owner} ({where}): rows were removed, added or sorted"
            raise UserError(f"{sheet.path}:{i + 2}: {told}; {ELSEWHERE}")
    known = set(points.frame["point"])
    for i, row in enumerate(found[len(owners) :], len(owners)):
        if row in known:
            raise UserError(f"{sheet.path}:{i + 2}: one row more of point {row} than points.csv counts; {ELSEWHERE}")
    return set(owners[len(found) :])


def _without_environment(sheets: Mapping[str, Sheet]) -> set[str]:
    """The points whose environments a cut-off file has lost: the last ones, in the order in which points were run."""
    points, environments = sheets["points"], sheets["environments"]
    missing = ~points.frame["environment"].isin(environments.frame["environment"])
    used = points.frame["environment"].drop_duplicates()
    if missing.any() and (missing.all() or not missing[used.index].is_monotonic_increasing):
        at = int(missing.to_numpy().argmax())
        raise UserError(
            f"{points.path}:{at + 2}: column environment: {points.frame['environment'][at]} has no row in "
            f"{environments.path.name}; {ELSEWHERE}"
        )
    return set(points.frame["point"][missing])


def _notes(sheet: Sheet, counts: list[bool]) -> list[str]:
    told = []
    dropped = [i + 2 for i, counted in enumerate(counts) if not counted]
    if dropped:
        told.append(f"{sheet.path}: {_lines(dropped)} of a point that was not written whole")
    if sheet.cut:
        told.append(f"{sheet.path}:{sheet.cut_line}: the last line was written by half")
    return told


def _lines(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    whole = numbers == list(range(numbers[0], numbers[-1] + 1))
    return f"lines {numbers[0]} to {numbers[-1]}" if whole else f"lines {', '.join(map(str, numbers))}"


def _settings(path: pathlib.Path) -> tuple[str, dict[str, Any]]:
    """The question and the resolved experiment; both empty where the file is gone."""
    from harness import document

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return "", {}
    except UnicodeDecodeError as error:
        fix = "restore it, or remove it: the next run writes it anew"
        raise UserError(f"{path}: this is not UTF-8 text (byte {error.start}); {fix}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    data, _ = document.parse(text, str(path))
    return document.question(text, str(path)), data or {}
