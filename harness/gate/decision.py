"""When a point counts as slower: the rule alone, without a clock.

d_i = ln(head_i / base_i) of pair i: of the medians of two measurements made one right after the other, base first in
every second pair. m is the median of the d_i and [l, h] its 95% percentile bootstrap interval over pairs, for these are
what is independent: samples of one process share its memory layout and its moment. L = ln(1 + limit).

    slower      m > L  and  l > 0
    steady      h < L, or m <= L and the interval is no wider than L
    undecided   everything else: more pairs, `most` at the most

With five pairs the interval is that of all pairs, so that a slower point is one where all five agree. A point that is
slower is measured again, and new pairs alone decide. That is what holds false alarms down although a point is looked at
after every pair; see `tests/test_gate_decision.py` for how far.
"""

import dataclasses
import math
import statistics
from collections.abc import Sequence

from harness.gate.rules import Rules
from harness.timing import median_interval

SLOWER, STEADY, UNDECIDED, FASTER = "slower", "steady", "undecided", "faster"


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What some pairs say. Ratios are head over base: 1.1 is 10% slower."""

    verdict: str  # slower | steady | faster | undecided
    pairs: int
    ratio: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Decision:
    """`wants` names the list that needs another pair, `first` or `again`; None where the judgement is final."""

    judgement: Judgement | None  # None before there are enough pairs
    wants: str | None
    flagged: bool = False  # the first pairs said slower, whatever the new ones say


def judge(logs: Sequence[float], limit: float) -> Judgement:
    """What the log-ratios of the pairs say under the rule at the head of this file."""
    most, middle = math.log1p(limit), statistics.median(logs)
    low, high = median_interval(logs)
    if middle > most and low > 0:
        verdict = SLOWER
    elif high < most or (middle <= most and high - low <= most):
        verdict = FASTER if middle < -most and high < 0 else STEADY
    else:
        verdict = UNDECIDED
    return Judgement(verdict, len(logs), math.exp(middle), math.exp(low), math.exp(high))


def decide(first: Sequence[float], again: Sequence[float], rules: Rules) -> Decision:
    """What is known from the first pairs and from those after a point was flagged, and which it wants more of."""
    if len(first) < rules.pairs:
        return Decision(None, "first")
    found = judge(first, rules.limit)
    if found.verdict != SLOWER:
        more = found.verdict == UNDECIDED and len(first) < rules.most
        return Decision(found, "first" if more else None)
    if len(again) < rules.pairs:
        return Decision(None, "again", flagged=True)
    found = judge(again, rules.limit)
    more = found.verdict == UNDECIDED and len(again) < rules.most
    return Decision(found, "again" if more else None, flagged=True)


def drifted(control: Sequence[float], limit: float) -> bool:
    """Whether work that is the same for both sides was not as fast on both: by more than half of what is looked for."""
    low, high = median_interval(control)
    return abs(statistics.median(control)) > math.log1p(limit) / 2 and not low <= 0 <= high


PASS, REGRESSION, NOTHING, INCONCLUSIVE = "pass", "regression", "nothing measured", "inconclusive"
EXIT_CODES = {PASS: 0, REGRESSION: 1, NOTHING: 3, INCONCLUSIVE: 4}  # 2 is bad usage
BROKEN, SAME_CODE = "broken", "same code"  # it runs no longer; nothing that computes it differs
SETTLED = (SLOWER, STEADY, FASTER, UNDECIDED, BROKEN, SAME_CODE)


def conclude(verdicts: Sequence[str], changed: bool, moved: bool) -> str:
    """The gate's verdict from those of the points, whether something exact changed, and whether the control moved.

    What needs no clock is red whatever the clock says. A control that moved makes every other verdict doubtful, a pass
    as well: what it hides it may have hidden from either side.
    """
    if changed or BROKEN in verdicts:
        return REGRESSION
    if not any(verdict in SETTLED for verdict in verdicts):
        return NOTHING
    if moved:
        return INCONCLUSIVE
    if SLOWER in verdicts:
        return REGRESSION
    return INCONCLUSIVE if UNDECIDED in verdicts else PASS
