"""Gathering pairs and pairing surveys, with sides that take as long as they are told: no clock, no process."""

import math

import pytest

from harness.gate import cases, compare, exact
from harness.gate.rules import Rules
from tests.gating import case, lines, row, sides

RULES = Rules()


def run(found, milliseconds, control=lambda: [1.0], seconds=1e9, order=None, rules=lambda case: RULES):
    told = []
    pairs = compare.run(found, sides(milliseconds, order), control, rules, seconds, told.append)
    return pairs, told


# Pairs -----------------------------------------------------------------------------------------------------------


def test_both_sides_of_a_point_are_measured_one_after_the_other_in_turned_order():
    order, found = [], [case("a"), case("b")]
    run(found, lambda *_: 2.0, order=order)
    rounds = "".join({"base": "A", "head": "B"}[each[0]] if each else " " for each in order).split()
    assert rounds == ["ABBA", "BAAB", "ABBA", "BAAB", "ABBA"]
    assert [name for _, name in filter(None, order[:4])] == ["a", "a", "b", "b"]
    assert [pair.base_first for pair in found[0].first] == [True, False, True, False, True]
    assert [pair.base_first for pair in found[1].first] == [False, True, False, True, False]


def test_a_pair_is_the_ratio_of_medians():
    pair = cases.Pair((2.0, 9.0, 1.0), (3.0, 1.0, 30.0), True)
    assert pair.log == pytest.approx(math.log(3 / 2))


def test_equal_sides_take_five_pairs_and_a_slower_one_is_measured_again():
    found = [case("same"), case("slow")]
    _, told = run(found, lambda side, key, _: 1.3 if (side, key) == ("head", "slow") else 1.0)
    assert [len(found[0].first), len(found[0].again)] == [5, 0]
    assert [len(found[1].first), len(found[1].again)] == [5, 5]
    assert compare.decision(found[1], RULES).judgement.verdict == "slower"
    assert told[5] == "round 6: 1 point, 1 of them again because they looked slower"


def test_what_was_slow_only_at_first_is_cleared_by_new_pairs():
    found = [case()]
    run(found, lambda side, _, seen: 1.3 if side == "head" and seen < 5 else 1.0)
    decided = compare.decision(found[0], RULES)
    assert (decided.judgement.verdict, decided.flagged) == ("steady", True)
    assert len(found[0].first) == len(found[0].again) == 5


def test_noise_is_given_more_pairs_up_to_the_most():
    found = [case()]
    run(found, lambda side, _, seen: (1.5 if seen % 2 else 1 / 1.5) if side == "head" else 1.0)
    assert len(found[0].first) == RULES.most
    assert compare.decision(found[0], RULES).judgement.verdict == "undecided"


def test_a_side_that_fails_twice_is_given_up_and_once_is_forgiven():
    found = [case("dies"), case("stumbles"), case("never ran")]

    def milliseconds(side, key, seen):
        if (key == "dies" and side == "head") or (key == "stumbles" and side == "head" and seen == 1):
            return "killed by signal SIGSEGV"
        return "no such tensor" if key == "never ran" else 1.0

    run(found, milliseconds)
    assert [each.failed for each in found] == ["head", None, "base"]
    assert [len(each.first) for each in found] == [0, 5, 0]
    assert found[1].failures == {"base": [], "head": ["killed by signal SIGSEGV"]}


def test_no_round_begins_that_would_end_too_late():
    found = [case()]
    _, told = run(found, lambda *_: 1.0, seconds=0.0)
    assert (found[0].first, told) == ([], ["no time for another round: 1 point is left undecided"])


def test_the_control_stands_for_both_sides_in_the_order_of_the_points_beside_it():
    controls = iter(range(1, 1000))
    found = [case(str(i)) for i in range(6)]
    pairs, _ = run(found, lambda *_: 1.0, control=lambda: [float(next(controls))])
    assert len(pairs) == 2 * 5, "every fifth point of a round has one beside it"
    assert [(pair.base, pair.head) for pair in pairs[:2]] == [((1.0,), (2.0,)), ((4.0,), (3.0,))]
    assert all((pair.base < pair.head) == pair.base_first for pair in pairs)


def test_an_accepted_slowdown_widens_the_limit_of_its_point_alone():
    found = [case("accepted"), case("other")]
    rules = lambda case: Rules(limit=0.5) if case.key == "accepted" else RULES  # noqa: E731
    run(found, lambda side, *_: 1.3 if side == "head" else 1.0, rules=rules)
    assert [len(each.again) for each in found] == [0, 5]
    assert compare.decision(found[0], rules(found[0])).judgement.verdict == "steady"


