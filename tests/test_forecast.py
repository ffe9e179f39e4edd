"""`python -m harness predict` as people type it: sizes, tables, and what is told of a mistake."""

import dataclasses

import pytest

import models
from harness import budget, cost, forecast, hardware, options, sizes
from harness.errors import UserError
from harness.forecast import Request

NUMBERS = {"parameters": "6.7B", "length": "8192", "batch": "8", "devices": "1", "tensor-parallel": "1"}
NUMBERS |= dict.fromkeys(("layers", "width", "heads", "vocabulary"))


def request(*names, given=(), form=None, dtype="bfloat16", **numbers):
    told = NUMBERS | {key.replace("_", "-"): value for key, value in numbers.items()}
    return Request(list(names) or ["retnet"], told, dtype, form, "h200", list(given))


def job(*names, **more):
    return forecast.job(request(*names, **more), names[0])


# Sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", sizes.PUBLISHED, ids=str)
@pytest.mark.parametrize("name", models.names())
def test_every_published_count_is_met_by_every_model(name, count):
    chosen = options.build(name, {})
    shape = sizes.shape(sizes.Asked(count), name, chosen)
    assert abs(models.load(name).parameters_count(shape, chosen) / count - 1) <= budget.MOST
    assert (shape.layers, shape.width, shape.heads) == sizes.PUBLISHED[count]
    assert shape.width // shape.heads == sizes.HEAD_SIZE


def test_the_papers_sizes_come_out_as_published():
    """Table 2: feed-forwards of 4096, 5120 and 8192; 32000 token kinds make up for some of it."""
    chosen = options.build("retnet", options.resolve("retnet", {"preset": "paper"}))
    for count, ffn_width in ((1.3e9, 4096), (2.7e9, 5120), (6.7e9, 8192)):
        assert sizes.shape(sizes.Asked(int(count)), "retnet", chosen).ffn_width == pytest.approx(ffn_width, rel=0.12)


def test_sizes_can_be_given_one_by_one():
    shape = job("aft", parameters=None, layers="3", width="512").shape
    assert (shape.layers, shape.width, shape.heads, shape.ffn_width) == (3, 512, 2, 1365)
    shape = job("aft", parameters="40M", layers="3", width="512", heads="4", vocabulary="10k", length="1M").shape
    assert (shape.heads, shape.vocabulary, shape.max_length) == (4, 10_000, 1_000_001)
    assert job("retnet", heads="32").shape.heads == 32


def test_devices_and_switches_reach_the_job():
    found = job("retnet", devices="16", tensor_parallel="8", batch="6")
    assert (found.devices, found.tensor_parallel, found.replicas, found.sequences) == (16, 8, 2, 3)


# Mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"parameters": "7.5B"}, "--parameters 7.5B: there is no published size near it; allowed are 125M, 350M"),
        ({"parameters": None}, "no size is given; give --parameters, such as one of 125M"),
        ({"parameters": "lots"}, "--parameters: 'lots' is not a number"),
        ({"length": "0"}, "--length: 0 is out of range; allowed is 1 to 16,777,216"),
        ({"vocabulary": "1"}, "--vocabulary: 1 is out of range; allowed is 2 to 1,048,576"),
        ({"layers": "1e18", "width": "1e18"}, "--layers: 1e18 is out of range; allowed is 1 to 512"),
        ({"parameters": "1e30"}, "--parameters: 1e30 is out of range; allowed is 1 to 10,000,000,000,000"),
        ({"devices": "1e12", "tensor_parallel": "3"}, "--devices: 1e12 is out of range; allowed is 1 to 1,048,576"),
        ({"heads": "3"}, "retnet: heads is 3, which does not divide the width 4096"),
        ({"layers": "500"}, "retnet: no feed-forward width gives 6.7B parameters within 1%"),
        ({"form": "scan"}, "--form: retnet: unknown form 'scan'; allowed are parallel, chunkwise, recurrent"),
        ({"given": ["gamma="]}, "--set gamma=: there is no value; write --set gamma=null"),
        ({"given": ["gamma=singel"]}, "--set gamma: retnet: 'singel' is not allowed"),
        ({"given": ["value_factor=1e308"]}, "--set value_factor: retnet: 1e+308 is out of range; allowed is -1e+12 to"),
        ({"devices": "6", "tensor_parallel": "4"}, "--tensor-parallel 4 does not divide 6 devices; allowed are 1, 2"),
        ({"tensor_parallel": "3"}, "--tensor-parallel 3 does not divide 1 device; allowed are 1"),
        ({"devices": "32", "tensor_parallel": "32"}, "--tensor-parallel 32 does not divide retnet's 16 heads"),
        ({"devices": "3"}, "--batch 8 does not divide among 3 replicas; make it a multiple"),
        ({"devices": "64", "batch": "3"}, "--batch 3 does not divide among 64 replicas; make it a multiple"),
        (
            {"devices": "16", "batch": "6"},
            "--batch 6 does not divide among 16 replicas; make it a multiple, or --tensor-parallel one of 8, 16",
        ),
    ],
)
def test_what_does_not_fit_is_told(more, told):
    with pytest.raises(UserError) as caught:
        job("retnet", **more)
    assert str(caught.value).startswith(told)
    assert "raise --tensor-parallel" not in str(caught.value), "to a number that the heads may not allow"


