"""How near its floor a time is, what is told of one below it, and which times are of launches, not architectures."""

from typing import Any

import numpy as np
import pytest

from reports import floors, launches, pages, provenance, rows, sections
from reports.figures import training_floor
from tests.report_data import Builder, ResultSet, hexed, triangle

MEASURES_WITH_FLOORS = ("decode", "largest_batch", "operation", "prefill", "training")


def test_training_is_a_share_of_what_the_machine_reaches() -> None:
    made = Builder()
    made.speed("training", "retnet", 64, 2, 5e4, repeats=1)
    made.speed("training", "retnet", 128, 2, 5e4, repeats=1)
    table = training_floor.Figure().data(made.build())
    assert table is not None
    shares = 2.4e6 * 5e4 * (1 + 0.02 * np.sin([64, 128])) / 1.5e11
    assert list(table["share_of_floor"]) == pytest.approx(list(shares))
    made.speed("training", "retnet", 64, 2, 5e4, repeats=1, dtype="bfloat16")
    made.speed("training", "retnet", 64, 2, 5e4, repeats=1, dtype="float64")
    table = training_floor.Figure().data(made.build())
    assert table is not None
    told = dict(zip(table["dtype"] + table["sequence_length"].astype(str), table["share_of_floor"], strict=True))
    assert told["bfloat1664"] == pytest.approx(shares[0] / 4)  # its own peak is four times that of float32
    assert "float6464" not in told  # no peak is measured for it: no number rather than a wrong one


def test_the_higher_floor_counts_and_each_repeat_for_itself() -> None:
    made = Builder()
    for batch in (1, 2):  # memory is the longer at one, products at two
        point = made.point("prefill", "retnet", sequence_length=64, batch_size=batch)
        made.samples(point, "bytes_per_second", [1e10 / batch, 1.2e10 / batch, 1.1e10 / batch])
        made.samples(point, "flops_per_second", [1.5e10 * batch**2 for _ in range(3)])
    made.point("prefill", "retnet", "oom", "no room", sequence_length=128, batch_size=2)
    table = rows.floor(made.build(), "prefill")
    assert table is not None
    told = table.set_index(["sequence_length", "batch_size"])["share_of_floor"]
    assert told[64, 1] == pytest.approx(1.1e10 / 2e10)
    assert told[64, 2] == pytest.approx(6e10 / 1.5e11)
    assert np.isnan(told[128, 2])
    assert list(table["repeats"]) == [3, 3, 0]
    assert rows.floor(made.build(), "decode") is None


def too_quick(measure: str, metric: str, *values: float, peak: float) -> ResultSet:
    """A row of a model for each share of the floor, at lengths that double."""
    made = Builder()
    for place, value in enumerate(values):
        point = made.point(measure, "retnet", sequence_length=64 * 2**place, batch_size=3)
        made.samples(point, metric, [value * peak, 1.01 * value * peak, 0.99 * value * peak])
    made.point(measure, "rwkv", "oom", "no room", sequence_length=64, batch_size=3)
    return made.build()


def test_a_time_below_its_floor_is_told_with_what_it_means_and_the_remedy() -> None:
    one = too_quick("training", "flops_per_second", 0.97, 1.2, 1.536, 1.05, peak=1.5e11)
    told = floors.caution(one)
    assert told == (
        "Times below their floor, which none can be: 3 of 4 in training, with a share of up to 1.54 (RetNet at batch "
        "3, length 256). Either the best peaks of cpu-made-up were measured too low, as where something else computed "
        "meanwhile, and all shares of the floor that they give are too large; or what these points need is counted too "
        "high. Run these points again with --fresh on a machine at rest, which "
        "measures its peaks anew: what is still below its floor is counted too high."
    )
    assert told in provenance.cautions(one)
    drawn = sections.figure("training_floor", one, "key")
    assert drawn is not None
    assert drawn.note.endswith(told)


@pytest.mark.parametrize("measure", ["decode", "largest_batch"])
def test_what_only_reads_may_pass_the_bandwidth_of_a_copy_by_some_per_cent(measure: str) -> None:
    assert floors.caution(too_quick(measure, "bytes_per_second", 1.09, 0.5, peak=2e10)) == ""
    told = floors.caution(too_quick(measure, "bytes_per_second", 1.09, 1.11, peak=2e10))
    assert f"1 of 2 in {measure.replace('_', ' ')}, with a share of up to 1.11" in told
    assert floors.caution(too_quick("prefill", "bytes_per_second", 1.09, 0.5, peak=2e10)) != ""