# Surveys ---------------------------------------------------------------------------------------------------------


def kinds(found):
    return {each.key: each.kind for each in found.alone}


def test_points_of_both_trees_are_compared_and_the_others_told():
    base = lines(row("retnet"), row("aft"), row("rwkv", "forms", metric=None))
    head = lines(row("retnet"), row("transformer"), row("rwkv", "forms", metric=None))
    found = cases.paired(base, head)
    assert [each.key for each in found.cases] == ["decode retnet 3x17"]
    assert kinds(found) == {
        "decode transformer 3x17": "new",
        "decode aft 3x17": "gone",
        "forms rwkv 3x17": "untimed",
    }
    assert {key for key, _ in found.rows} == {*kinds(found), "decode retnet 3x17"}


def test_why_a_tree_lacks_a_point_is_told():
    base = [*lines(row("retnet")), {"refused": 'models[1] "aft"', "reason": "unknown model 'aft'"}]
    found = cases.paired(base, lines(row("retnet"), row("aft")))
    (alone,) = found.alone
    assert (alone.kind, alone.reason) == ("new", "models[1] \"aft\" is refused: unknown model 'aft'")
    broken = cases.paired([{"protocol": 1}, {"broken": "its process ended with exit code 1"}], lines(row("aft")))
    assert broken.cases == []
    assert broken.alone[0].reason == "the survey broke off: its process ended with exit code 1"
    assert broken.notes == ["base: the survey broke off: its process ended with exit code 1"]


def test_a_point_that_one_tree_cannot_run_is_new_or_gone_with_the_reason():
    cannot, can = lines(row(not_applicable="no such form")), lines(row())
    assert kinds(cases.paired(cannot, can)) == {"decode retnet 3x17": "new"}
    assert kinds(cases.paired(can, cannot)) == {"decode retnet 3x17": "gone"}
    assert cases.paired(can, cannot).alone[0].reason == "no such form"
    assert kinds(cases.paired(cannot, cannot)) == {"decode retnet 3x17": "not_applicable"}


def test_a_default_form_that_changed_is_no_other_point():
    base, head = lines(row(form="chunkwise")), lines(row(form="parallel"))
    assert [each.key for each in cases.paired(base, head).cases] == ["decode retnet 3x17"]


def test_points_that_differ_in_the_form_alone_are_named_after_it():
    both = lines(row(form="chunkwise"), row(form="parallel"))
    found = cases.paired(both, both)
    assert [each.key for each in found.cases] == [
        "decode retnet 3x17 form=chunkwise",
        "decode retnet 3x17 form=parallel",
    ]
    wide = lines(row(width=24), row(width=48))
    assert [each.key for each in cases.paired(wide, wide).cases] == [
        "decode retnet 3x17 width=24",
        "decode retnet 3x17 width=48",
    ]


# What needs no clock ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["parameters", "live_parameters", "flops_per_token", "state_bytes", "loss"])
def test_any_exact_difference_is_a_change_and_nothing_else_is(metric):
    base, head = lines(row("retnet"), row("aft"), **{metric: 3}), lines(row("retnet"), row("aft"), **{metric: 3})
    assert exact.changes(cases.paired(base, head).exact) == []
    head[-1]["exact"][metric] = 4
    (change,) = exact.changes(cases.paired(base, head).exact)
    assert (change.label, change.metric, change.base, change.head) == ("aft", metric, 3, 4)
    assert [each.key for each in change.points] == ["decode aft 3x17"]


def test_the_last_bit_of_a_loss_counts_and_not_a_number_equals_itself():
    base = lines(row(), loss=5.0)
    assert exact.changes(cases.paired(base, lines(row(), loss=math.nextafter(5.0, 6))).exact)
    nan = lines(row(), loss=math.nan)
    assert not exact.changes(cases.paired(nan, nan).exact)


def test_what_one_tree_does_not_tell_is_not_compared_but_a_new_failure_is_a_change():
    base, head = lines(row()), lines(row(), loss=1.0)
    assert not exact.changes(cases.paired(base, head).exact)
    failed = lines(row(), failure="RuntimeError: shapes")
    (change,) = exact.changes(cases.paired(base, failed).exact)
    assert (change.metric, change.base, change.head) == ("failure", None, "RuntimeError: shapes")


def test_points_that_share_a_change_are_told_together():
    base = lines(row("retnet", "prefill"), row("retnet", "decode"), parameters=7)
    head = lines(row("retnet", "prefill"), row("retnet", "decode"), parameters=8)
    (change,) = exact.changes(cases.paired(base, head).exact)
    assert [each.key for each in change.points] == ["prefill retnet 3x17", "decode retnet 3x17"]
