"""The triangle: its formula on numbers that one can check by hand, what is passed over, and gaps that stay gaps."""

import numpy as np
import pytest

from reports import corners, launches, provenance, readme, rows, sections, style, tradeoffs, wording
from reports import triangle as picture
from tests.report_data import ENTROPY, Builder

pytestmark = pytest.mark.usefixtures("launches_show")


def test_only_one_shape_is_compared() -> None:
    made = Builder()
    made.speed("training", "rwkv", 64, 2, 900.0, width=32)
    for label in ("retnet", "rwkv"):
        made.speed("training", label, 64, 2, 100.0)
        made.speed("decode", label, 64, 2, 10.0)
        made.language(label, 0, 1e-3, 2.0)
    found = corners.measure(made.build())
    assert found is not None
    assert list(found.table["training_ratio"]) == [1.0, 1.0]
    table = rows.summary(made.build(), "training", "tokens_per_second")
    assert table is not None
    assert set(table["series"]) == {"retnet width=96", "rwkv width=32", "rwkv width=96"}


def corner_set(experiment: str = "triangle") -> Builder:
    """RetNet trains twice as fast, RWKV decodes twice as fast; they gain 2 and 1 of 4.375 bits."""
    made = Builder(experiment)
    for label, train, decode, bits in (("retnet", 100.0, 40.0, 2.375), ("rwkv", 50.0, 80.0, 3.375)):
        made.speed("training", label, 64, 2, train, repeats=3)
        made.speed("decode", label, 32, 4, decode, repeats=3, state_bytes=1000)
        for seed in range(3):
            made.language(label, seed, 1e-3, bits)
    return made


def test_corners_are_ratios_to_the_best() -> None:
    found = corners.measure(corner_set().build())
    assert found is not None
    table = found.table.set_index("series")
    for name, ratios in {"training": (1, 0.5), "decode": (0.5, 1), "quality": (1, 0.5), "weakest": (0.5, 0.5)}.items():
        column = name if name == "weakest" else f"{name}_ratio"
        assert tuple(table.loc[["retnet", "rwkv"], column]) == pytest.approx(ratios), name
    assert table.loc["retnet", "order0_entropy"] == ENTROPY
    assert table.loc["retnet", "state_bytes"] == 1000
    assert table.loc["retnet", "quality_low"] == table.loc["retnet", "quality_high"] == 2.375


def on_cuda(graph: str, measure: str = "decode") -> Builder:
    made = corner_set()
    for row in made.rows["points"]:
        if row["measure"] == measure:
            row |= {"device": "cuda", "graph": graph}
    return made


@pytest.mark.parametrize(
    ("measure", "sides"),
    [("decode", ["key-decode-quality", "key-training-decode"]), ("training", ["key-training-quality"])],
)
def test_a_corner_says_where_it_is_of_launches(measure: str, sides: list[str]) -> None:
    launched, replayed = (corners.measure(on_cuda(graph, measure).build()) for graph in ("false", "true"))
    assert launched is not None
    assert launched.cautions == {measure: f"{measure.capitalize()} was {launches.CAUTION}"}
    assert replayed is not None
    assert replayed.caution() == ""
    shown = sections.of_triangle(on_cuda("false", measure).build(), launched, "key")
    cautioned = {section.key for section in shown if launches.CAUTION in section.note}
    assert cautioned == {"key", "key-training-decode", *sides}


def tuned(*rates: float) -> Builder:
    """RetNet is best at the middle of three rates, RWKV at the highest; with fewer rates both at an end."""
    made = corner_set()
    made.rows["points"] = [row for row in made.rows["points"] if row["measure"] != "language"]
    for rate in rates:
        made.language("retnet", 0, rate, 2.375 + abs(rate - 2e-3), role="trial")
        made.language("rwkv", 0, rate, 3.375 - rate, role="trial")
    return made


def test_quality_says_whose_rate_is_at_the_edge_of_the_grid_wherever_it_is_shown() -> None:
    one = tuned(1e-3, 2e-3, 3e-3).build()
    told = "The best learning rate tried was the lowest or highest for RWKV-4: its quality may be better than shown."
    found = corners.measure(one)
    assert found is not None
    assert found.edges == told
    shown = sections.of_triangle(one, found, "key")
    assert [part.key for part in shown if told in part.note] == ["key", "key-training-quality", "key-decode-quality"]
    quality = sections.figure("quality", one, "key")
    assert quality is not None
    assert quality.note.endswith(told)
    assert readme.numbers([one]).endswith(f"|\n\n{told}\n")
    whole = corners.measure(tuned(1e-3, 2e-3).build())
    assert whole is not None
    assert "highest for all models: their quality may" in whole.edges
    alone = corners.measure(corner_set().build())  # one rate is no grid
    assert alone is not None
    assert alone.edges == ""


