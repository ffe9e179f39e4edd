"""Sweeps with real processes: whatever happens to a point, the rest go on, and the end says what came of it."""

import dataclasses
import io
import re
import time

import pandas as pd
import pytest
from rich.console import Console

from harness import budget, machine, measures, plan, predict, progress, summary, tables, worker
from harness import sweep as sweeps
from harness.errors import UserError
from harness.point import Training
from harness.writer import Writer
from tests.fakes import Fake, point
from tests.sweeping import counted, statuses

# Points that fail ------------------------------------------------------------------------------------------------


def test_the_sweep_goes_on_whatever_happens_to_a_point(sweep):
    how = ("good", "hogs", "good", "hangs", "segfaults", "declines", "raises", "exits", "good")
    limits = {"hogs": {"limit_bytes": 2**29}, "hangs": {"limit_seconds": 0.5}}
    results, told = sweep(*(point(measure=name, seed=i, **limits.get(name, {})) for i, name in enumerate(how)))
    status = ("ok", "oom", "ok", "timeout", "error", "not_applicable", "error", "error", "ok")
    assert statuses(results) == list(zip(how, status, strict=True))
    reasons = list(results.points["reason"].fillna(""))
    assert [reason == "" for reason in reasons] == [name == "ok" for name in status]
    assert "took longer than 0.5 s" in reasons
    assert (results.points["seconds"] > 0).all()
    good = results.points["status"] == "ok"
    assert (results.points.loc[good, "samples"] == 2).all()
    assert results.points.loc[~good, "samples"].gt(0).any()  # what was measured before it failed
    assert "3 ok, 1 oom, 1 timeout, 3 error, 1 not_applicable" in told
    assert "9 points run, 0 were done before" in told


def test_a_rate_that_diverges_is_told_in_one_line(sweep):
    """A wide grid is to have such rates. What else went wrong is told with its traceback, as a broken value is."""
    settings = Training(16, 4, 1e-3, tokens=500)
    results, told = sweep(
        point(measure="diverges", training=dataclasses.replace(settings, learning_rate=10.0), role="trial"),
        point(measure="good"),
    )
    (line,) = (line for line in told.splitlines() if "diverges" in line and "error" in line)
    assert re.fullmatch(
        r"\[1/2\] error \d+\.\d s  diverges transformer 13 rate 10 seed 0: diverged, the loss at step 3 is nan; "
        "the sweep goes on",
        line,
    ), line
    assert "Traceback" not in told
    assert "said before it diverged" in told
    assert statuses(results) == [("diverges", "error"), ("good", "ok")]
    assert re.fullmatch(
        r"BadValue: the loss at step 3 is nan \(harness/child.py:\d+\)", results.points["reason"].iloc[0]
    )
    for how in ("raises", "invents", "pretends"):
        _, told = sweep(point(measure=how))
        assert "Traceback" in told
        assert "diverged" not in told


def test_a_combination_that_cannot_be_run_is_a_row_without_a_process(sweep):
    results, _ = sweep(point(not_applicable="it has no such option", options={"gamma": None, "gate": True}))
    assert statuses(results) == [("good", "not_applicable")]
    assert results.points["reason"][0] == "it has no such option"
    assert results.points["seconds"].isna().all()


def test_a_model_whose_forms_disagree_gets_no_other_number(sweep):
    broken, sound = {"label": "broken", "width": 48}, {"label": "sound"}
    points = [point(measure="forms", **broken), point(measure="forms", **sound), point(**broken), point(**sound)]
    results, _ = sweep(*points)
    assert statuses(results) == [("forms", "error"), ("forms", "ok"), ("good", "error"), ("good", "ok")]
    assert results.points["reason"][2].startswith(
        "its forms disagree: FormsDisagree: state differs by 0.5 (tests/fakes.py:"
    )
    assert results.samples["point"].nunique() == 2
    again, told = sweep(*points)
    assert again.points.equals(results.points)
    assert "0 points run, 4 were done before" in told


