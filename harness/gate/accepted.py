"""Slowdowns and changes that were accepted: a file of entries that say what, how far, for how long and why.

accepted:
  - model: retnet                  # or `point: decode retnet 3x256`, as the gate's table names it
    measure: decode                # with `model` only; every measure where it is left out
    metric: time                   # or one that is compared exactly, such as parameters or loss
    factor: 1.2                    # of time: as much slower as this passes
    change: [998016, 1001216]      # of any other metric: from and to
    base: 3ec3559                  # holds where the base is this commit or older, that is before the change
    until: 2027-06-30              # holds to the end of this day; base, until or both
    reason: The state is kept in float32 now, which decoding over 4k tokens needs.
"""

import dataclasses
import datetime
import pathlib
import re
from typing import Annotated, Any

import pydantic

from harness import document, misfits
from harness.errors import UserError, nearest, refuse, shown, unknown
from harness.gate import trees
from harness.gate.exact import METRICS, Change
from harness.schema import Text

NAME = "accepted_slowdowns.yaml"  # at the root of the head
TIME = "time"
MOST_FACTOR = 10.0
WHY = "say why this is accepted"


class Entry(pydantic.BaseModel):
    """One acceptance. What it does not name is refused."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    point: Text | None = None
    model: Text | None = None
    measure: Text | None = None
    metric: Text
    factor: Annotated[float, pydantic.Field(strict=True)] | None = None
    change: Annotated[list[Any] | None, pydantic.Field(description="write it as [from, to]")] = None
    base: Text | None = None
    until: Text | None = None
    reason: Annotated[Text, pydantic.Field(description=WHY)]


@dataclasses.dataclass(frozen=True)
class Accepted:
    """The entries that hold for one comparison, each with its place in the file, and what is to be told of others."""

    entries: tuple[tuple[str, Entry], ...] = ()
    notes: tuple[str, ...] = ()

    def slowdown(self, key: str, row: dict[str, Any]) -> Entry | None:
        """The widest one that covers the time of a point."""
        held = [entry for _, entry in self.entries if entry.metric == TIME and _covers(entry, key, row)]
        return max(held, key=lambda entry: entry.factor or 0.0, default=None)

    def change(self, found: Change) -> Entry | None:
        """One that covers an exact change at all of its points."""
        for _, entry in self.entries:
            values = [repr(value) for value in entry.change or []]
            same = entry.metric == found.metric and values == [repr(found.base), repr(found.head)]
            if same and all(_covers(entry, each.key, each.row) for each in found.points):
                return entry
        return None


def load(path: pathlib.Path, root: pathlib.Path, base: str, rows: list[tuple[str, dict[str, Any]]]) -> Accepted:
    """The file's entries that hold where `base` is the base's commit; none where there is no file.

    `rows` are the points there are. Raises UserError, with every problem and its line, for a file that is wrong.
    """
    holding, notes = [], []
    for place, entry in _entries(path, rows):
        ended = _ended(entry, root, base)
        if ended:
            notes.append(f"{place}: does not hold here: {ended}")
        else:
            holding.append((place, entry))
    return Accepted(tuple(holding), tuple(notes))


def check(path: pathlib.Path) -> None:
    """Raises UserError for what is wrong with a file whatever points there are."""
    _entries(path, None)


def _entries(path: pathlib.Path, rows: list[tuple[str, dict[str, Any]]] | None) -> list[tuple[str, Entry]]:
    """Each with its place; `rows` are the points that they may name, where these are known."""
    if not path.exists():
        return []
    data, places = document.parse(document.text(path, "name one YAML file"), str(path))
    told = document.Document(str(path), "", data if isinstance(data, dict) else {}, places)
    if data is None:
        return []
    if not isinstance(data, dict) or set(data) != {"accepted"} or not isinstance(data["accepted"], list | None):
        raise UserError(f"{told.file}: the file holds {shown(data)}; allowed is one key, `accepted:`, with a list")
    found, problems = [], []
    for i, given in enumerate(data["accepted"] or []):
        at: document.Path = ("accepted", i)
        try:
            entry = Entry.model_validate(given)
        except pydantic.ValidationError as error:
            problems += misfits.problems(error, Entry, told, at)
            continue
        wrong = _wrong(entry) + ([] if rows is None else _unknown(entry, rows))
        problems += [told.problem((*at, key), text) for key, text in wrong]
        found.append((told.place(at), entry))
    refuse(problems)
    return found


def _unknown(entry: Entry, rows: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, str]]:
    """What one entry names and no point has."""
    found = []
    there = {"point": {key for key, _ in rows}, **{k: {row[k] for _, row in rows} for k in ("model", "measure")}}
    for name, known in there.items():
        given = getattr(entry, name)
        if given is not None and given not in known:
            guess = nearest(given, known)
            hint = f"; did you mean {guess!r}?" if guess else ""
            found.append((name, f"neither side has the {name} {given!r}{hint}"))
    return found


def _wrong(entry: Entry) -> list[tuple[str, str]]:
    """What the keys of one entry must satisfy together: key and text of each problem."""
    found = []
    if (entry.point is None) == (entry.model is None):
        found.append(("point", "name either a point or a model"))
    if entry.point is not None and entry.measure is not None:
        found.append(("measure", "a point has its measure; remove one of them"))
    if entry.metric not in (TIME, *METRICS):
        found.append(("metric", unknown("metric", entry.metric, (TIME, *METRICS))))
    elif entry.metric == TIME and (entry.factor is None or not 1 < entry.factor <= MOST_FACTOR):
        found.append(
            ("factor", f"{shown(entry.factor)} is not allowed; time takes a factor above 1, at most {MOST_FACTOR:g}")
        )
    elif entry.metric != TIME and (entry.change is None or len(entry.change) != 2):
        found.append(("change", f"{entry.metric} takes a change: [from, to], as the gate prints it"))
    if (entry.factor if entry.metric != TIME else entry.change) is not None:
        found.append(("factor" if entry.metric != TIME else "change", f"{entry.metric} does not take it; remove it"))
    if not entry.reason.strip():
        found.append(("reason", f"it is empty; {WHY}"))
    if entry.base is None and entry.until is None:
        found.append(("base", "say how long this holds: give base, the last commit before the change, or until, a day"))
    if entry.base is not None and not re.fullmatch(r"[0-9a-f]{7,40}", entry.base):
        fix = "write the hash of the last commit before the change, such as 3ec3559"
        found.append(("base", f"{entry.base!r} is no hash, and what it names may move; {fix}"))
    if entry.until is not None and _day(entry.until) is None:
        found.append(("until", f"{entry.until!r} is no day; write it as 2027-06-30"))
    return found


def _ended(entry: Entry, root: pathlib.Path, base: str) -> str | None:
    """Why an entry does not hold for this base today; None where it does."""
    day = _day(entry.until) if entry.until is not None else None
    if day is not None and datetime.datetime.now(datetime.UTC).date() > day:
        return f"{day} has passed"
    if entry.base is None:
        return None
    holds = trees.holds_for(root, base, entry.base)
    if holds is None:
        return f"this repository has no commit {entry.base}"
    return None if holds else f"the base is not {entry.base} or older: the change is part of it"


def _covers(entry: Entry, key: str, row: dict[str, Any]) -> bool:
    if entry.point is not None:
        return entry.point == key
    return entry.model == row["model"] and entry.measure in (None, row["measure"])


def _day(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None
