"""Two models against each other: at which length and batch, by which entry, and when a difference decides."""

import re

import pandas as pd
import pytest

from reports import claims
from reports.claims import CONTRADICTED, MIXED, SUPPORTED, _evidence
from reports.launches import CAUTION
from tests import claim_cases, length_cases
from tests.claim_cases import Made, made, speeds
from tests.report_data import Builder

pytestmark = pytest.mark.usefixtures("launches_show")


def test_a_model_is_compared_by_its_own_name_or_its_best_variant() -> None:
    def variants(builder: Builder) -> None:
        speeds("decode", retnet=100)(builder)
        for label, speed in (("transformer cache=concat", 20), ("transformer cache=static", 50)):
            builder.speed("decode", label, 2048, 4, speed)

    finding = claims.load("inference_throughput").judge(made(variants))
    assert finding is not None
    assert list(finding.table["series"]) == ["retnet", "transformer cache=static"]
    assert ": tokens per second 2 (" in finding.text


def test_every_batch_at_the_longest_context_is_named_and_judged() -> None:
    rows = claim_cases.batches(retnet={1: 140.0, 8: 100.0, 64: 80.0}, transformer=claim_cases.ONE)
    finding = claims.load("inference_throughput").judge(made(rows))
    assert finding is not None
    assert finding.text.startswith("RetNet over Transformer at length 2,048: tokens per second 1.4 (")
    assert re.findall(r"times at batch (\d+)", finding.text) == ["1", "8", "64"]
    assert finding.text.endswith("By batch: supported at 1, mixed at 8 and contradicted at 64.")
    assert finding.short == "RetNet over Transformer: 0.8 to 1.4 times over batches 1 to 64 at length 2,048"
    assert list(finding.table["batch_size"]) == [1, 1, 8, 8, 64, 64]


def test_decoding_is_judged_at_the_shortest_common_context_too() -> None:
    def both(short: float, long: float) -> Made:
        def rows(builder: Builder) -> None:
            for length, speed in ((512, 50.0), (2048, short), (4096, 1.0), (8192, long)):
                speeds("decode", length, retnet=speed)(builder)
                builder.speed("decode", "transformer kv_heads=1", length, 4, 100)

        return rows

    claim = claims.load("inference_throughput")
    for short, long, verdict in ((120, 130, SUPPORTED), (80, 130, MIXED), (130, 80, MIXED), (80, 80, CONTRADICTED)):
        finding = claim.judge(made(both(short, long)))
        assert finding is not None
        assert finding.verdict == verdict
        assert re.findall(r"at length ([\d,]+):", finding.text) == ["2,048", "8,192"]
    finding = claim.judge(made(both(80, 130)))
    assert finding is not None
    assert finding.short == "RetNet over Transformer kv_heads=1: 0.8 times at length 2,048, 1.3 times at length 8,192"
    assert list(finding.table["sequence_length"]) == [2048, 2048, 8192, 8192]


def test_only_a_transformer_whose_heads_share_keys_is_one() -> None:
    finding = claims.load("inference_shared_keys").judge(made(length_cases.sharing({2048: 60, 8192: 150})))
    assert finding is not None
    assert finding.short == "RetNet over Transformer kv_heads=1: 0.6 times at length 2,048, 1.5 times at length 8,192"
    plain = made(speeds("decode", retnet=60, transformer=100))
    assert claims.load("inference_shared_keys").judge(plain) is None


def test_a_variant_that_stands_for_a_model_is_named() -> None:
    def variants(builder: Builder) -> None:
        claim_cases.batches(retnet=claim_cases.ONE)(builder)
        for batch, kv_heads, speed in ((1, 1, 20), (1, 4, 50), (8, 1, 90), (8, 4, 50)):
            builder.speed("decode", f"transformer kv_heads={kv_heads}", 2048, batch, speed)

    finding = claims.load("inference_throughput").judge(made(variants))
    assert finding is not None
    assert finding.text.startswith("RetNet over Transformer (kv_heads=4 at 1 and kv_heads=1 at 8) at length 2,048: ")
    finding = claims.load("inference_latency").judge(made(variants))
    assert finding is not None
    assert finding.text.startswith("RetNet over Transformer kv_heads=4 at length 2,048, batch 1: ")


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


def test_what_a_parallel_form_gains_is_told_beside_what_it_gains_others() -> None:
    def rows(builder: Builder, **more: str) -> None:
        for form, rwkv, retnet in (("recurrent", 10, 20), ("scan", 400, None), ("chunkwise", None, 500)):
            for label, speed in (("rwkv", rwkv), ("retnet", retnet)):
                if speed is not None:
                    builder.speed("training", label, 512, 2, speed, form=form, **more)
        builder.speed("training", "aft", 512, 2, 9, form="chunkwise", **more)

    slow = claims.load("rwkv_parallel").judge(made(rows))
    assert slow is not None
    assert slow.short == "40 times as fast at length 512 (the same of others: RetNet 25)"
    assert slow.text.endswith(" The same of others: RetNet 25.")
    assert set(slow.table["series"]) == {"rwkv"}
    for implementation, program in (("auto", True), ("torch", False)):
        more = claim_cases.REPLAYED | {"option_implementation": implementation}
        quick = claims.load("rwkv_parallel").judge(made(lambda builder, more=more: rows(builder, **more)))
        assert quick is not None
        assert (", a program against steps in torch (the same" in quick.short) == program


