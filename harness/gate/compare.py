"""Gathering the pairs: both sides of a point right after each other, in turned order, every round in new processes.

A round starts a visitor in each tree and gives every point that wants one a pair: base then head, head then base in the
next round, and the other way round for every second point, so that neither side is always the first or the one after a
slow neighbour. Between them a control, whose work is the same whichever side it stands for, is measured in the same
order. Rounds go on while a point is undecided or is to be confirmed.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from harness.gate import processes
from harness.gate.cases import Case, Pair
from harness.gate.decision import Decision, decide
from harness.gate.rules import Rules
from harness.gate.trees import Tree
from reports import plurals

CONTROL_EVERY = 5  # points of a round; and once in a round of fewer

Measure = Callable[[str, Case], dict[str, Any]]  # side, case -> status, reason and samples in ms
Control = Callable[[], list[float]]  # samples in ms
Limits = Callable[[Case], Rules]  # by point: an accepted slowdown has a wider one


@contextlib.contextmanager
def visits(base: Tree, head: Tree) -> Iterator[Measure]:
    """One round: a visitor in each tree, both idle before anything is measured."""
    with processes.running(base.path, "visitor") as one, processes.running(head.path, "visitor") as other:
        sides = {"base": processes.Visit(one), "head": processes.Visit(other)}
        for visit in sides.values():
            visit.wait()
        yield lambda side, case: sides[side].measure(getattr(case, side))


def run(
    cases: list[Case],
    visit: Callable[[], "contextlib.AbstractContextManager[Measure]"],
    control: Control,
    rules: Limits,
    seconds: float,
    tell: Callable[[str], None],
) -> list[Pair]:
    """Measures the cases until all are decided or `seconds` have passed, and returns the pairs of the control.

    No round is begun that would end later, if each point takes as long as it took on average in the one before: not
    even one without which nothing can be decided.
    """
    began, number, each_seconds = time.monotonic(), 0, 0.0
    pairs: list[Pair] = []
    while wanted := [case for case in cases if wants(case, rules(case))]:
        started = time.monotonic()
        if started - began + each_seconds * len(wanted) >= seconds:
            tell(f"no time for another round: {plurals.being(len(wanted), 'point')} left undecided")
            break
        number += 1
        tell(f"round {number}: {_what(wanted, rules)}")
        with visit() as measure:
            for i, case in enumerate(wanted):
                base_first = (number + i) % 2 == 1
                growing = case.first if wants(case, rules(case)) == "first" else case.again
                pair = _pair(case, growing, measure, control if i % CONTROL_EVERY == 0 else None, base_first)
                if pair is not None:
                    pairs.append(pair)
        each_seconds = (time.monotonic() - started) / len(wanted)
    return pairs


def wants(case: Case, rules: Rules) -> str | None:
    """The list of pairs that is to grow: first or again; None where nothing more is to be learnt."""
    return None if case.failed else decision(case, rules).wants


def decision(case: Case, rules: Rules) -> Decision:
    return decide([pair.log for pair in case.first], [pair.log for pair in case.again], rules)


def _pair(case: Case, growing: list[Pair], measure: Measure, control: Control | None, base_first: bool) -> Pair | None:
    """Adds a pair to `growing`, or to the failures of a side; returns the control's pair where there is one."""
    told: dict[str, list[float]] = {}
    controls: dict[str, list[float]] = {}
    for side in ("base", "head") if base_first else ("head", "base"):
        found = measure(side, case)
        if found["status"] == "ok" and found["samples"]:
            told[side] = found["samples"]
        else:
            case.failures[side].append(found["reason"] or f"{found['status']} without a sample")
        if control is not None:
            controls[side] = control()
    if len(told) == 2:
        growing.append(Pair(tuple(told["base"]), tuple(told["head"]), base_first))
    return Pair(tuple(controls["base"]), tuple(controls["head"]), base_first) if controls else None


def _what(wanted: list[Case], rules: Limits) -> str:
    again = sum(wants(case, rules(case)) == "again" for case in wanted)
    more = f", {again} of them again because they looked slower" if again else ""
    return plurals.counted(len(wanted), "point") + more
