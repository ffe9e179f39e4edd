"""What the pages say of the harness itself: its error on known work, joules, and how its timing went."""

import ast
import inspect
from typing import Any

import pandas as pd
import pytest

from harness import measures, tables, timing
from reports import figures, packages, provenance, rows, sections, style
from tests.known_data import known
from tests.report_data import Builder, triangle


def test_the_error_of_the_harness_stands_beside_its_bound() -> None:
    figure = figures.load("self_test")
    table = figure.data(known())
    assert table is not None
    told = table.set_index("of")
    assert told["error"].to_dict() == pytest.approx({"time": 0.002, "memory": 0.03})
    assert told["within"].to_dict() == {"time": True, "memory": False}
    assert (told["low"] < told["error"]).all()
    text = figure.text(table)
    assert "time +0.200% (+0.196% to +0.204%), within 1%" in text
    assert "memory +3.000% (+2.940% to +3.060%), beyond 1%" in text


def test_joules_stand_for_each_work_and_model() -> None:
    figure = figures.load("energy")
    table = figure.data(known())
    assert table is not None
    told = table.set_index(["of", "series"])["joules_per_token"]
    assert told["decoding", "retnet"] == pytest.approx(0.22)
    assert told["training", "transformer"] == pytest.approx(0.006)
    text = figure.text(table)
    assert "RetNet 4×128 0.22 (0.2 to 0.24)" in text
    assert "AFT 4×128 failed" in text
    with style.settings():
        made = figure.draw(table, style.looks(table))
    assert [axes.get_title("left") for axes in made.axes] == [
        "decoding, joules per token",
        "training, joules per token",
    ]
    assert all(axes.texts[0].get_text() == "failed" for axes in made.axes)


def test_without_such_rows_there_is_no_such_figure() -> None:
    for name in ("self_test", "energy"):
        assert figures.load(name).data(triangle(models=("retnet",))) is None
    made = Builder()
    made.point("energy", "retnet", "not_applicable", "nothing here counts joules", batch_size=2, sequence_length=64)
    assert sections.figure("energy", made.build(), "key") is None


def test_a_model_whose_forms_disagree_failed_and_its_difference_is_no_number() -> None:
    """The measure yields the differences and fails: of rows that are not ok no sample counts."""
    made = Builder()
    for label, status in (("retnet", "ok"), ("rwkv", "error")):
        point = made.point("forms", label, status, "output 1e-2 (scan)" if status == "error" else None)
        for metric in ("output_difference", "state_difference", "gradient_difference"):
            made.samples(point, metric, [3e-15 if status == "ok" else 1e-2])
    figure = figures.load("forms")
    table = figure.data(made.build())
    assert table is not None
    assert table.loc[table["series"] == "rwkv", "difference"].isna().all()
    assert figure.text(table).endswith("RetNet 3.0e-15; RWKV-4 failed.")
    assert "tolerance" not in table
    with style.settings():
        drawn = figure.draw(table, style.looks(table)).axes[0]
    assert sorted(text.get_text() for text in drawn.texts) == ["failed", "gradient", "output", "state"]


def errors(status: str = "ok", **formats: float) -> Any:
    """RetNet's forms in several formats, so far from float64 in the logits, half and twice that in the others."""
    made = Builder()
    for dtype, error in formats.items():
        point = made.point("forms", "retnet", status if dtype == "bfloat16" else "ok", "by far", dtype=dtype)
        for times, kind in ((1, "output"), (0.5, "state"), (2, "gradient")):
            made.samples(point, f"{kind}_error", [error * times])
            made.samples(point, f"{kind}_difference", [times * 1e-15])
    return made.build()


def test_errors_beside_float64_are_told_in_steps_of_the_format() -> None:
    figure = figures.load("agreement")
    table = figure.data(errors(bfloat16=2**-7, float32=2**-20))
    assert table is not None
    told = table.set_index(["series", "of"])["in_eps"].to_dict()
    assert told["retnet bfloat16", "output"] == 1.0
    assert told["retnet float32", "gradient"] == 16.0
    assert "RetNet bfloat16 1.6e-02 (2.0 eps); RetNet float32 1.9e-06 (16.0 eps)." in figure.text(table)
    with style.settings():
        axes = figure.draw(table, style.looks(table)).axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["RetNet bfloat16", "RetNet float32"]
    assert axes.get_xlabel().endswith("in eps of each format")


def test_the_one_format_of_all_is_told_once_and_what_failed_has_no_number() -> None:
    figure = figures.load("agreement")
    table = figure.data(known())
    assert table is not None
    assert set(table["series"]) == {"aft", "retnet"}
    assert figure.text(table).endswith("in bfloat16: AFT failed; RetNet 1.2e-02 (1.5 eps).")
    with style.settings():
        axes = figure.draw(table, style.looks(table)).axes[0]
    assert axes.get_xlabel() == "error beside float64, in eps of bfloat16"
    assert sorted(text.get_text() for text in axes.texts) == ["failed", "gradient", "output", "state"]
    assert figure.data(triangle(models=("retnet",))) is None


