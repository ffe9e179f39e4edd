"""What a gate found, as data: the verdict of each point, of everything exact, of the control, and of the gate."""

import dataclasses
import math
import statistics
from typing import Any

from harness.gate import compare, decision
from harness.gate.accepted import Entry
from harness.gate.cases import Alone, Case, Pair
from harness.gate.exact import Change
from harness.gate.rules import FEWEST, Rules
from harness.gate.trees import Tree

SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class Found:
    """All that a gate knows when it ends."""

    experiment: str
    trees: tuple[Tree, Tree]
    rules: Rules
    settings: dict[str, Any]  # device, threads
    seconds: float
    cases: list[Case]
    measured: bool  # False for cases that were left alone because their code is the same
    alone: list[Alone]
    control: list[Pair]
    changes: list[tuple[Change, Entry | None]]
    slowdowns: dict[str, Entry]  # accepted, by point
    notes: list[str]


def data(found: Found) -> dict[str, Any]:
    """The whole of it, JSON-able. `verdict` and `exit_code` are the gate's."""
    points = [_point(case, found) for case in found.cases]
    control = _control(found)
    changed = [_change(change, entry) for change, entry in found.changes]
    red = any(each["accepted"] is None for each in changed)
    verdict = decision.conclude([each["verdict"] for each in points], red, control["drifted"])
    base, head = (dataclasses.asdict(tree) | {"path": str(tree.path)} for tree in found.trees)
    return {
        "schema": SCHEMA,
        "verdict": verdict,
        "exit_code": decision.EXIT_CODES[verdict],
        "experiment": found.experiment,
        "base": base,
        "head": head,
        **dataclasses.asdict(found.rules),
        **found.settings,
        "seconds": round(found.seconds, 1),
        "control": control,
        "points": points,
        "exact": changed,
        "not_compared": [{"point": each.key, "kind": each.kind, "reason": each.reason} for each in found.alone],
        "notes": found.notes,
    }


def _point(case: Case, found: Found) -> dict[str, Any]:
    entry = found.slowdowns.get(case.key)
    told = {"point": case.key, "model": case.head["model"], "measure": case.head["measure"]}
    told |= {"metric": case.head["metric"], "accepted": entry.model_dump(exclude_none=True) if entry else None}
    rules = allowed(found.rules, entry)
    decided = compare.decision(case, rules)
    judged = case.again if decided.flagged and case.again else case.first
    made = decided.judgement
    told |= {name: getattr(made, name) if made else None for name in ("ratio", "low", "high")}
    for side in ("base", "head"):
        medians = [statistics.median(getattr(pair, side)) for pair in judged]
        told[f"{side}_ms"] = statistics.median(medians) if medians else None
    verdict, reason = _verdict(case, decided, found, entry)
    told |= {"verdict": verdict, "reason": reason, "flagged": decided.flagged, "pairs": len(judged)}
    told["failures"] = case.failures
    return told | {name: [dataclasses.asdict(pair) for pair in getattr(case, name)] for name in ("first", "again")}


def _verdict(case: Case, decided: decision.Decision, found: Found, entry: Entry | None) -> tuple[str, str]:
    """One word, and what else there is to say of the point."""
    if case.failed:
        reason = case.failures[case.failed][-1]
        return (decision.BROKEN, reason) if case.failed == "head" else ("not compared", f"fails in the base: {reason}")
    if not found.measured and case.same_code:
        return decision.SAME_CODE, "nothing that computes it differs"
    if decided.judgement is None:
        told = "looked slower, and there was no time to confirm it" if decided.flagged else "there was no time for it"
        return decision.UNDECIDED, told
    verdict = decided.judgement.verdict
    if verdict == decision.UNDECIDED:
        return verdict, "too noisy to tell"
    if entry and verdict == decision.STEADY and decided.judgement.ratio > 1 + found.rules.limit:
        return verdict, f"accepted up to {entry.factor:g} times: {entry.reason}"
    cleared = decided.flagged and verdict != decision.SLOWER
    return verdict, "looked slower at first; new pairs did not confirm it" if cleared else ""


def allowed(rules: Rules, entry: Entry | None) -> Rules:
    """The rules of a point: an accepted slowdown takes the limit's place where it is wider."""
    wider = max(rules.limit, (entry.factor or 1.0) - 1) if entry else rules.limit
    return dataclasses.replace(rules, limit=wider)


def _control(found: Found) -> dict[str, Any]:
    pairs = [dataclasses.asdict(pair) for pair in found.control]
    if len(found.control) < FEWEST:
        return {"drifted": False, "ratio": None, "low": None, "high": None, "pairs": pairs}
    logs = [pair.log for pair in found.control]
    judged = decision.judge(logs, found.rules.limit)
    told = {name: getattr(judged, name) for name in ("ratio", "low", "high")}
    return {"drifted": decision.drifted(logs, found.rules.limit), **told, "pairs": pairs}


def _change(change: Change, entry: Entry | None) -> dict[str, Any]:
    values = {side: getattr(change, side) for side in ("base", "head")}
    for side, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            values[side] = repr(value)  # which JSON has no number for
    told = {"label": change.label, "metric": change.metric, **values}
    return told | {"points": [each.key for each in change.points], "accepted": entry.reason if entry else None}
