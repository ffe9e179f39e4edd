"""The claims: verdicts with known answers, each of the four reached, and every claim able to go either way."""

import re
from typing import Any

import numpy as np
import pytest

from reports import claims, figures, intervals, packages
from reports.claims import CONTRADICTED, MIXED, SUPPORTED, UNTESTABLE, _evidence, _slopes
from reports.launches import CAUTION
from tests import claim_cases, claim_verdicts, paper_data
from tests.claim_cases import LATENCY, LAUNCHED, REPLAYED, SHORT, Made, bits, lengths, made, noisy, on, speeds
from tests.report_data import Builder

pytestmark = pytest.mark.usefixtures("launches_show")

CASES = [*claim_verdicts.CASES, *paper_data.CASES]


@pytest.mark.parametrize(("name", "rows", "verdict"), CASES, ids=[f"{name}-{verdict}" for name, _, verdict in CASES])
def test_verdict(name: str, rows: Made, verdict: str) -> None:
    finding = claims.load(name).judge(made(rows))
    assert finding is not None
    assert finding.verdict == verdict, finding.text
    assert finding.text.endswith(".")
    assert "edge" not in finding.text, "of no learning rate was another one tried"
    assert len(finding.table)
    assert (finding.table["point"] != "").all()


def test_every_claim_can_go_either_way() -> None:
    one_way = {"hardware": {SUPPORTED}, "family_tree": set()}  # no card of another maker contradicts; no table decides
    for name in packages.names(claims):
        reached = {verdict for case, _, verdict in CASES if case == name}
        assert one_way.get(name, {SUPPORTED, CONTRADICTED}) <= reached, name
    assert {verdict for _, _, verdict in CASES} == set(claims.VERDICTS)


def test_a_result_set_without_the_rows_says_nothing() -> None:
    for rows in (lambda made: None, speeds("noop", aft=1.0), on("NVIDIA H200")):
        told = made(rows)
        assert [name for name in packages.names(claims) if claims.load(name).judge(told) is not None] == []


def test_claims_tell_their_source_and_rule() -> None:
    for name in packages.names(claims):
        claim = claims.load(name)
        assert re.search(r"arXiv \d{4}\.\d{5}", claim.published), name
        assert claim.statement.endswith("."), name
        assert len(claim.rule) > 60, name


@pytest.mark.parametrize("folder", [claims, figures])
def test_every_file_has_a_place_of_its_own(folder: Any) -> None:
    places = [folder.load(name).place for name in packages.names(folder)]
    assert len(set(places)) == len(places), sorted(places)


def test_one_verdict_from_several() -> None:
    assert claims.together([]) == claims.together([UNTESTABLE]) == UNTESTABLE
    assert claims.together([SUPPORTED, UNTESTABLE, SUPPORTED]) == SUPPORTED
    assert claims.together([CONTRADICTED, SUPPORTED]) == MIXED
    assert claims.together([MIXED, SUPPORTED]) == MIXED


def test_an_interval_decides_only_where_all_of_it_is_on_one_side() -> None:
    assert _evidence.by_interval(1.1, 1.2, 1) == _evidence.by_interval(0.8, 0.9, 1, above=False) == SUPPORTED
    assert _evidence.by_interval(0.8, 0.9, 1) == _evidence.by_interval(1.1, 1.2, 1, above=False) == CONTRADICTED
    assert _evidence.by_interval(0.9, 1.1, 1) == _evidence.by_interval(float("nan"), float("nan"), 1) == MIXED


def test_a_slope_has_the_interval_of_its_samples() -> None:
    places = {1.0: [2.0, 2.2, 1.9, 2.1], 4.0: [4.1, 4.0, 3.7, 4.3], 16.0: [8.0, 8.8, 7.9, 8.1]}
    value, low, high = intervals.slope_of(places)
    assert value == pytest.approx(intervals.slope(list(places), [np.median(each) for each in places.values()]))
    assert 0.4 < low < value < high < 0.6
    assert np.isnan(intervals.slope_of({1.0: [2.0], 4.0: [2.0, 2.1]})[1:]).all()


def test_a_steep_slope_over_a_short_range_comes_to_little_and_both_figures_are_told() -> None:
    """Neither bound may decide what the other one allows."""
    line = {"low": 0.11, "high": 0.12, "largest_over_smallest": 1.27}
    assert _slopes.flat(line, 0.1, 1.5) == MIXED
    assert _slopes.flat(line | {"largest_over_smallest": 1.6}, 0.1, 1.5) == CONTRADICTED
    assert _slopes.flat(line | {"low": 0.05, "high": 0.06}, 0.1, 1.5) == SUPPORTED
    assert _slopes.flat(line | {"low": 0.05, "high": 0.06, "largest_over_smallest": 1.6}, 0.1, 1.5) == MIXED
    rows = claim_cases.over(**LATENCY, label="retnet", by="batch_size", values=SHORT)
    finding = claims.load("latency_batch").judge(made(rows))
    assert finding is not None
    assert re.search(r"slope 0\.11\d \(.*\) over batch 1 to 8 at length 2, largest over smallest 1\.27", finding.text)
    assert finding.text.endswith("Flat is a slope within ±0.1 and 1.5 times in all.")
    assert finding.short == "the largest 1.27 times the smallest over batch 1 to 8"


def test_of_slopes_that_show_the_same_the_longest_is_told_in_short() -> None:
    def rows(builder: Builder) -> None:
        for batch, longest in ((1, 4096), (2, 16384), (4, 4096)):
            claim_cases.over(**LATENCY, label="retnet", by="sequence_length", other=batch, values={256: 2, longest: 2})(
                builder
            )

    finding = claims.load("latency_context").judge(made(rows))
    assert finding is not None
    assert finding.short.endswith(" times the smallest over length 256 to 16,384")


