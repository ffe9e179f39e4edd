"""The gate's rule: what each verdict needs, and how often it is wrong under noise like that of a shared machine."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.gate import decision
from harness.gate.decision import decide, drifted, judge
from harness.gate.rules import Rules

LIMIT = 0.10
RULES = Rules()


def logs(*ratios):
    return [math.log(ratio) for ratio in ratios]


# The rule --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ((1.21, 1.19, 1.25, 1.17, 1.3), "slower"),
        ((1.21, 0.99, 1.25, 1.17, 1.3), "undecided"),  # past the limit, but the interval holds no change
        ((1.05, 1.06, 1.04, 1.07, 1.05), "steady"),  # surely slower, and less than is looked for
        ((1.01, 0.99, 1.02, 0.98, 1.0), "steady"),
        ((0.9, 1.25, 1.0, 0.95, 1.2), "undecided"),  # too wide to tell no change from a slowdown
        ((1.09, 1.12, 1.08, 1.05, 1.11), "steady"),  # the limit is inside, but so is little else
        ((1.04, 1.09, 1.16, 1.3, 1.02), "undecided"),
        ((0.8, 0.82, 0.79, 0.85, 0.81), "faster"),
    ],
)
def test_what_each_verdict_needs(ratios, verdict):
    found = judge(logs(*ratios), LIMIT)
    assert found.verdict == verdict
    assert found.pairs == 5
    assert found.ratio == pytest.approx(sorted(ratios)[2])
    assert (found.low, found.high) == pytest.approx((min(ratios), max(ratios))), "of five pairs it is all of them"


@given(st.lists(st.floats(-0.7, 0.7), min_size=5, max_size=15))
def test_red_needs_the_median_beyond_the_limit_and_an_interval_without_zero(found):
    told = judge(found, LIMIT)
    if told.verdict == "slower":
        assert told.ratio > 1 + LIMIT
        assert told.low > 1
    if told.verdict in ("steady", "faster"):
        assert told.ratio <= 1 + LIMIT + 1e-12


@given(st.lists(st.floats(-0.7, 0.7), min_size=5, max_size=15), st.randoms())
def test_the_order_of_the_sides_and_of_the_pairs_does_not_favour_one(found, random):
    """A head that is as much faster as another is slower has the mirrored interval."""
    told, mirrored = judge(found, LIMIT), judge([-value for value in found], LIMIT)
    assert told.ratio * mirrored.ratio == pytest.approx(1)
    assert (told.verdict == "slower") <= (mirrored.verdict == "faster")


def test_nothing_is_decided_before_there_are_five_pairs():
    slow = logs(1.3, 1.3, 1.3, 1.3)
    assert decide(slow, [], RULES) == decision.Decision(None, "first")
    assert decide([*slow, slow[0]], slow, RULES) == decision.Decision(None, "again", flagged=True)


def test_new_pairs_alone_decide_about_a_flagged_point():
    slow, same = logs(*[1.3] * 5), logs(*[1.0] * 5)
    assert decide(slow, [], RULES).wants == "again"
    confirmed, cleared = decide(slow, slow, RULES), decide(slow, same, RULES)
    assert (confirmed.judgement.verdict, confirmed.wants, confirmed.flagged) == ("slower", None, True)
    assert (cleared.judgement.verdict, cleared.wants, cleared.flagged) == ("steady", None, True)


def test_an_undecided_point_wants_more_pairs_but_not_for_ever():
    wild = [math.log(1.4) * (-1) ** i for i in range(RULES.most)]
    for count in range(RULES.pairs, RULES.most):
        assert decide(wild[:count], [], RULES).wants == "first"
    ended = decide(wild, [], RULES)
    assert (ended.judgement.verdict, ended.wants) == ("undecided", None)
    again = decide(logs(*[1.3] * 5), wild, RULES)
    assert (again.judgement.verdict, again.wants, again.flagged) == ("undecided", None, True)


@pytest.mark.parametrize(
    ("ratios", "moved"),
    [
        ((1.08, 1.07, 1.09, 1.06, 1.1), True),
        ((0.9, 0.91, 0.92, 0.9, 0.93), True),
        ((1.03, 1.04, 1.03, 1.04, 1.03), False),  # it moved, but by less than counts
        ((1.2, 0.9, 1.1, 1.08, 1.07), False),  # noise
    ],
)
def test_a_control_that_moves_is_told_from_one_that_is_noisy(ratios, moved):
    assert drifted(logs(*ratios), LIMIT) is moved


# How often it is wrong -------------------------------------------------------------------------------------------


def gated(draw, rules=RULES):
    """The verdict of one point whose pairs `draw(number of the pair)` gives, and how many it took."""
    first, again = [], []
    while (told := decide(first, again, rules)).wants:
        {"first": first, "again": again}[told.wants].append(draw(len(first) + len(again)))
    return told.judgement.verdict, len(first) + len(again)


def simulated(rng, slowdown, scale, drift=0.0):
    """Pairs of one point. Noise of each measurement: Student's t with 3 degrees of freedom, so that one in fifty is far
    off, and one in twenty meets a neighbour that takes 5 to 40%. The machine drifts by `drift` from one measurement to
    the next; the order of a pair's sides turns.
    """

    def measured(at):
        neighbour = rng.uniform(0.05, 0.4) if rng.random() < 0.05 else 0.0
        return scale * rng.standard_t(3) / math.sqrt(3) + neighbour + drift * at

    def draw(number):
        sides = [measured(2 * number), measured(2 * number + 1)]
        base, head = sides if number % 2 == 0 else sides[::-1]
        return head - base + math.log1p(slowdown)

    return draw


def rates(slowdown, scale, drift=0.0, trials=400):
    rng = np.random.default_rng(7)
    verdicts = [gated(simulated(rng, slowdown, scale, drift))[0] for _ in range(trials)]
    return {verdict: verdicts.count(verdict) / trials for verdict in ("slower", "steady", "undecided")}


@pytest.mark.parametrize("drift", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("scale", [0.01, 0.03, 0.06, 0.12])
def test_false_alarms_are_rare_under_heavy_tails_and_drift(scale, drift):
    """No point in 400 at 6% noise of a measurement or less, and at most one in 200 at twice that."""
    assert rates(0.0, scale, drift)["slower"] <= (0.0 if scale <= 0.06 else 0.005)


@pytest.mark.parametrize("scale", [0.01, 0.03, 0.06])
def test_a_slowdown_of_a_fifth_is_not_missed(scale):
    found = rates(0.2, scale)
    assert found["slower"] >= (0.99 if scale <= 0.03 else 0.9)
    assert found["steady"] <= 0.02, "what is not seen is to be inconclusive, not passed"


def test_a_slowdown_of_a_twentieth_passes():
    found = rates(0.05, 0.02)
    assert found["slower"] <= 0.01
    assert found["steady"] >= 0.95


def test_quiet_points_take_the_fewest_pairs():
    rng = np.random.default_rng(3)
    taken = [gated(simulated(rng, 0.0, 0.01))[1] for _ in range(200)]
    assert np.median(taken) == RULES.pairs
    assert np.mean(taken) < RULES.pairs + 1


def test_these_draws_are_hard():
    """One pair alone, taken at its word, would be wrong on more than one point in twenty of the same noise."""
    rng = np.random.default_rng(7)
    assert np.mean([simulated(rng, 0.0, 0.06)(0) > math.log1p(LIMIT) for _ in range(400)]) > 0.05
