"""The claims: verdicts with known answers, each of the four reached, and every claim able to go either way."""

import re

import pytest

from reports import claims
from reports.claims import CONTRADICTED, MIXED, SUPPORTED, UNTESTABLE, _evidence
from tests.claim_cases import CASES, Made, on, speeds
from tests.report_data import Builder, ResultSet


def made(rows: Made) -> ResultSet:
    builder = Builder()
    rows(builder)
    return builder.build()


@pytest.mark.parametrize(("name", "rows", "verdict"), CASES, ids=[f"{name}-{verdict}" for name, _, verdict in CASES])
def test_verdict(name: str, rows: Made, verdict: str) -> None:
    finding = claims.load(name).judge(made(rows))
    assert finding is not None
    assert finding.verdict == verdict, finding.text
    assert finding.text.endswith(".")
    assert len(finding.table)
    assert (finding.table["point"] != "").all()


def test_every_claim_can_go_either_way() -> None:
    one_way = {"hardware": {SUPPORTED}, "family_tree": set()}  # no card of another maker contradicts; no table decides
    for name in claims.names():
        reached = {verdict for case, _, verdict in CASES if case == name}
        assert one_way.get(name, {SUPPORTED, CONTRADICTED}) <= reached, name
    assert {verdict for _, _, verdict in CASES} == set(claims.VERDICTS)


def test_a_result_set_without_the_rows_says_nothing() -> None:
    for rows in (lambda made: None, speeds("noop", aft=1.0), on("NVIDIA H200")):
        told = made(rows)
        assert [name for name in claims.names() if claims.load(name).judge(told) is not None] == []


def test_claims_tell_their_source_and_rule() -> None:
    for name in claims.names():
        claim = claims.load(name)
        assert re.search(r"arXiv \d{4}\.\d{5}", claim.published), name
        assert claim.statement.endswith("."), name
        assert len(claim.rule) > 60, name


def test_one_verdict_from_several() -> None:
    assert claims.together([]) == claims.together([UNTESTABLE]) == UNTESTABLE
    assert claims.together([SUPPORTED, UNTESTABLE, SUPPORTED]) == SUPPORTED
    assert claims.together([CONTRADICTED, SUPPORTED]) == MIXED
    assert claims.together([MIXED, SUPPORTED]) == MIXED


def test_an_interval_decides_only_where_all_of_it_is_on_one_side() -> None:
    assert _evidence.by_interval(1.1, 1.2, 1) == _evidence.by_interval(0.8, 0.9, 1, above=False) == SUPPORTED
    assert _evidence.by_interval(0.8, 0.9, 1) == _evidence.by_interval(1.1, 1.2, 1, above=False) == CONTRADICTED
    assert _evidence.by_interval(0.9, 1.1, 1) == _evidence.by_interval(float("nan"), float("nan"), 1) == MIXED


def test_a_model_is_compared_by_its_own_name_or_its_best_variant() -> None:
    def variants(builder: Builder) -> None:
        speeds("decode", retnet=100)(builder)
        for label, speed in (("transformer cache=concat", 20), ("transformer cache=static", 50)):
            builder.speed("decode", label, 2048, 4, speed)

    finding = claims.load("inference_throughput").judge(made(variants))
    assert finding is not None
    assert list(finding.table["series"]) == ["retnet", "transformer cache=static"]
    assert ": tokens per second 2 (" in finding.text


def test_the_longest_common_length_is_what_counts() -> None:
    def rows(builder: Builder) -> None:
        speeds("training", 2048, retnet=80, transformer=100)(builder)
        speeds("training", 1024, retnet=120, transformer=100)(builder)
        speeds("training", 4096, retnet=120)(builder)
        builder.point("training", "transformer", "oom", "no room", sequence_length=4096, batch_size=4)

    finding = claims.load("training_throughput").judge(made(rows))
    assert finding is not None
    assert finding.verdict == CONTRADICTED
    assert "at length 2,048, batch 4" in finding.text
    short = made(speeds("training", 512, retnet=80, transformer=100))
    assert claims.load("training_throughput").judge(short) is None