def test_a_model_whose_forms_crash_gets_no_other_number_and_is_not_said_to_disagree(sweep):
    results, _ = sweep(*(point(measure=name, width=width) for width in (40, 56) for name in ("forms", "good")))
    assert results.points["reason"][1].startswith("its forms could not be compared: NameError: name 'foo' is not")
    assert results.points["reason"][3].startswith("its forms could not be compared: FormsDisagreement: it only sounds")


def test_of_forms_that_were_compared_by_an_earlier_run_the_row_tells_whether_they_disagree(sweep):
    """The next run knows no more of them than their rows."""
    entries = {"label": "broken", "width": 48}, {"width": 40}, {"width": 56}
    sweep(*(point(measure="forms", **entry) for entry in entries))
    results, told = sweep(*(point(measure=name, **entry) for entry in entries for name in ("forms", "good")))
    assert "3 points run, 3 were done before" in told
    reasons = [reason.partition(" (")[0] for reason in results.points["reason"][3:]]
    assert reasons == [
        "its forms disagree: FormsDisagree: state differs by 0.5",
        "its forms could not be compared: NameError: name 'foo' is not defined",
        "its forms could not be compared: FormsDisagreement: it only sounds like it",
    ]


def test_a_model_is_measured_once_its_forms_agree(sweep, monkeypatch):
    points, real = [point(measure="forms", label="broken"), point(label="broken")], sweeps.code_hash
    before, _ = sweep(*points)
    monkeypatch.setattr(sweeps, "code_hash", lambda model, name: "f" * 16 if name == "forms" else real(model, name))
    monkeypatch.setattr(measures, "load", lambda name: Fake("good"))
    results, _ = sweep(*points)
    assert statuses(before) == [("forms", "error"), ("good", "error")]
    assert statuses(results)[2:] == [("forms", "ok"), ("good", "ok")]
    monkeypatch.setattr(sweeps, "code_hash", lambda model, name: "e" * 16 if name == "forms" else real(model, name))
    monkeypatch.setattr(measures, "load", Fake)
    results, _ = sweep(*points)
    assert statuses(results)[4:] == [("forms", "error"), ("good", "error")]


def trial(rate, **changed):
    training = Training(sequence_length=64, batch_size=2, learning_rate=rate, tokens=1000)
    return point(training=training, role="trial", **changed)


def test_the_other_seeds_train_with_the_best_trial_s_rate(sweep):
    rates = (1e-3, 2e-3, 4e-3)  # the fake is best at 2e-3
    points = [trial(rate, label=label, width=width) for rate in rates for label, width in (("a", 24), ("b", 48))]
    points += [trial(rate, measure="halfway", label="c") for rate in rates]
    results, told = sweep(*points, seeds=(0, 5, 7))
    later = results.points[results.points["role"] == "chosen"]
    assert sorted(zip(later["label"], later["seed"], strict=True)) == [("a", 5), ("a", 7), ("b", 5), ("b", 7)]
    assert set(later["learning_rate"]) == {2e-3}
    assert set(later["training_tokens"]) == {7}
    assert set(later["training_flops"]) == {budget.flops_of(trial(2e-3, width=w), 7) for w in (24, 48)}
    assert len(results.points) == 9 + 4
    again, told = sweep(*points, seeds=(0, 5, 7))
    assert "0 points run, 13 were done before" in told
    assert again.points.equals(results.points)


def test_a_row_says_how_its_model_was_trained(sweep):
    made = trial(2e-3)
    results, _ = sweep(dataclasses.replace(made, training=dataclasses.replace(made.training, clip=0.5, autocast=True)))
    told = results.points.iloc[0][list(tables.TRAINED)].to_dict()
    assert told == {
        "schedule": "cosine",
        "final_rate": 0.1,
        "warmup": 0.1,
        "betas": "0.9,0.95",
        "weight_decay": 0.1,
        "clip": 0.5,
        "accumulate": 1,
        "autocast": "true",
    }
    results, _ = sweep(point(seed=1))
    assert results.points.iloc[1][list(tables.TRAINED)].isna().all(), "of what trains nothing"


