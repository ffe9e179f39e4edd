"""`python -m harness gate`: from what was asked to the exit code."""

import contextlib
import dataclasses
import os
import pathlib
import time
import traceback
import types
from collections.abc import Iterator
from typing import Any, cast

from rich.console import Console

from harness import experiment, filters, plan
from harness.child import ROOT, cores
from harness.errors import UserError
from harness.gate import accepted, cases, compare, control, exact, processes, report, trees
from harness.gate.accepted import Accepted
from harness.gate.cases import Paired
from harness.gate.decision import EXIT_CODES, NOTHING
from harness.gate.rules import FEWEST, Rules

MOST_LIMIT = 10.0
MOST_SECONDS = 86_400.0
LEAST_SECONDS, PAIR_SECONDS = 10.0, 4.0  # to survey two small trees, and for a pair of one point: 6 and 3 on two cores


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the command line says; `check` refuses what makes no sense."""

    file: pathlib.Path
    base: str
    head: str | None  # None: the working tree as it stands
    only: list[str]
    rules: Rules
    seconds: float
    device: str
    threads: int
    changed: bool  # leave points alone whose code is the same on both sides
    accepted: pathlib.Path | None  # None: `accepted.NAME` at the root of the head

    def check(self) -> None:
        """Raises UserError, with the flag, for a number that is out of range."""
        least = LEAST_SECONDS + PAIR_SECONDS * self.rules.pairs
        told = [
            (0 < self.rules.limit <= MOST_LIMIT, f"--limit {self.rules.limit:g}", "above 0 and at most 1000%"),
            (self.rules.pairs >= FEWEST, f"--pairs {self.rules.pairs}", f"at least {FEWEST}: fewer decide nothing"),
            (
                self.rules.most >= self.rules.pairs,
                f"--most-pairs {self.rules.most}",
                f"at least as many as --pairs, {self.rules.pairs}",
            ),
            (
                least <= self.seconds <= MOST_SECONDS,
                f"--seconds {self.seconds:g}",
                f"{least:g}, within which one point gets {self.rules.pairs} pairs, to {MOST_SECONDS:g}, a day",
            ),
            (1 <= self.threads <= cores(), f"--threads {self.threads}", f"1 to {cores()}, the cores that there are"),
        ]
        wrong = [f"{flag}: this is out of range; allowed is {allowed}" for fine, flag, allowed in told if not fine]
        if wrong:
            raise UserError("\n".join(wrong))


def limit(text: str) -> float:
    """10% or 0.1. Raises UserError for what is neither, and for a bare number above 1, which is meant as percent."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if not 0 < value <= MOST_LIMIT or (not percent and value > 1):
        raise UserError(f"--limit {text}: this is no limit; write the slowdown that passes as 10% or 0.1")
    return value


def decided(asked: Asked, console: Console) -> dict[str, Any]:
    """`gate`; by a fault of its own it ends with the exit code of nothing measured, never with a regression's."""
    try:
        return gate(asked, console)
    except UserError:
        raise
    except Exception:
        traceback.print_exc()
        raise SystemExit(EXIT_CODES[NOTHING]) from None


def gate(asked: Asked, console: Console, root: pathlib.Path = ROOT) -> dict[str, Any]:
    """Compares the two revisions and returns all that was found, as `report.data` describes it.

    Raises UserError for a mistake of the user's, and KeyboardInterrupt on Ctrl-C, SIGTERM or SIGHUP. Whatever happens,
    nothing is left running and no worktree is left behind.
    """
    began = time.monotonic()
    asked.check()
    if asked.accepted is not None and not asked.accepted.is_file():
        folder = asked.accepted.is_dir()
        wrong = f"this is a folder; name a file in it, such as {asked.accepted / accepted.NAME}" if folder else None
        raise UserError(f"--accepted {asked.accepted}: {wrong or 'there is no such file; name one, or leave it out'}")
    filters.only(plan.points(experiment.load(asked.file), asked.device), asked.only)
    with threads(asked.threads), trees.checked_out(root, asked.base, asked.head) as sides:
        base, head = sides
        file = asked.accepted or head.path / accepted.NAME
        accepted.check(file)
        console.print(f"base: {base.told}\nhead: {head.told}", soft_wrap=True)
        found = _surveyed(asked, sides)
        held = accepted.load(file, root, base.commit, found.rows)
        found = _only(found, asked.only)
        slowdowns = {case.key: entry for case in found.cases if (entry := held.slowdown(case.key, case.head))}
        timed = [case for case in found.cases if not (asked.changed and case.same_code)]
        pairs = compare.run(
            timed,
            lambda: compare.visits(base, head),
            lambda: control.measure(asked.device),
            lambda case: report.allowed(asked.rules, slowdowns.get(case.key)),
            asked.seconds - (time.monotonic() - began),
            lambda line: console.print(line, soft_wrap=True),
        )
        return report.data(
            report.Found(
                experiment=asked.file.name,
                trees=sides,
                rules=asked.rules,
                settings={"device": asked.device, "threads": asked.threads},
                seconds=time.monotonic() - began,
                cases=found.cases,
                measured=not asked.changed,
                alone=found.alone,
                control=pairs,
                changes=[(change, held.change(change)) for change in exact.changes(found.exact)],
                slowdowns=slowdowns,
                notes=[*found.notes, *held.notes, *_unused(held, found, slowdowns)],
            )
        )


def _surveyed(asked: Asked, sides: tuple[trees.Tree, trees.Tree]) -> Paired:
    """Both trees at once: nothing is timed yet."""
    base, head = sides
    return cases.paired(*processes.surveyed([base.path, head.path], asked.file.resolve(), asked.device))


def _only(found: Paired, keys: list[str]) -> Paired:
    """The points that `--only` keeps, by the rule that `run` has. Raises UserError for what there is none of."""
    if not keys:
        return found
    by_row = [types.SimpleNamespace(**row) for _, row in found.rows]
    rows = {id(row): key for row, (key, _) in zip(by_row, found.rows, strict=True)}
    kept = {rows[id(row)] for row in filters.only(cast(Any, by_row), keys)}
    parts = {name: [e for e in getattr(found, name) if e.key in kept] for name in ("cases", "alone", "exact")}
    return dataclasses.replace(found, **parts)


def _unused(held: Accepted, found: Paired, slowdowns: dict[str, Any]) -> list[str]:
    """Entries of the accepted file that nothing here needed: they may be removed, or name what they were meant for."""
    used = [*slowdowns.values(), *(held.change(change) for change in exact.changes(found.exact))]
    return [f"{place}: nothing here needs it" for place, entry in held.entries if entry not in used]


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """What is started within computes with so many threads."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(count)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
