"""From two surveys to what is compared: points that both trees have, under one name, and those that only one has.

A point is named after what the experiment asks for, not after what a tree makes of it: a default form that changed must
not turn a slower point into a gone one and a new one.
"""

import dataclasses
import math
import statistics
from collections.abc import Callable
from typing import Any

VARYING = ("form", "dtype", "width", "layers", "heads")  # part of a name only where points differ in nothing else
MOST_FAILURES = 2  # of one side, before a point is given up

Name = Callable[[dict[str, Any]], str]  # of a row


@dataclasses.dataclass(frozen=True)
class Pair:
    """Milliseconds of one visit to each side, sample by sample, one right after the other."""

    base: tuple[float, ...]
    head: tuple[float, ...]
    base_first: bool

    @property
    def log(self) -> float:
        """ln(head / base) of the medians."""
        return math.log(statistics.median(self.head) / statistics.median(self.base))


@dataclasses.dataclass
class Case:
    """A point that both trees have, with the pairs measured so far."""

    key: str
    base: dict[str, Any]  # rows of the surveys
    head: dict[str, Any]
    first: list[Pair] = dataclasses.field(default_factory=list)
    again: list[Pair] = dataclasses.field(default_factory=list)  # after it was flagged
    failures: dict[str, list[str]] = dataclasses.field(default_factory=lambda: {"base": [], "head": []})

    @property
    def failed(self) -> str | None:
        """The side that cannot run it, base first."""
        return next((side for side, told in self.failures.items() if len(told) >= MOST_FAILURES), None)

    @property
    def same_code(self) -> bool:
        return self.base["code"] == self.head["code"]


@dataclasses.dataclass(frozen=True)
class Alone:
    """A point that is not compared, and why."""

    key: str
    kind: str  # new | gone | untimed | not_applicable
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class Exact:
    """What one tree says of a point without a clock; a metric that a tree does not tell is missing."""

    key: str
    row: dict[str, Any]
    base: dict[str, Any]
    head: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Paired:
    cases: list[Case]
    alone: list[Alone]
    exact: list[Exact]
    rows: list[tuple[str, dict[str, Any]]]  # every point of either tree, head's first
    notes: list[str]


def paired(base: list[dict[str, Any]], head: list[dict[str, Any]]) -> Paired:
    """The points of two surveys, each the lines that `survey` describes."""
    lines = {"base": base, "head": head}
    rows = {side: [line["row"] for line in told if "row" in line] for side, told in lines.items()}
    names = _names([*rows["base"], *rows["head"]], rows["base"], rows["head"])
    by_key = {side: {names(row): row for row in told} for side, told in rows.items()}
    missing = {side: _missing(told) for side, told in lines.items()}
    cases: list[Case] = []
    alone: list[Alone] = []
    for key in dict.fromkeys([*by_key["head"], *by_key["base"]]):
        pair = by_key["base"].get(key), by_key["head"].get(key)
        told = _compared(key, pair, missing)
        if isinstance(told, Case):
            cases.append(told)
        else:
            alone.append(told)
    told_exact = {side: _exact(told, names) for side, told in lines.items()}
    there = [key for key in told_exact["head"] if key in told_exact["base"]]
    exact = [Exact(key, by_key["head"][key], told_exact["base"][key], told_exact["head"][key]) for key in there]
    notes = [f"{side}: {told}" for side, reasons in missing.items() for told in reasons]
    return Paired(cases, alone, exact, list((by_key["base"] | by_key["head"]).items()), notes)


def _compared(
    key: str, rows: tuple[dict[str, Any] | None, dict[str, Any] | None], missing: dict[str, list[str]]
) -> Case | Alone:
    base, head = rows
    if base is None:
        return Alone(key, "new", "; ".join(missing["base"]) or "the base has no such point")
    if head is None:
        return Alone(key, "gone", "; ".join(missing["head"]) or "the head has no such point")
    if base["not_applicable"] and head["not_applicable"]:
        return Alone(key, "not_applicable", head["not_applicable"])
    if base["metric"] is None and head["metric"] is None:
        return Alone(key, "untimed", "its measure has no metric in ms")
    if base["not_applicable"] or base["metric"] is None:
        return Alone(key, "new", base["not_applicable"] or "the base does not time it")
    if head["not_applicable"] or head["metric"] is None:
        return Alone(key, "gone", head["not_applicable"] or "the head does not time it")
    return Case(key, base, head)


def _missing(lines: list[dict[str, Any]]) -> list[str]:
    """What a tree could not tell, in words."""
    told = [f"{line['refused']} is refused: {line['reason']}" for line in lines if "refused" in line]
    return told + [f"the survey broke off: {line['broken']}" for line in lines if "broken" in line]


def _names(rows: list[dict[str, Any]], *sides: list[dict[str, Any]]) -> Name:
    """A function from a row to its name, which no two rows of one side share."""

    def short(row: dict[str, Any], more: list[str]) -> str:
        sizes = "x".join(str(row[name]) for name in ("batch_size", "sequence_length") if row[name] is not None)
        parts = [row["measure"], row["label"], sizes, *(f"{name}={row[name]}" for name in more)]
        return " ".join(part for part in parts if part)

    varying: list[str] = []
    for name in VARYING:
        if all(len({short(row, varying) for row in side}) == len(side) for side in sides):
            break
        if len({str(row[name]) for row in rows}) > 1:
            varying.append(name)
    return lambda row: short(row, varying)


def _exact(lines: list[dict[str, Any]], names: Name) -> dict[str, dict[str, Any]]:
    rows = [line["row"] for line in lines if "row" in line]
    return {names(rows[line["of"]]): line["exact"] for line in lines if "exact" in line}