def test_a_seed_that_is_kept_alone_waits_for_its_trials(sweep):
    points = [trial(rate) for rate in (1e-3, 2e-3)]
    results, _ = sweep(*points, seeds=(0, 5, 7), kept=[7])
    assert list(results.points["role"]) == ["trial", "trial", "chosen"]
    assert list(results.points["seed"]) == [0, 0, 7]
    assert results.settings["seeds"] == [0, 5, 7], "what was asked, whatever was kept of it"
    _, told = sweep(*points, seeds=(0, 5, 7))
    assert "1 point run, 3 were done before" in told


# Before and after --------------------------------------------------------------------------------------------------


def test_a_place_that_cannot_be_written_is_said_before_anything_runs(sweep, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    into = tmp_path / "counts"
    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        sweep(*counted(into), out=tmp_path / "file")
    assert not into.exists()


def test_a_second_run_into_the_same_folder_is_refused(sweep, tmp_path):
    into = tmp_path / "counts"
    results, _ = sweep(*counted(into, 1))
    with Writer(tmp_path / "tried" / results.device), pytest.raises(UserError, match="another run, process"):
        sweep(*counted(into, 2))
    assert into.read_text().split() == ["0"]


def test_the_folder_says_what_was_asked(sweep, environment, tmp_path):
    results, told = sweep(point(), seeds=(0, 3))
    assert results.question == "Is it so?"
    assert results.settings["seeds"] == [0, 3]
    assert results.device == machine.slug(environment, "cpu")
    assert f"python -m harness report --results {tmp_path} --out {tmp_path / 'pages'}" in told
    assert "[1/1] ok" in told
    assert "0.333" in told.splitlines()[-3]  # the fake's sample that is no part of another


def test_the_time_left_scales_what_was_predicted_by_what_was_measured(monkeypatch):
    cost = {"good": 2.0, "counts": 10.0}
    monkeypatch.setattr(predict, "seconds", lambda point: cost[point.measure])
    good, counts = point(), point(measure="counts")
    told = progress.Bar(Console(file=io.StringIO()), [good, good, good, counts, counts])
    assert told.seconds_left() is None
    told.end(good, worker.Outcome("ok", "", 6.0))
    assert told.seconds_left() == 3 * (2 + 2 + 10 + 10)  # as slow as the one that was measured
    told.end(counts, worker.Outcome("ok", "", 5.0))
    assert told.seconds_left() == 3 * (2 + 2) + 0.5 * 10
    told.end(good, None)  # it was done before
    told.replace([good], [counts, counts])
    assert (told.seconds_left(), told.total, told.done) == (0.5 * 30, 6, 3)


def test_what_a_point_prints_is_told_once(sweep):
    _, told = sweep(point(measure="prints"), point(measure="prints", seed=1))
    assert told.count("said by a native library") == 1


def test_a_point_that_does_nothing_costs_half_a_second_at_most(sweep, monkeypatch):
    took, real = [], sweeps.Sweep.run

    def timed(self, point):
        began = time.monotonic()
        outcome = real(self, point)
        took.append(time.monotonic() - began)
        return outcome

    monkeypatch.setattr(sweeps.Sweep, "run", timed)
    sweep(*(point(seed=i) for i in range(6)))
    assert min(took) < 0.5


def test_the_table_at_the_end_shows_what_the_best_rate_gave():
    rows = pd.DataFrame(
        {"point": list("abc"), "role": ["trial", "trial", "chosen"], "learning_rate": [1e-3, 2e-3, 2e-3]}
    )
    samples = pd.DataFrame({"point": ["a", "b"], "metric": plan.TUNED_BY, "value": [7.0, 6.0]})
    assert list(summary._tuned(samples, rows)["point"]) == ["b", "c"]
    assert list(summary._tuned(samples[:0], rows)["point"]) == ["a", "b", "c"]


def test_the_table_at_the_end_counts_no_point_twice(sweep):
    """Of the same factors the last row that is asked for, not one of other settings that ran since."""
    for asked in ([point(), point(ffn_width=21)], [point()]):
        assert "1 ok" in sweep(*asked)[1].splitlines()[-3]


def test_the_table_at_the_end_shows_one_number_per_point(sweep):
    """Of a point's values at several lengths, and of parts of them, the one at the length that it was trained on."""
    _, told = sweep(trial(1e-3, measure="lengths"))
    assert told.splitlines()[-3].split() == ["transformer", "1", "ok", "2.5"]
