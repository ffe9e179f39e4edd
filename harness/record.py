"""A results folder as tables, read and checked: what `load` gives."""

import dataclasses
import errno
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from harness import cells, consistency, csvfile, damage, planned
from harness.child import ROOT
from harness.csvfile import Sheet
from harness.errors import UserError, listed, nearest, relative, shown
from harness.tables import TABLES

SETTINGS, TEXTS = "experiment.yaml", "texts.json"
WHOLE = ("models", "shape", "measures")  # keys that every experiment has
MAPPINGS = ("shape", "training", "sweep", "limits", "budget")
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(MAPPINGS, ((dict,), "a mapping")),
    **dict.fromkeys(("models", "measures", "seeds"), ((list,), "a list")),
    "corpus": ((str, dict), "a name, or a mapping of two"),
}
ANEW = "restore it (as `git restore` does), or remove it: the next run writes it anew"
FOLDER = ROOT / "results"


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


def load(folder: pathlib.Path) -> ResultSet:
    """Reads one results folder and changes nothing. Raises UserError, with file and line, for one that is damaged."""
    folder = pathlib.Path(folder)
    check_open(folder)
    if not any((folder / f"{name}.csv").exists() for name in TABLES):
        raise UserError(f"{folder}: there are no results in it; name a folder such as results/<experiment>/<device>")
    sheets = read_all(folder)
    settled = damage.settle(sheets)
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


def load_all(results: pathlib.Path, damaged: dict[pathlib.Path, UserError] | None = None) -> list[ResultSet]:
    """What every results folder holds; see `folders` and `load_each`."""
    return load_each(folders(results), damaged)


def load_each(there: Iterable[pathlib.Path], damaged: dict[pathlib.Path, UserError] | None = None) -> list[ResultSet]:
    """What each of these folders holds.

    One that is damaged is left out and added to `damaged`, with what is wrong; where there is none given, or no folder
    is whole, this is raised.
    """
    found = []
    for folder in there:
        try:
            found.append(load(folder))
        except UserError as error:
            if damaged is None:
                raise
            damaged[folder] = error
    if damaged and not found:
        raise all_of(damaged)
    return found


def all_of(damaged: Mapping[pathlib.Path, UserError]) -> UserError:
    """What is wrong with any of them."""
    return UserError("\n".join(map(str, damaged.values())))


def folders(results: pathlib.Path) -> list[pathlib.Path]:
    """Every results folder `results/<experiment>/<device>/`, in the order of their names, and every folder where one
    might be but that may not be read, which `load` refuses.

    Raises UserError, naming what is meant, where there is none.
    """
    results = pathlib.Path(results)
    check_open(results)
    found = sorted({path.parent for name in TABLES for path in results.glob(f"*/*/{name}.csv")} | set(_closed(results)))
    if not found:
        raise UserError(f"{results}: {_not_results(results)}")
    return found


def check_open(place: pathlib.Path) -> None:
    """Raises UserError for a folder that may not be read, and so would be taken for an empty one."""
    if _shut(place):
        why = f"{os.strerror(errno.EACCES)}; allow it (as `chmod u+rwx` does), or move it away"
        raise UserError(f"{place}: this folder cannot be read: {why}")


def _shut(place: pathlib.Path) -> bool:
    """Whether this is a folder whose files nobody here may see, so that it seems to have none."""
    return place.is_dir() and not os.access(place, os.R_OK | os.X_OK)


def _closed(results: pathlib.Path) -> Iterator[pathlib.Path]:
    """Folders of experiments and of devices that are shut."""
    for experiment in results.glob("*"):
        yield from [experiment] if _shut(experiment) else filter(_shut, experiment.glob("*"))


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
    if not path.exists():
        return {}
    try:
        told = json.loads(cells.text_of(path, ANEW))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: this is no JSON ({error}); {ANEW}") from None
    sizes = list(told.values()) if isinstance(told, dict) else [told]
    wrong = [size for size in sizes if type(size) is not int or size < 1]
    if wrong:
        raise UserError(f"{path}: found {shown(wrong[0])}, expected the bytes of each text by its hash; {ANEW}")
    return dict(told)


def read_all(folder: pathlib.Path) -> dict[str, Sheet]:
    """The four files, each checked by itself, and whether what they say goes together.

    They are read at once and checked then: a run that writes meanwhile is seen amid one point at most.
    """
    texts = {name: cells.text_of(folder / f"{name}.csv") for name in TABLES}
    sheets = {name: csvfile.parse(folder / f"{name}.csv", name, text) for name, text in texts.items()}
    consistency.check(sheets)
    return sheets


def _settings(path: pathlib.Path) -> tuple[str, dict[str, Any]]:
    """The question and the resolved experiment; both empty where the file is gone."""
    from harness import document

    if not path.exists():
        return "", {}
    text = cells.text_of(path, ANEW)
    try:
        data, places = document.parse(text, str(path))
    except UserError as error:
        raise UserError(f"{error}; {ANEW}") from None
    given = data if isinstance(data, dict) else {}
    if missing := [key for key in WHOLE if not given.get(key)]:
        raise UserError(f"{path}: this is no whole experiment, it lacks {listed(missing)}; {ANEW}")
    for key, (kinds, words) in KINDS.items():
        if given.get(key) is not None and not isinstance(given[key], kinds):
            raise UserError(f"{places[key,]}: {key}: found {shown(given[key])}, expected {words}; {ANEW}")
    return document.question(text, str(path)), given