def test_a_slope_of_speeds_is_that_of_the_fastest_form() -> None:
    def forms(builder: Builder) -> None:
        for length, fast, slow in ((256, 100.0, 50.0), (2048, 99.0, 5.0)):
            for form, speed in (("chunkwise", fast), ("parallel", slow)):
                point = builder.point("training", "retnet", sequence_length=length, batch_size=2, form=form)
                builder.samples(point, "tokens_per_second", noisy("tokens_per_second", speed))

    finding = claims.load("linear_training").judge(made(forms))
    assert finding is not None
    assert finding.verdict == SUPPORTED


def test_a_slope_across_batches_needs_equal_tokens() -> None:
    finding = claims.load("linear_training").judge(made(lengths({256: 80, 1024: 82, 4096: 81})))
    assert finding is not None
    assert "over length 256 to 4,096 at equal tokens per step" in finding.text
    told = _evidence.measured(made(lengths({256: 80, 1024: 82})), "training", "tokens_per_second")
    slope = (told, "tokens_per_second", "retnet", "sequence_length", "higher")
    assert len(_slopes.slopes(*slope, equal_tokens=True)) == 1
    assert _slopes.slopes(*slope).empty
    told.loc[told["sequence_length"] == 256, "batch_size"] = 17
    assert _slopes.slopes(*slope, equal_tokens=True).empty


def test_a_cell_of_other_tokens_leaves_the_rest_a_slope() -> None:
    def longer(builder: Builder) -> None:
        lengths({512: 80, 1024: 82, 2048: 81, 4096: 80})(builder)
        builder.speed("training", "retnet", 8192, 1, 10.0)

    finding = claims.load("linear_training").judge(made(longer))
    assert finding is not None
    assert finding.verdict == SUPPORTED
    assert "over length 512 to 4,096 at equal tokens per step" in finding.text
    assert len(finding.table["point"].iloc[0].split()) == 4


def test_a_grid_has_a_slope_at_every_batch() -> None:
    def grid(builder: Builder) -> None:
        for length in (256, 512, 1024):
            for batch in (4, 8, 16):
                builder.speed("training", "retnet", length, batch, 80.0)

    finding = claims.load("linear_training").judge(made(grid))
    assert finding is not None
    assert list(finding.table["batch_size"]) == [4, 8, 16]


def test_decoding_without_a_graph_decides_nothing_unless_there_is_also_some_with() -> None:
    launched = speeds("decode", 4096, more=LAUNCHED, retnet=300, transformer=100)
    claim = claims.load("inference_throughput")
    finding = claim.judge(made(launched))
    assert finding is not None
    assert finding.text.endswith(CAUTION)
    finding = claim.judge(made(launched, speeds("decode", 2048, more=REPLAYED, retnet=80, transformer=100)))
    assert finding is not None
    assert (finding.verdict, CAUTION in finding.text) == (CONTRADICTED, False)
    assert "length 2,048" in finding.text


def test_a_prediction_says_what_was_left_out() -> None:
    def older(builder: Builder) -> None:
        builder.language("aft", 0, 1e-3, 1.0, training_tokens=9)

    finding = claims.load("retnet_linear").judge(made(older, bits(retnet=2.0, linear_attention=2.1)))
    assert finding is not None
    assert "Left out of every comparison of predictions" in finding.text


def test_claims_of_one_kind_share_one_rule() -> None:
    assert claims.load("retnet_linear").rule == claims.load("retnet_rwkv").rule == _evidence.ONE_BETTER
    assert _evidence.ONE_BETTER in claims.load("linear_transformer").rule
    assert claims.load("zero_shot").rule.startswith("No measure yet")


@pytest.mark.parametrize(("short", "seeds"), [(1, 2), (2, 1)])
def test_only_seeds_that_have_both_are_counted(short: int, seeds: int) -> None:
    finding = claims.load("extrapolation").judge(made(claim_cases.short_of_longest(0.1, short)))
    assert finding is not None
    assert finding.text == f"At length 512 against 128: +10.00%, from {seeds} of the 3 seeds that are needed."


def test_what_is_missing_to_tell_the_use_of_context_is_said() -> None:
    finding = claims.load("context_helps").judge(made(claim_cases.later(0.1)))
    assert finding is not None
    assert "No length below the training length, 128, was evaluated" in finding.text
    plan = figures.load("position")
    data = plan.data(made(claim_cases.later(0.1)))
    assert data is not None
    assert "other bytes" in plan.note
    assert "other bytes" in plan.text(data)
    assert "help" not in plan.title


@pytest.mark.parametrize(("name", "rows", "verdict"), CASES, ids=[f"{name}-{verdict}" for name, _, verdict in CASES])
def test_what_rests_on_a_rate_at_the_edge_of_those_tried_says_so(name: str, rows: Made, verdict: str) -> None:
    told = made(rows, claim_cases.worse_at_twice_the_rate)
    finding = claims.load(name).judge(told)
    assert finding is not None
    assert finding.verdict == verdict, "one sentence more changes no verdict"
    trained = set(told.points.loc[told.points["measure"] == "language", "point"])
    if trained & set(" ".join(finding.table["point"]).split()) and verdict in (SUPPORTED, CONTRADICTED):
        assert finding.text.count("Best at the edge of the learning rates tried") == 1
        assert "RetNet" in finding.text.partition("Best at the edge")[2] or name == "linear_transformer"
