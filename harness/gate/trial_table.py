"""False alarms and misses of the gate, and of what people use today, from the samples of trials alone.

Every rule sees the same numbers of the same comparisons: one point of one trial each. An alarm on an equal copy is
false; a slower copy that passes is missed. A rule of a tool is tried with two baselines: the base of the same trial,
measured beside the head, and one stored at the first trial, as where a baseline is kept from an earlier run.
"""

import math
import pathlib

import pandas as pd

from harness.child import ROOT
from harness.gate import rivals
from harness.gate.decision import FASTER, SLOWER, STEADY, decide, drifted
from harness.gate.rules import FEWEST, Rules
from reports import marks, plurals

SAMPLES, CONTROL = "visits.csv", "(control)"
PART = marks.Part(ROOT / "CONTRIBUTING.md", "trials")
NOTHING = "There are no trials yet; `make trial` makes them.\n"
RIVALS = {"pytest-benchmark, median:10%": rivals.pytest_benchmark, "asv, factor 1.1": rivals.asv}
ALARM, PASS, NEITHER = "alarm", "pass", "inconclusive"


def markdown(results: pathlib.Path) -> str:
    """A table for every machine that has trials, the same for the same files."""
    files = sorted(pathlib.Path(results).glob(f"*/{SAMPLES}"))
    return "\n".join(_device(file) for file in files) or NOTHING


def verdicts(samples: pd.DataFrame) -> pd.DataFrame:
    """A row per comparison: trial, slowdown_percent, point, and for every rule alarm, pass or inconclusive."""
    told = []
    points, controls = samples[samples["point"] != CONTROL], samples[samples["point"] == CONTROL]
    first = points[points["trial"] == points["trial"].min()]
    moved = {trial for trial, rows in controls.groupby("trial") if _drifted(rows)}
    for names, rows in points.groupby(["trial", "slowdown_percent", "point"], sort=False):
        trial, slowdown, point = names
        head = _pooled(rows, "head")
        row = {"trial": trial, "slowdown_percent": slowdown, "point": point, "gate": _gate(rows, trial in moved)}
        for kind, base in (("base beside it", rows), ("stored base", first[first["point"] == point])):
            for tool, rule in RIVALS.items():
                row[f"{tool}, {kind}"] = ALARM if rule(_pooled(base, "base"), head) else PASS
        told.append(row)
    return pd.DataFrame(told)


def _device(file: pathlib.Path) -> str:
    samples = pd.read_csv(file, keep_default_na=False)
    found = verdicts(samples)
    slowdowns = sorted(found["slowdown_percent"].unique())
    trials = samples["trial"].nunique()
    made = f"{plurals.counted(len(found), 'comparison')} in {plurals.counted(trials, 'trial')}"
    made += f"; `results/{file.parent.parent.name}/{file.parent.name}`."
    heads = ["rule", *(f"{each}% slower" if each else "false alarms" for each in slowdowns), "inconclusive"]
    lines = [f"| {' | '.join(heads)} |", f"| :-- |{' --: |' * (len(heads) - 1)}"]
    for rule in found.columns[3:]:
        cells = [rule]
        for slowdown in slowdowns:
            here = found.loc[found["slowdown_percent"] == slowdown, rule]
            cells.append(_share(int(here.eq(ALARM).sum()), len(here)))
        cells.append(_share(int(found[rule].eq(NEITHER).sum()), len(found)))
        lines.append(f"| {' | '.join(cells)} |")
    missed = found[(found["slowdown_percent"] == max(slowdowns)) & (found["gate"] == PASS)]
    told = f"Of the comparisons that were {max(slowdowns)}% slower, the gate let {len(missed)} pass."
    return "\n".join([f"{made} Alarms, with their 95% interval:", "", *lines, "", told]) + "\n"


def _share(count: int, whole: int) -> str:
    """Such as: 3 of 105 (0.6 to 8.1%), by Clopper and Pearson."""
    from scipy import stats

    interval = stats.binomtest(count, whole).proportion_ci(method="exact")
    return f"{count} of {whole} ({100 * interval.low:.1f} to {100 * interval.high:.1f}%)"


def _gate(rows: pd.DataFrame, moved: bool) -> str:
    """What a gate says of a point, from its pairs, in the order in which they were taken."""
    logs = {stage: _logs(rows[rows["stage"] == stage]) for stage in ("first", "again")}
    decided = decide(logs["first"], logs["again"], Rules())
    verdict = decided.judgement.verdict if decided.judgement else ""
    if moved:
        return NEITHER
    return {SLOWER: ALARM, STEADY: PASS, FASTER: PASS}.get(verdict, NEITHER)


def _drifted(rows: pd.DataFrame) -> bool:
    logs = _logs(rows)
    return len(logs) >= FEWEST and drifted(logs, Rules().limit)


def _logs(rows: pd.DataFrame) -> list[float]:
    """ln(head / base) of the medians, pair by pair."""
    medians = rows.groupby(["pair", "side"])["ms"].median().unstack()
    return [math.log(head / base) for base, head in zip(medians.get("base", []), medians.get("head", []), strict=True)]


def _pooled(rows: pd.DataFrame, side: str) -> list[float]:
    """All samples of one side in the pairs that every point has."""
    kept = rows[(rows["stage"] == "first") & (rows["side"] == side) & (rows["pair"] < FEWEST)]
    return [float(value) for value in kept["ms"]]