def test_a_figure_tells_of_its_own_measure_and_a_page_of_all() -> None:
    made = Builder()
    for measure, per_second in (("training", 1e5), ("prefill", 3e5)):
        made.speed(measure, "retnet", 64, 2, per_second, repeats=1)
        made.speed(measure, "retnet", 128, 2, 100.0, repeats=1)
    one = made.build()
    told = "1 of 2 in prefill, with a share of up to 1.63 (RetNet at batch 2, length 64); 1 of 2 in training, with"
    assert told in " ".join(provenance.cautions(one))
    drawn = {name: sections.figure(name, one, "key") for name in ("training_floor", "prefill_floor")}
    notes = {name: made.note for name, made in drawn.items() if made is not None}
    assert "in prefill" in notes["prefill_floor"]
    assert "in training" not in notes["prefill_floor"]
    assert "in training, with a share of up to" in notes["training_floor"]


def test_only_devices_of_such_rows_are_named() -> None:
    made = Builder()
    other = hexed("another")
    changed = {"environment": other, "device_name": "another"}
    made.rows["environments"] = [made._environment(), made._environment() | changed]
    made.speed("training", "retnet", 64, 2, 1e5, repeats=1, environment=other)
    made.speed("training", "rwkv", 64, 2, 10.0, repeats=1)
    made.point("training", "retnet", "oom", "no room", sequence_length=64, batch_size=2, seed=1)
    assert "Either the best peaks of another were measured too low" in floors.caution(made.build())
    made.speed("training", "aft", 64, 2, 1e5, repeats=1)
    assert "Either the best peaks of another and cpu-made-up were measured too low" in floors.caution(made.build())


@pytest.mark.parametrize(("device", "share"), [("cpu-made-up", 0.5), ("another", 2.0)])
def test_shares_of_one_device_are_over_one_peak_the_best(device: str, share: float) -> None:
    """Over its own peak, the run under a cap would seem to come nearer the floor than the same time without one."""
    made = Builder()
    capped, best = hexed("capped"), hexed("best")
    low = {"environment": capped, "device_name": device, "peak_flops": 1e11, "peak_bytes_per_second": 3e10}
    high = {"environment": best, "peak_flops": 4e11, "peak_bytes_per_second": 2e10}
    made.rows["environments"] = [made._environment() | low, made._environment() | high]
    for label, where in (("retnet", capped), ("rwkv", best)):
        made.samples(made.point("training", label, environment=where), "flops_per_second", [2e11])
    table = rows.floor(made.build(), "training")
    assert table is not None
    assert dict(zip(table["series"], table["share_of_floor"], strict=True)) == {"retnet": share, "rwkv": 0.5}
    made.samples(made.point("decode", "retnet", environment=best), "bytes_per_second", [1.5e10])
    table = rows.floor(made.build(), "decode")
    assert table is not None
    assert list(table["share_of_floor"]) == [0.5 if device == "cpu-made-up" else 0.75]
    note = training_floor.Figure().note
    assert "the best that any run of this page measured on a device of this name" in note


def test_a_best_peak_is_shown_though_no_row_beside_it_has_a_share() -> None:
    made = Builder()
    best = hexed("best")
    made.rows["environments"] = [made._environment(), made._environment() | {"environment": best, "peak_flops": 4e11}]
    made.speed("training", "retnet", 64, 2, 100.0, repeats=1)
    made.samples(made.point("memory", "retnet", environment=best), "state_bytes", [4096])
    assert floors.environments(made.build()) == {made.environment, best}
    assert provenance.peaks(made.build()) == ""


