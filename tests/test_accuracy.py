"""Predictions held against results: what is compared with what, and the figure that shows it."""

import dataclasses
import re
import shutil

import pandas as pd
import pytest

from harness import accuracy, cost, hardware, record
from harness.errors import UserError
from reports import figures, rows, sections
from tests.report_data import triangle

CPU = "cpu-intel-xeon-processor-2-cores"


@pytest.fixture(scope="module")
def measured(committed):
    return record.load(committed / "triangle" / CPU)


@pytest.fixture(scope="module")
def lines(measured):
    return pd.DataFrame(accuracy.of(measured))


def test_every_point_that_can_be_predicted_is(lines, measured):
    points = rows.current(measured.points)
    wanted = points[points["measure"].isin(["training", "decode", "memory"]) & (points["status"] == "ok")]
    assert len(lines) == wanted["measure"].map({"training": 2, "decode": 1, "memory": 2}).sum() > 0
    assert set(lines["metric"]) == {"step_ms", "peak_bytes", "token_ms", "peak_resident_bytes", "state_bytes"}


def test_rows_that_were_run_again_count_no_more(lines, measured):
    """Of the same factors the last alone, whatever else their configurations hold."""
    again = measured.points.assign(
        point="again " + measured.points["point"], configuration="other " + measured.points["configuration"]
    )
    samples = measured.samples.assign(point="again " + measured.samples["point"])
    twice = dataclasses.replace(
        measured,
        points=pd.concat([measured.points, again], ignore_index=True),
        samples=pd.concat([measured.samples, samples], ignore_index=True),
    )
    assert pd.DataFrame(accuracy.of(twice)).equals(lines)


def test_a_row_with_an_option_that_its_model_refuses_is_told(measured):
    points = measured.points.assign(**{"option.chunk_size": "0"})
    with pytest.raises(UserError, match=r"^points.csv: point \w{16} of \w+: chunk_size is 0; it must be at least 1; "):
        accuracy.of(dataclasses.replace(measured, points=points))


@pytest.fixture
def some(committed, tmp_path):
    """A folder of results that can be predicted, and a copy of it whose rows have another value width."""
    for name in ("triangle", "wide"):
        shutil.copytree(committed / "triangle" / CPU, tmp_path / name / CPU)
    return tmp_path


def widened(points, value_factor):
    told = points.read_text(encoding="utf-8")
    assert ",1.6875," in told
    points.write_text(told.replace(",1.6875,", f",{value_factor},"), encoding="utf-8")


@pytest.mark.parametrize("value_factor", ["1e308", "-3.0", "wide"])
def test_an_option_that_no_model_has_is_told_by_its_row_and_costs_no_other_folder(some, typed, value_factor):
    path = some / "wide" / CPU / "points.csv"
    widened(path, value_factor)
    code, printed, told = typed("predict", "--results", some)
    assert code == 2
    assert re.match(rf"{path}: point \w{{16}} of retnet: (option\.)?value_factor.*; nothing was changed; ", told), told
    assert len(told.splitlines()) == 1
    assert "Predicted over measured" in printed
    shutil.rmtree(some / "triangle")
    assert typed("predict", "--results", some) == (2, "", told)


def test_a_damaged_folder_costs_no_other_its_predictions(some, typed):
    alone = typed("predict", "--results", some)[1]
    path = some / "wide" / CPU / "points.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",ok,", ",okay,"), encoding="utf-8")
    code, printed, told = typed("predict", "--results", some)
    assert code == 2
    assert told.startswith(f"{path}:2: column status: found 'okay'")
    assert printed.splitlines()[0] == alone.splitlines()[0]
    with pytest.raises(UserError, match="found 'okay'"):
        accuracy.load(some)  # the README's numbers are those of all results, or none


def test_states_are_predicted_exactly(lines):
    states = lines[lines["metric"] == "state_bytes"]
    assert len(states)
    assert (states["predicted"] == states["measured"]).all()


def test_times_and_memory_are_predicted_within_a_factor(lines):
    """Generous, for code changes faster than results: beyond it the cost model has lost touch."""
    told = lines.assign(ratio=lines["predicted"] / lines["measured"])
    assert told.groupby("metric")["ratio"].median().between(0.4, 2.5).all()