def test_mistakes_end_with_2_and_no_traceback(refused):
    size = ("--parameters", "125M")
    assert "unknown model 'retnt'; allowed are" in refused("predict", "retnt", *size)
    assert "unknown machine 'h20'" in refused("predict", "retnet", *size, "--machine", "h20")
    described = refused("predict", "retnet", *size, "--machine", "harness/machines/h200.yaml")
    assert described.rstrip().endswith("did you mean 'h200'?")
    assert "unknown dtype 'bf16'" in refused("predict", "retnet", *size, "--dtype", "bf16")
    assert "write it as key=value" in refused("predict", "retnet", *size, "--set", "gamma")


def test_a_call_without_a_model_or_with_too_many_wishes_is_told(typed, tmp_path):
    assert typed("predict")[0] == 2
    assert "no model is given; name some of aft" in typed("predict")[2]
    assert "leave the models out" in typed("predict", "retnet", "--results", tmp_path)[2]
    assert f"{tmp_path}: there are no results" in typed("predict", "--results", tmp_path)[2]
    assert "the name of a folder is empty" in typed("predict", "--results", "")[2]
    beside = typed("predict", "--results", tmp_path, "--machine", "h200", "--length", "2048", "--graph")
    assert beside[0] == 2
    assert "leave out --machine, --length, --graph" in beside[2]
    asked = ("predict", "aft", "retnet", "--parameters", "125M", "--set", "kv_heads=2")
    assert "--set kv_heads: unknown option of aft, retnet 'kv_heads'" in typed(*asked)[2]


# Tables ----------------------------------------------------------------------------------------------------------


def test_models_stand_side_by_side(typed):
    flags = ("--parameters", "6.7B", "--machine", "h200", "--length", "8192", "--batch", "8", "--set", "preset=paper")
    code, printed, _ = typed("predict", "retnet", "transformer", *flags)
    assert code == 0
    rows = [line.split() for line in printed.splitlines()]
    decoded = [row for row in rows if row[:1] == ["decode"]]
    assert [row[1] for row in decoded[:2]] == ["retnet", "transformer"]
    assert {"retnet", "6.7B", "8192", "preset=paper"} <= {cell for row in rows for cell in row}
    assert "4.06 ms" in printed
    assert "launches" in decoded[0]
    assert [row[-1] for row in rows if row[:2] == ["training", "retnet"]][-1] == "no"
    assert [row[-1] for row in rows if row[:2] == ["prefill", "retnet"]][-1] == "yes"
    assert "data sheet of the H200" in " ".join(printed.split())


def test_this_machine_is_the_default_and_can_be_measured(typed, monkeypatch):
    flags = ("predict", "retnet", "--layers", "2", "--width", "64", "--heads", "2", "--dtype", "float32")
    assert hardware.here("cpu").title in typed(*flags)[1]
    plain = hardware.here("cpu").model_copy(update={"title": "just measured"})
    monkeypatch.setattr(hardware, "measured_here", lambda device: plain)
    assert "just measured" in typed(*flags, "--machine", "measured")[1]


def test_the_measured_machine_is_this_one():
    found = hardware.measured_here("cpu")
    assert found.achieved.flops == 1
    assert 1e9 < found.flops("float32") < 1e14
    assert 1e8 < found.bandwidth < 1e13


def test_phases_are_grouped_and_times_are_readable():
    found = {name: cost.phases(job(name), hardware.load("h200")) for name in ("retnet", "aft")}
    grouped = [(phase.title, name) for name, phase in forecast._by_phase(found)]
    assert grouped == [(title, name) for title in ("training", "prefill", "decode") for name in ("retnet", "aft")]
    told = [forecast.tell_time(seconds) for seconds in (4000.0, 0.0123, 4.06e-6, 2e-7, 0.0)]
    assert told == ["4e+03 s", "12.3 ms", "4.06 µs", "0.2 µs", "0"]


def test_recomputing_is_asked_for_once():
    asked = dataclasses.replace(request(given=["recompute=false"]), recompute=True)
    with pytest.raises(UserError, match=r"--recompute and --set recompute=\.\.\. say the same; leave one out"):
        forecast.job(asked, "retnet")
