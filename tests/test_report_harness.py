"""What the pages say of the harness itself: its error on known work, joules, and how its timing went."""

from typing import Any

import pandas as pd
import pytest

from harness import measures
from reports import figures, provenance, rows, sections, style
from tests.report_data import Builder, known, triangle


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


def test_figures_read_only_what_a_measure_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that none gives would never be drawn, whatever the note says of it."""
    read, real = set(), rows.samples_of

    def spied(result_set: Any, points: pd.DataFrame, metric: str) -> pd.DataFrame:
        read.add(metric)
        return real(result_set, points, metric)

    monkeypatch.setattr(rows, "samples_of", spied)
    for name in figures.names():
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
    assert provenance.timing(made.build()).endswith(" others used 2.0% at the median, 2.0% at most.")
    made.speed("training", "transformer", 64, 2, 9.0, timing_ended="seconds", others_share=0.3)
    assert provenance.timing(made.build()).endswith(" at the median, 30.0% at most; of 1 point more than 10%.")