@pytest.mark.parametrize(("largest", "ticks"), [(4.0, ["0.5", "1", "2", "5", "10"]), (4e3, ["1", "10"])])
def test_ticks_of_a_wide_axis_have_room(largest: float, ticks: list[str]) -> None:
    figure = figures.load("agreement")
    table = figure.data(errors(bfloat16=largest / 128 / 2))
    assert table is not None
    table.loc[table["of"] == "state", "in_eps"] = 1.0
    with style.settings():
        axes = figure.draw(table, style.looks(table)).axes[0]
        axes.figure.canvas.draw()
    low, high = axes.get_xlim()
    shown = [tick.get_text() for tick in axes.get_xticklabels() if low <= tick.get_position()[0] <= high]
    assert shown[: len(ticks)] == ticks


def test_forms_are_told_once_whatever_formats_were_timed() -> None:
    """They are compared in float64; one that failed in a shorter format alone keeps what it has there."""
    figure = figures.load("forms")
    for status in ("ok", "error"):
        one = errors(status, bfloat16=0.1, float32=1e-6)
        table = figure.data(one)
        assert table is not None
        assert list(table["series"]) == ["retnet"] * 3
        assert set(" ".join(table["point"]).split()) == set(one.points["point"])
        assert figure.text(table).endswith("RetNet 2.0e-15.")


def test_figures_read_only_what_a_measure_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that none gives would never be drawn, whatever the note says of it."""
    read, real = set(), rows.samples_of

    def spied(result_set: Any, points: pd.DataFrame, metric: str) -> pd.DataFrame:
        read.add(metric)
        return real(result_set, points, metric)

    monkeypatch.setattr(rows, "samples_of", spied)
    for name in packages.names(figures):
        figures.load(name).data(triangle(models=("retnet",)))
    assert len(read) > 10
    assert read <= {metric for name in measures.names() for metric in measures.load(name).metrics}


def test_the_foot_tells_how_timing_ended_and_who_was_throttled() -> None:
    told = provenance.timing(known())
    assert told.startswith("Sampling of 3 timed points ended: 1 by precision and 2 by deadline.")
    assert "Throttled: 2 (thermal)." in told
    assert "Clock after the last sample: 1,900 to 2,100 MHz." in told
    assert "Power" not in told
    assert provenance.timing(triangle(models=("retnet",))) == ""


def test_readings_that_are_equal_are_one_number() -> None:
    made = Builder()
    for label in ("retnet", "rwkv"):
        made.speed("training", label, 64, 2, 9.0, timing_ended="samples", clock_mhz=2600.0, others_share=0.0142)
    told = provenance.timing(made.build())
    assert "Clock after the last sample: 2,600 MHz." in told
    assert told.endswith("Of the processors' time others used 1.4%.")


def test_a_reading_that_was_not_taken_is_not_a_no() -> None:
    made = Builder()
    made.speed("training", "retnet", 64, 2, 9.0, timing_ended="samples")
    assert "Whether the device was throttled was not read." in provenance.timing(made.build())
    made.speed("training", "rwkv", 64, 2, 9.0, timing_ended="seconds", throttled="no")
    told = provenance.timing(made.build())
    assert "1 by seconds and 1 by samples" in told
    assert "None was throttled; of 1 it was not read." in told
    assert "others" not in told
    made.speed("training", "aft", 64, 2, 9.0, timing_ended="seconds", others_share=0.02)
    assert provenance.timing(made.build()).endswith(" others used 2.0%.")
    made.speed("training", "transformer", 64, 2, 9.0, timing_ended="seconds", others_share=0.3)
    assert provenance.timing(made.build()).endswith(" at the median, 30.0% at most; of 1 point more than 10%.")
    told = [each for each in provenance.cautions(made.build()) if each.startswith("Others used")]
    assert len(told) == 1
    assert "while 1 of 2 points was timed, 30% at most (training of Transformer): these times are not" in told[0]
    on_a_gpu = Builder()
    on_a_gpu.speed("training", "aft", 64, 2, 9.0, timing_ended="seconds", others_share=0.3, device="cuda")
    assert not [each for each in provenance.cautions(on_a_gpu.build()) if each.startswith("Others used")]


def test_the_pages_know_every_word_of_the_tables() -> None:
    """The pages read results alone, and so repeat what the harness has."""
    why = ast.walk(ast.parse(inspect.getsource(timing._ended)))
    words = {
        each.value
        for node in why
        if isinstance(node, ast.Return)
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    }
    assert words == set(timing.ENDED) == set(provenance.ENDS)
    assert set(tables.STATUSES) == set(rows.SEVERITY) == set(rows.STATUS_TEXT)