def test_peaks_are_shown_where_a_share_of_the_floor_rests_on_them() -> None:
    """Of points that are not timed, or that have no rate, they may have been measured while others computed."""
    made, busy, failed = Builder(), hexed("busy"), hexed("failed")
    low = {"peak_flops": 7.8e9, "peak_bytes_per_second": 1e9}
    made.rows["environments"] = [made._environment() | {"environment": busy} | low, made._environment()]
    made.rows["environments"].append(made._environment() | {"environment": failed} | low)
    made.speed("training", "retnet", 64, 2, 100.0, repeats=1)
    made.point("training", "rwkv", "oom", "no room", sequence_length=64, batch_size=2, environment=failed)
    made.point("training", "retnet", "oom", "no room", sequence_length=64, batch_size=2, environment=failed, seed=1)
    made.speed("training", "retnet", 64, 2, 100.0, repeats=1, environment=failed, dtype="float64")  # without a peak
    made.point("training", "retnet", "oom", "no room", sequence_length=64, batch_size=2, dtype="float64", seed=1)
    alone = made.build()
    assert floors.environments(alone) == {made.environment}
    made.samples(made.point("memory", "retnet", environment=busy), "state_bytes", [4096])
    one = made.build()
    shown = provenance.table(one)
    lines = {line[0]: dict(zip(shown.head[1:], line[1:], strict=True)) for line in shown.body}
    assert lines["peak_flops"] == {made.environment: "150,000,000,000", busy: "", failed: ""}
    assert lines["peak_bytes_per_second"][busy] == "" != lines["commit"][busy]
    assert provenance.peaks(one).startswith("The peaks of 2 environments are not shown, for no share of the floor")
    site = {"experiments": {}, "lacking": []}
    (page,) = (text for name, text in pages._experiments([one], site, {}, None).items() if "triangle" in name)
    assert str(provenance.peaks(one)) in page


def test_peaks_that_all_count_need_no_word() -> None:
    made = Builder()
    made.speed("training", "retnet", 64, 2, 100.0, repeats=1)
    assert provenance.peaks(made.build()) == provenance.peaks(Builder().build()) == ""


def test_floors_are_computed_once_for_a_figure_and_what_is_told_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    computed, medians = [], rows._medians
    monkeypatch.setattr(rows, "_medians", lambda *told: computed.append(told[2]) or medians(*told))
    one = rows.View(too_quick("training", "flops_per_second", 0.97, 1.2, peak=1.5e11))
    assert floors.caution(one) in provenance.cautions(one)
    drawn = sections.figure("training_floor", one, "key")
    assert drawn is not None
    assert drawn.note.endswith(floors.caution(one, "training"))
    assert provenance.table(one).body
    assert computed == [rows.SHARE]


def test_times_above_their_floor_need_no_word() -> None:
    assert floors.caution(triangle()) == ""
    assert floors.caution(Builder().build()) == ""
    assert floors.caution(too_quick("training", "flops_per_second", 0.97, 0.2, peak=1.5e11)) == ""


def test_a_row_that_was_run_again_is_told_no_more() -> None:
    made = Builder()
    made.speed("training", "retnet", 64, 2, 1e5, repeats=1)
    assert floors.caution(made.build()) != ""
    again = made.point("training", "retnet", sequence_length=64, batch_size=2, finished="2026-02-02T03:04:05Z")
    made.samples(again, "flops_per_second", [1e11])
    assert floors.caution(made.build()) == ""


def test_work_too_long_to_wait_for_launches_is_not_of_launches() -> None:
    """By what a layer takes: two layers of 3 ms each hide what two of 1 ms cannot."""
    made = Builder()
    for label, per_second in (("retnet", 2 / 6e-3), ("rwkv", 2 / 2e-3)):
        made.speed("decode", label, 64, 2, per_second, device="cuda", graph="false", layers=2)
    made.point("memory", "retnet", device="cuda")
    one = made.build()
    assert list(launches.of_launches(one, one.points)) == [False, True, False]
    assert launches.told(one, one.points) == f"Decode of rwkv was {launches.CAUTION}"


def test_no_committed_time_is_less_than_its_floor(whole: list[Any]) -> None:
    """But for decoding, which only reads: a copy, whose bandwidth sets the floor, is a few per cent slower."""
    found = [(one, measure) for one in map(rows.View, whole) for measure in set(one.points["measure"])]
    tables = [(measure, rows.floor(one, measure)) for one, measure in found if measure in MEASURES_WITH_FLOORS]
    assert {measure for measure, table in tables if table is not None} == set(MEASURES_WITH_FLOORS)
    for measure, table in tables:
        if table is not None:
            assert table[rows.SHARE].max() < (1.1 if measure in ("decode", "largest_batch") else 1.0), measure
    assert {floors.caution(one) for one, _ in found} == {""}