@pytest.mark.parametrize("measure", ["decode", "prefill", "training", "largest_batch", "energy", "operation"])
def test_a_page_says_whose_times_are_of_launches(measure: str) -> None:
    made = Builder()
    for label, graph in (("retnet", "true"), ("rwkv", "false")):
        made.speed(measure, label, 64, 2, 10.0, device="cuda", graph=graph)
        made.point("memory", label, device="cuda")
    told = f"{measure.replace('_', ' ').capitalize()} of rwkv was {launches.CAUTION}"
    assert provenance.cautions(made.build()) == [told]


def test_training_and_quality_say_in_which_number_format_they_train() -> None:
    """What is timed may be another training than what gives the quality."""
    made = corner_set()
    for row in made.rows["points"]:
        row |= {"dtype": "bfloat16"} if row["measure"] in ("training", "decode") else {}
    found = corners.measure(made.build({"training": {"autocast": True}}))
    assert found is not None
    assert "bfloat16 weights and optimiser" in found.where["training"].whole
    assert "bfloat16, where" in found.where["decode"].whole
    end = ", 3 seeds, float32 weights and optimiser"
    assert found.where["quality"].whole.endswith(f"{end}, forward passes under bfloat16 autocast")
    for settings in ({}, {"training": {"autocast": False}}):
        whole = corners.measure(corner_set().build(settings))
        assert whole is not None
        assert whole.where["quality"].whole.endswith(end)


def test_a_model_shows_its_fastest_form() -> None:
    made = corner_set()
    made.speed("training", "rwkv", 64, 2, 400.0, repeats=3, form="scan")
    found = corners.measure(made.build())
    assert found is not None
    assert list(found.table["training_form"]) == ["", "scan"]
    assert list(found.table["training_ratio"]) == pytest.approx([0.25, 1.0])


def test_a_missing_corner_is_a_gap() -> None:
    made = corner_set()
    made.speed("training", "aft", 64, 2, 10.0, repeats=3)
    made.point("decode", "aft", "oom", "no room", sequence_length=32, batch_size=4)
    found = corners.measure(made.build())
    assert found is not None
    line = found.table.set_index("series").loc["aft"]
    assert np.isnan(line[["decode_ratio", "decode_tokens_per_second", "quality_ratio", "weakest"]].astype(float)).all()
    assert line["decode_missing"] == "out of memory: no room"
    assert line["quality_missing"] == "not measured"
    assert "decode a gap" in picture.text(found.table)
    with style.settings():
        axes = picture.draw(found.table, style.looks(found.table)).axes[0]
    look = style.looks(found.table)["aft"]
    drawn = [
        line.get_xydata() for line in axes.lines if line.get_marker() == look.marker and line.get_linewidth() == 1.8
    ]
    assert [len(points) for points in drawn] == [1]  # training alone: no vertex at the centre stands in for the others
    assert drawn[0][0] == pytest.approx([0, 0.1])
    for side in tradeoffs.SIDES:
        assert f"Missing here: {wording.title('aft', 'aft')}." in tradeoffs.text(found.table, side)


def test_a_model_that_learned_nothing_has_no_quality() -> None:
    made = corner_set()
    made.language("aft", 0, 1e-3, ENTROPY + 0.5)
    found = corners.measure(made.build())
    assert found is not None
    assert found.table.set_index("series").loc["aft", "quality_ratio"] == pytest.approx(-0.25)
    with style.settings():
        picture.draw(found.table, style.looks(found.table))


def test_where_no_model_learned_anything_quality_has_no_ratio() -> None:
    made = Builder()
    for label, bits in (("retnet", 4.9), ("rwkv", 5.1)):
        made.speed("training", label, 64, 2, 100.0)
        made.speed("decode", label, 64, 2, 10.0)
        made.language(label, 0, 1e-3, bits)
    found = corners.measure(made.build())
    assert found is not None
    assert found.table["quality_ratio"].isna().all()
    assert list(found.table["bits_per_byte"]) == [4.9, 5.1]
    assert set(found.table["quality_missing"]) == {corners.NOTHING_LEARNED}
    assert tradeoffs.unbeaten(found.table, tradeoffs.SIDES[0]) == ["retnet"]


def test_without_one_of_the_measures_there_is_no_triangle() -> None:
    for gone in ("training", "decode", "language"):
        made = corner_set()
        made.rows["points"] = [row for row in made.rows["points"] if row["measure"] != gone]
        assert corners.measure(made.build()) is None


def test_nobody_beats_the_front() -> None:
    found = corners.measure(corner_set().build())
    assert found is not None
    fronts = [tradeoffs.unbeaten(found.table, side) for side in tradeoffs.SIDES]
    assert fronts == [["retnet"], ["retnet", "rwkv"], ["rwkv", "retnet"]]