def test_a_row_is_predicted_on_its_own_machine(measured):
    results = measured
    twice = results.environments.assign(peak_bytes_per_second=results.environments["peak_bytes_per_second"] * 2)
    here, there = (
        pd.DataFrame(accuracy.of(each)) for each in (results, dataclasses.replace(results, environments=twice))
    )
    faster = there["predicted"] < here["predicted"]
    assert faster[here["metric"].isin(["step_ms", "token_ms"])].all()
    assert not faster[here["metric"] == "state_bytes"].any()


def test_rows_say_what_was_computed(committed):
    results = record.load(committed / "latency_sweep" / CPU)
    rows = results.points[results.points["label"].str.contains("eager")].to_dict("records")
    found = accuracy.job([row for row in rows if row["measure"] == "decode"][-1])
    chosen = found.options
    assert (chosen.implementation, chosen.cache, chosen.kv_heads) == ("eager", "concatenated", None)
    assert (found.batch, found.length, found.dtype, found.form) == (8, 4096, "float32", None)
    gammas = record.load(committed / "gamma_sweep" / CPU).points
    row = gammas[gammas["label"].str.contains(",")].iloc[0].to_dict() | {"batch_size": 1, "sequence_length": 8}
    assert accuracy.job(row).options.gamma == (0.5, 0.9, 0.99, 0.999)
    with pytest.raises(UserError, match=r"of retnet: option.gamma: 'nnoe' is not allowed; allowed is"):
        accuracy.job(row | {"option.gamma": "nnoe"})


def test_the_summary_has_a_line_per_device_metric_and_model(tmp_path, predicted):
    told = predicted
    summary = accuracy.summary(told)
    assert summary["points"].sum() == len(told)
    assert not summary.duplicated(["device", "metric", "model"]).any()
    assert (summary["least"] <= summary["median"]).all()
    assert (summary["median"] <= summary["most"]).all()
    assert accuracy.units()["token_ms"] == "ms"
    with pytest.raises(UserError, match=r"there are no results, .* in it"):
        accuracy.load(tmp_path)


def test_what_is_predicted_is_what_the_cost_model_says(lines, measured):
    results = measured
    row = next(row for row in results.points.to_dict("records") if row["measure"] == "decode")
    machine = hardware.measured(results.environments.iloc[-1].dropna(), "cpu")
    assert accuracy.job(row | {"graph": "true"}).graph
    assert not accuracy.job(row).graph
    expected = 1000 * cost.decode(accuracy.job(row), machine).seconds
    same = lines[(lines["metric"] == "token_ms") & (lines["label"] == row["label"])]
    assert expected in set(same["predicted"])


# The figure ------------------------------------------------------------------------------------------------------


def without(result_set, *columns):
    return dataclasses.replace(result_set, points=result_set.points.drop(columns=list(columns), errors="ignore"))


def test_the_figure_is_left_out_where_nothing_was_predicted():
    both = ("predicted_seconds", "predicted_bytes")
    bare = without(triangle(), *both)
    assert figures.load("prediction").data(bare) is None
    assert sections.figure("prediction", bare, "key") is None
    empty = dataclasses.replace(bare, points=bare.points.assign(**dict.fromkeys(both, float("nan"))))
    assert figures.load("prediction").data(empty) is None
    text = dataclasses.replace(bare, points=bare.points.assign(**dict.fromkeys(both, pd.NA)))
    assert figures.load("prediction").data(text) is None


def test_the_figure_shows_predicted_over_measured():
    whole = triangle()
    exact = whole.points.assign(predicted_seconds=2 * whole.points["seconds"])
    data = figures.load("prediction").data(without(dataclasses.replace(whole, points=exact), "predicted_bytes"))
    assert set(data["quantity"]) == {"seconds"}
    assert (data["predicted_over_measured"] == 2).all()
    failed = set(whole.points.loc[whole.points["status"] != "ok", "point"])
    assert failed
    assert not failed & {point for cell in data["point"] for point in cell.split()}


def test_peak_bytes_are_those_of_the_measure_that_counted_them():
    whole = triangle()
    peaks = whole.samples[whole.samples["metric"].isin(["peak_bytes", "peak_resident_bytes"])]
    told = whole.points.assign(predicted_bytes=whole.points["point"].map(peaks.groupby("point")["value"].median()))
    data = figures.load("prediction").data(dataclasses.replace(whole, points=told))
    found = data[data["quantity"] == "peak bytes"]
    assert set(found["measure"]) == {"training", "memory"}
    assert (found["predicted_over_measured"] == 1).all()
