"""Answers to what a reader asks first, from the claims that name the question: each statement, the verdict on it by its
rule, and the numbers of the largest models. Nothing of it is written by hand."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from reports import claims, marks, packages, rows
from reports.claims import UNTESTABLE, Finding, _questions

PART = marks.Part(marks.ROOT / "README.md", "answers")
NOTHING = "No results answer anything yet; `make run` makes some.\n"
Judged = Mapping[str, list[tuple[Any, Finding]]]  # by claim, every result set that has something to say, with what


@dataclasses.dataclass(frozen=True)
class Told:
    """One claim in a line."""

    name: str
    statement: str
    verdict: str
    numbers: str


@dataclasses.dataclass(frozen=True)
class Answer:
    question: str
    told: list[Told]


def of(judged: Judged) -> list[Answer]:
    """The questions that some row decides, in the order of `_questions`."""
    asked = [value for name, value in vars(_questions).items() if name.isupper()]
    whose = {name: getattr(claims.load(name), "question", None) for name in judged}
    found = [Answer(one, [_told(name, judged[name]) for name, of in whose.items() if of == one]) for one in asked]
    kept = [Answer(one.question, [each for each in one.told if each.verdict != UNTESTABLE]) for one in found]
    return [one for one in kept if one.told]


def _told(name: str, found: list[tuple[Any, Finding]]) -> Told:
    several = len({each.verdict for _, each in found} - {UNTESTABLE}) > 1
    parts = [f"{one.experiment}{f', {each.verdict}' if several else ''}: {each.short}" for one, each in _quoted(found)]
    verdict = claims.together(each.verdict for _, each in found)
    return Told(name, claims.load(name).statement, verdict, "; ".join(parts))


def _quoted(found: list[tuple[Any, Finding]]) -> list[tuple[Any, Finding]]:
    """Those of the largest models, until every verdict and every measure that decide are among them."""
    sized = [
        (used["parameters"].fillna(0).max(), len(used), set(used["measure"]), (one, each))
        for one, each in found
        if each.verdict != UNTESTABLE
        for used in [rows.behind(one.points, each.table)]
    ]
    kept: list[tuple[Any, Finding]] = []
    seen: set[str] = set()
    for _, _, measures, pair in sorted(sized, key=lambda line: line[:2], reverse=True):
        if told := (measures | {pair[1].verdict}) - seen:
            seen |= told
            kept.append(pair)
    return kept


def judge(result_sets: Iterable[Any]) -> Judged:
    """Every claim that answers something, of all result sets."""
    told = sorted(map(rows.View, result_sets), key=lambda one: (one.experiment, one.device))
    named = [name for name in packages.names(claims) if hasattr(claims.load(name), "question")]
    return {
        name: [(one, each) for one in told if (each := claims.judged(claims.load(name), one)) is not None]
        for name in named
    }


def markdown(result_sets: Iterable[Any]) -> str:
    """For README.md: a list per question."""
    lines = []
    for answer in of(judge(result_sets)):
        each = [f"  - {told.statement.rstrip('.')}: **{told.verdict}** ({told.numbers}).\n" for told in answer.told]
        lines += [f"- *{answer.question}*\n", *each]
    return "".join(lines) or NOTHING
