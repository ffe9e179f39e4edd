"""How near its floor a time is, and which times are of launches and of no architecture."""

import numpy as np
import pytest

from harness import record
from reports import rows
from reports.figures import training_floor
from tests.report_data import Builder
from tests.tree import ROOT

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


def test_work_too_long_to_wait_for_launches_is_not_of_launches() -> None:
    """By what a layer takes: two layers of 3 ms each hide what two of 1 ms cannot."""
    made = Builder()
    for label, per_second in (("retnet", 2 / 6e-3), ("rwkv", 2 / 2e-3)):
        made.speed("decode", label, 64, 2, per_second, device="cuda", graph="false", layers=2)
    made.point("memory", "retnet", device="cuda")
    one = made.build()
    assert list(rows.launches(one, one.points)) == [False, True, False]
    assert rows.launched(one, one.points) == f"Decode of rwkv was {rows.LAUNCHES}"


def test_no_committed_time_is_less_than_its_floor() -> None:
    """But for decoding, which only reads: a copy, whose bandwidth sets the floor, is a few per cent slower."""
    found = [(one, measure) for one in record.load_all(ROOT / "results") for measure in set(one.points["measure"])]
    tables = [(measure, rows.floor(one, measure)) for one, measure in found if measure in MEASURES_WITH_FLOORS]
    assert {measure for measure, table in tables if table is not None} == set(MEASURES_WITH_FLOORS)
    for measure, table in tables:
        if table is not None:
            assert table[rows.SHARE].max() < (1.1 if measure in ("decode", "largest_batch") else 1.0), measure