def test_a_difference_within_the_margin_decides_nothing() -> None:
    assert _evidence.by_margin(1.11, 1.2, 0.1) == _evidence.by_margin(0.8, 0.89, 0.1, "lower") == SUPPORTED
    assert _evidence.by_margin(0.8, 0.89, 0.1) == _evidence.by_margin(1.11, 1.2, 0.1, "lower") == CONTRADICTED
    for low, high in ((1.05, 1.2), (0.8, 0.95), (1.01, 1.02), (float("nan"), float("nan"))):
        assert _evidence.by_margin(low, high, 0.1) == MIXED
    for name in ("training_throughput", "inference_throughput", "inference_latency", "rwkv_parallel"):
        claim = claims.load(name)
        assert f"more than {_evidence.MARGIN:.0%}" in claim.rule
        assert "over repeats in one process" in claim.rule


def test_a_speed_says_what_its_interval_is_over() -> None:
    finding = claims.load("training_throughput").judge(made(speeds("training", retnet=120, transformer=100)))
    assert finding is not None
    assert finding.text.endswith("interval over repeats in one process.")


def test_costs_are_told_of_each_kind_and_batch_and_who_is_ahead_where() -> None:
    finding = claims.load("retnet_rwkv_speed").judge(made(claim_cases.costs("rwkv", "retnet", 1.0, 3.0, 0.01)))
    assert finding is not None
    for told in ("Training: ", "Prompts: ", "Decoding: ", "State: "):
        assert f"{told}RWKV-4 over RetNet at length 2,048" in finding.text
    told = "RWKV-4 is ahead in decoding at batch 64 and in state; within 10% in training, in prompts and in decoding at"
    assert finding.text.endswith(f"{told} batch 1.")
    assert list(finding.table.columns[:3]) == ["series", "measure", "metric"]
    assert len(finding.table) == 2 * (1 + 1 + 2 + 1)
    assert (
        finding.short
        == "training 1 times, prompts 1 times, decoding 1 to 3 times over batches 1 to 64, state 0.01 times"
    )
    level = claims.load("retnet_linear_speed").judge(made(claim_cases.costs("retnet", "linear_attention")))
    assert level is not None
    assert level.text.endswith(" RetNet is within 10% everywhere.")


def test_a_cost_that_ranks_no_architectures_decides_nothing_beside_one_that_does() -> None:
    more = claim_cases.costs("retnet", "linear_attention", 0.5, state=1.0, graph=claim_cases.LAUNCHED)
    finding = claims.load("retnet_linear_speed").judge(made(more))
    assert finding is not None
    assert finding.verdict == SUPPORTED, "of the state alone"
    assert finding.text.count(CAUTION) == 3


def test_heads_of_another_size_are_named_beside_the_costs() -> None:
    alike = made(claim_cases.costs("retnet", "linear_attention"))
    claim = claims.load("retnet_linear_speed")
    finding = claim.judge(alike)
    assert finding is not None
    assert "Heads" not in finding.text
    alike.points["option.head_size"] = pd.Series(None, index=alike.points.index, dtype=object)
    alike.points.loc[alike.points["model"] == "retnet", "option.head_size"] = "48"
    found = claim.judge(alike)
    assert found is not None
    assert found.text == f"{finding.text} Heads differ in size: RetNet 48 and Linear attention 24."
    assert found.short == f"{finding.short}, heads of 48 against 24"


def test_costs_of_short_sequences_say_nothing() -> None:
    short = made(speeds("decode", 512, retnet=100, linear_attention=100))
    assert claims.load("retnet_linear_speed").judge(short) is None


def test_no_worse_allows_the_margin_on_one_side() -> None:
    assert _evidence.no_worse(0.91, 0.92, 0.1) == _evidence.no_worse(3.0, 4.0, 0.1) == SUPPORTED
    assert _evidence.no_worse(0.8, 0.89, 0.1) == _evidence.no_worse(1.11, 1.2, 0.1, "lower") == CONTRADICTED
    assert _evidence.no_worse(0.89, 0.91, 0.1) == _evidence.no_worse(1.09, 1.11, 0.1, "lower") == MIXED
    assert _evidence.no_worse(0.2, 1.09, 0.1, "lower") == SUPPORTED


def test_what_others_do_beyond_the_training_length_is_told_and_decides_nothing() -> None:
    def falls(builder: Builder) -> None:
        for label, times in (("retnet", 1.0), ("linear_attention", 1.5)):
            for seed in range(3):
                point = builder.language(label, seed, 1e-3, 2.0)
                for row in builder.rows["samples"]:
                    if row["point"] == point and row["length"] == 512 and row["metric"] == "bits_per_byte":
                        row["value"] = (2 + 0.001 * seed) * times

    finding = claims.load("extrapolation").judge(made(falls))
    assert finding is not None
    assert finding.verdict == SUPPORTED
    assert "The same of others: Linear attention +50.07%, contradicted." in finding.text
    assert finding.short == "bits per byte at length 512 against 128: RetNet +0.05%, Linear attention +50.07%"
    assert set(finding.table["series"]) == {"retnet", "linear_attention"}


def test_a_lost_quality_is_told_with_and_without_decay() -> None:
    finding = claims.load("extrapolation_decay").judge(made(length_cases.by_gamma(none=0.5, paper=0.0, single=0.01)))
    assert finding is not None
    assert finding.text.startswith("At length 512 against 128: RetNet gamma=none +50.00% (95% interval ")
    assert (finding.text.count("lost"), finding.text.count("kept")) == (1, 2)
    told = "bits per byte at length 512 against 128: +50.00% without decay, +0.00% to +1.00% with"
    assert finding.short == told
    alone = made(length_cases.by_gamma(paper=0.0, single=0.01))
    assert claims.load("extrapolation_decay").judge(alone) is None


def test_predictions_are_told_in_short_with_their_means() -> None:
    finding = claims.load("multi_scale_decay").judge(made(claim_cases.bits(**claim_cases.DECAYS)))
    assert finding is not None
    assert finding.short == "gamma=torchscale 2.01, gamma=single 2.06, gamma=none 2.11 bits per byte"
