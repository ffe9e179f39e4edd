"""Answers to what a reader asks first, from the claims that name the question: each statement, the verdict on it by its
rule, and the numbers of the largest models. Nothing of it is written by hand."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from reports import claims, gap, marks, packages, rows
from reports.claims import UNTESTABLE, Finding, _evidence, _questions

PART = marks.Part(marks.ROOT / "README.md", "answers")
NOTHING = "No results answer anything yet; `make run` makes some.\n"
UNDECIDED = "no rows decide it"
MARGINS = (
    f"Costs count as equal, and factors of speed as reached, within {_evidence.MARGIN:.0%}; the factor of memory has "
    "no margin."
)
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
    """What the claims say that name one question."""

    question: str
    meaning: str
    told: list[Told]
    remarks: list[str]  # what several result sets tell together


def of(judged: Judged) -> list[Answer]:
    """The questions that some row decides, in the order of `_questions`, each with all claims that name it."""
    asked = [value for value in vars(_questions).values() if isinstance(value, _questions.Question)]
    whose = {name: getattr(claims.load(name), "question", None) for name in judged}
    found = []
    for one in asked:
        told = [_told(name, judged[name]) for name, of in whose.items() if of == one]
        found.append(Answer(one.text, one.meaning, told, _together(judged) if one == _questions.LINEAR else []))
    return [one for one in found if {each.verdict for each in one.told} - {UNTESTABLE}]


def _together(judged: Judged) -> list[str]:
    sets = [one for name in ("retnet_linear", "multi_scale_decay") for one, _ in judged.get(name, [])]
    return gap.told(dict.fromkeys(sets))


def _told(name: str, found: list[tuple[Any, Finding]]) -> Told:
    several = len({each.verdict for _, each in found} - {UNTESTABLE}) > 1
    quoted = _quoted(found)
    kinds = [_kinds(one, each) for one, each in quoted]
    apart = len(set().union(*kinds)) > 1
    parts = []
    for (one, each), kind in zip(quoted, kinds, strict=True):
        where = f"{one.experiment} ({' and '.join(sorted(kind))})" if apart else one.experiment
        parts.append(f"{where}{f', {each.verdict}' if several else ''}: {each.short}")
    verdict = claims.together(each.verdict for _, each in found)
    return Told(name, claims.load(name).statement, verdict, "; ".join(parts) or UNDECIDED)


def _quoted(found: list[tuple[Any, Finding]]) -> list[tuple[Any, Finding]]:
    """Those of the largest models, until every verdict, measure and kind of device that decide are among them."""
    sized = []
    for one, each in found:
        used = rows.behind(one.points, each.table)
        size = (used["parameters"].fillna(0).max(), len(used))
        sized.append((size, {each.verdict, *used["measure"], *_kinds(one, each)}, (one, each)))
    kept: list[tuple[Any, Finding]] = []
    seen: set[str] = set()
    for _, has, pair in sorted(sized, key=lambda line: line[0], reverse=True):
        if pair[1].verdict != UNTESTABLE and has - seen:
            seen |= has
            kept.append(pair)
    return kept


def _kinds(one: Any, each: Finding) -> set[str]:
    """The kinds of device that the rows behind a finding ran on: 'cpu', 'cuda'."""
    return set(rows.behind(one.points, each.table)["device"].dropna())


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
    lines = [f"{MARGINS}\n\n"] if (found := of(judge(result_sets))) else [NOTHING]
    for answer in found:
        each = [f"  - {told.statement.rstrip('.')}: **{told.verdict}** ({told.numbers}).\n" for told in answer.told]
        more = [f"  - {remark}\n" for remark in answer.remarks]
        lines += [f"- *{answer.question}* {answer.meaning}\n", *each, *more]
    return "".join(lines)
