"""The pages and claims of the paper's Figure 6 and Table 4, from made-up rows."""

import pytest

import reports
from reports import claims, figures
from reports.claims import CONTRADICTED, MIXED, SUPPORTED, _evidence, _factors, factor_eager_training
from reports.rows import UNGRAPHED
from tests.paper_data import GOOD, NAIVE, fig6, shares, table4
from tests.report_data import Builder

pytestmark = pytest.mark.usefixtures("launches_show")


def verdict(name, told):
    finding = claims.load(name).judge(told)
    assert finding is not None
    return finding.verdict


def test_each_page_answers_what_the_paper_drew(tmp_path):
    reports.build([fig6(), table4()], tmp_path)
    page = (tmp_path / "experiment-paper_fig6.html").read_text(encoding="utf-8")
    for name in ("decode_context", "decode_batch", "decode_throughput", "decode_floor", "state", "largest_batch"):
        assert figures.load(name).title in page, name
    assert figures.load("largest_batch_speed").title in page
    assert figures.load("largest_batch_floor").title in page
    page = (tmp_path / "experiment-paper_t4.html").read_text(encoding="utf-8")
    for name in ("training_length", "training_memory", "training_floor"):
        assert figures.load(name).title in page, name
    page = (tmp_path / "claims.html").read_text(encoding="utf-8")
    assert "Against a naive Transformer, batch 8: 7.276 (7.254 to 7.297) times more" in page
    assert "Against a good Transformer, batch 8: 3.118 (3.109 to 3.127) times more" in page


def test_the_largest_batches_stand_in_a_table_with_their_counts():
    table = figures.load("largest_batch").data(fig6())
    assert table is not None
    told = table.set_index(["series", "sequence_length"])["largest_batch"]
    assert (told["retnet", 2048], told["retnet", 32768]) == (464, 464)
    assert told[GOOD, 8192] == 29
    assert told[NAIVE, 8192] == 14
    assert "batch_size" not in table


def test_a_factor_is_against_both_transformers():
    reached = shares(good=0.3, naive=0.1)
    for shown, wanted in ((None, CONTRADICTED), (shares(naive=0.2), MIXED), (reached, MIXED)):
        assert verdict("factor_throughput", fig6(shown, naive_graph="true")) == wanted
    finding = claims.load("factor_throughput").judge(fig6())
    assert finding is not None
    assert finding.text.count("Against a") == 2
    assert "batch 8: 7.276 (7.254 to 7.297) times more, interval over repeats in one process, where 8.4" in finding.text
    assert finding.text.endswith(f" A naive transformer was {UNGRAPHED}."), "as it is by its nature"
    assert finding.text.count(UNGRAPHED) == 1
    assert list(finding.table["series"]) == ["retnet", NAIVE, GOOD]
    assert set(finding.table["sequence_length"]) == {8192}


def test_a_factor_against_one_transformer_alone_is_undecided():
    told = fig6({"retnet": 0.8, GOOD: 0.7})
    assert all(claims.load(f"factor_{name}").judge(told) is None for name in ("throughput", "latency", "memory"))


def test_memory_is_that_of_weights_and_state():
    finding = claims.load("factor_memory").judge(fig6())
    assert finding is not None
    weights, cache, state = 13.4e9, 8 * 8192 * 524_288, 8 * 268_435_456
    assert f"{(weights + cache) / (weights + state):.4g} times less" in finding.text
    assert "interval" not in finding.text


def test_at_its_own_largest_batch_each_model_is_compared_with_the_others():
    finding = claims.load("factor_largest_batch").judge(fig6(naive_graph="true"))
    assert finding is not None
    assert finding.verdict == SUPPORTED
    assert finding.text.count("each at its own largest batch") == 2


def test_smaller_models_and_other_lengths_are_not_the_papers():
    told = fig6()
    told.points["parameters"] = 1_300_000_000
    for name in ("factor_memory", "factor_throughput", "factor_latency", "factor_largest_batch"):
        assert claims.load(name).judge(told) is None
    told = fig6()
    told.points["sequence_length"] += 1
    assert claims.load("factor_throughput").judge(told) is None


def test_training_is_compared_where_both_or_neither_recompute():
    finding = claims.load("factor_eager_training").judge(table4())
    assert finding is not None
    assert list(finding.table["series"]) == ["retnet recompute=true", "transformer recompute=true implementation=eager"]
    assert finding.table["tokens_per_second"].iloc[0] == pytest.approx(0.75 * 5.9e4, rel=0.01)
    assert finding.verdict == CONTRADICTED
    assert verdict("factor_eager_training", table4(eager=6e3)) == SUPPORTED
    assert verdict("training_throughput", table4()) == SUPPORTED, "the best of both, without recomputing"


def test_a_rule_states_the_numbers_that_it_judges_by():
    rule = claims.load("factor_eager_training").rule
    for number in (factor_eager_training.LEAST, _factors.LENGTH):
        assert f" {number:,} " in rule
    assert f" {_evidence.MARGIN:.0%} below " in rule
    finding = claims.load("factor_eager_training").judge(table4())
    assert finding is not None
    assert finding.text.endswith(", where 6.8 are claimed.")


def test_memory_of_training_is_that_of_the_variant_that_trains_fastest():
    builder = Builder()
    told = {
        "retnet recompute=true": (50.0, 90.0),
        "retnet recompute=false": (70.0, 120.0),
        "transformer": (60.0, 100.0),
    }
    for label, (speed, size) in told.items():
        point = builder.point("training", label, sequence_length=1024, batch_size=2)
        builder.samples(point, "tokens_per_second", [speed])
        builder.samples(point, "peak_bytes", [size])
    finding = claims.load("training_memory").judge(builder.build())
    assert finding is not None
    assert finding.verdict == CONTRADICTED, finding.text
    assert list(finding.table["series"]) == ["retnet recompute=false", "transformer"]
