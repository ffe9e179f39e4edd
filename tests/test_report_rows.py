"""What the pages make of the tables: which rows count, which learning rate is chosen, the triangle's formula."""

import numpy as np
import pandas as pd
import pytest
from report_data import ENTROPY, Builder, triangle

from reports import corners, intervals, labels, language, rows, style, tradeoffs, wording
from reports import triangle as picture
from reports.figures import learning_rates, loss_curves, utilisation


def test_a_value_is_the_median_of_its_samples() -> None:
    one = triangle()
    table = rows.summary(one, "training", "tokens_per_second")
    assert table is not None
    line = table[(table["series"] == "rwkv") & (table["sequence_length"] == 512)].iloc[0]
    values = one.samples[(one.samples["point"] == line["point"]) & (one.samples["metric"] == "tokens_per_second")][
        "value"
    ]
    assert line["tokens_per_second"] == np.median(values)
    assert line["low"] < line["tokens_per_second"] < line["high"]
    assert line["repeats"] == 5
    made = Builder()
    made.speed("training", "retnet", 64, 2, 1000.0, repeats=1)
    lonely = rows.summary(made.build(), "training", "tokens_per_second")
    assert lonely is not None
    assert lonely[["low", "high"]].isna().all(axis=None)


def test_the_last_row_of_a_configuration_counts() -> None:
    made = Builder()
    made.point("training", "retnet", "oom", "too much", sequence_length=64, batch_size=2)
    made.speed("training", "retnet", 64, 2, 500.0)
    made.speed("training", "retnet", 128, 2, 400.0)
    told = made.build()
    assert list(rows.current(told.points)["status"]) == ["ok", "ok"]
    again = made.point("training", "retnet", "timeout", "too slow", sequence_length=128, batch_size=2)
    assert list(rows.current(made.build().points)["point"])[-1] == again


def test_looks_follow_the_model_and_not_the_order() -> None:
    table = pd.DataFrame({"series": ["rwkv", "retnet gamma=none", "retnet"], "model": ["rwkv", "retnet", "retnet"]})
    looks = style.looks(table)
    assert looks == style.looks(table.iloc[::-1])
    card = wording.card("retnet")
    assert looks["retnet"].marker == looks["retnet gamma=none"].marker == card.get("marker", "X")
    assert looks["retnet"].colour == card.get("colour", "#7f7f7f")
    assert looks["retnet gamma=none"].colour != looks["retnet"].colour
    assert looks["retnet gamma=none"].dash != looks["retnet"].dash


def test_rows_with_other_training_tokens_replace_older_ones() -> None:
    made = Builder()
    made.language("retnet", 0, 1e-3, 3.0, role="trial", training_tokens=1000)
    made.language("retnet", 0, 1e-3, 2.0, role="trial", training_tokens=2000)
    assert list(language.headline(made.build())["bits_per_byte"]) == [2.0]


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


def test_the_learning_rate_with_the_best_trial_is_chosen() -> None:
    made = Builder()
    for rate, bits in ((1e-4, 2.9), (1e-3, 2.5), (1e-2, 2.7)):
        made.language("retnet", 3, rate, bits, role="trial")
        made.language("rwkv", 3, rate, 3 - 100 * rate, role="trial")
    best = made.language("retnet", 4, 1e-3, 2.6)
    stale = made.language("retnet", 5, 1e-2, 2.0)
    made.language("rwkv", 4, 1e-2, 2.1)
    made.point("language", "aft", "timeout", "too slow", seed=3, learning_rate=1e-3, role="trial")
    told = made.build()
    assert language.rates(told) == {"retnet": 1e-3, "rwkv": 1e-2}
    found = language.headline(told)
    assert list(found["seed"]) == [3, 4, 3, 4]
    assert list(found["bits_per_byte"]) == [2.5, 2.6, 2.0, 2.1]
    assert best in set(found["point"])
    assert stale not in set(found["point"])
    table = learning_rates.Figure().data(told)
    assert table is not None
    assert table.set_index("series").query("chosen")["at_edge"].to_dict() == {"retnet": False, "rwkv": True}
    assert "RWKV" not in learning_rates.Figure().text(table).split("edge")[1]
    assert "Trials without a value: 1." in learning_rates.Figure().text(table)


def test_long_curves_are_thinned_and_keep_their_end() -> None:
    made = Builder()
    point = made.language("retnet", 0, 1e-3, 2.0, role="trial")
    made.rows["curves"] = [
        {"schema": 1, "point": point, "step": step, "tokens": 8 * step, "seconds": 1.0, "loss": 1 / step}
        for step in range(1, 5001)
    ]
    table = loss_curves.Figure().data(made.build())
    assert table is not None
    assert len(table) == loss_curves.MOST
    assert (table["step"].iloc[0], table["step"].iloc[-1]) == (1, 5000)


def test_utilisation_is_a_share_of_what_the_machine_reaches() -> None:
    made = Builder()
    made.speed("training", "retnet", 64, 2, 5e4, repeats=1)
    made.speed("training", "retnet", 128, 2, 5e4, repeats=1)
    table = utilisation.Figure().data(made.build())
    assert table is not None
    shares = 2.4e6 * 5e4 * (1 + 0.02 * np.sin([64, 128])) / 1.5e11
    assert list(table["share_of_peak_flops"]) == pytest.approx(list(shares))


def corner_set() -> Builder:
    """RetNet trains twice as fast, RWKV decodes twice as fast; they gain 2 and 1 of 4.375 bits."""
    made = Builder()
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


def test_corners_stand_at_the_longest_length_and_largest_batch_that_all_ran() -> None:
    made = corner_set()
    made.speed("training", "retnet", 128, 2, 7.0)
    made.speed("training", "rwkv", 64, 8, 20.0)
    made.speed("training", "retnet", 64, 8, 30.0)
    made.point("training", "rwkv", "oom", "no room", sequence_length=128, batch_size=2)
    found = corners.measure(made.build())
    assert found is not None
    assert "length 64, batch 8" in found.where["training"]
    assert "1 longer length that fewer ran" in found.where["training"]
    assert list(found.table["training_ratio"]) == pytest.approx([1, 2 / 3])


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


def test_intervals_do_not_depend_on_the_order() -> None:
    values = [3.0, 1.0, 2.0, 5.0, 4.0]
    assert intervals.bootstrap(values) == intervals.bootstrap(values[::-1])
    low, high = intervals.bootstrap(values)
    assert 1 <= low < 3 < high <= 5
    assert np.isnan(intervals.bootstrap([1.0])).all()
    assert intervals.ratio([4.0, 4.0], [2.0, 2.0]) == (2.0, 2.0, 2.0)
    assert intervals.mean_of_few([1.0, 2.0, 3.0]) == pytest.approx((2.0, 2 - 2.4841, 2 + 2.4841), rel=1e-4)
    assert intervals.slope([1, 4, 16], [3, 6, 12]) == pytest.approx(0.5)


def test_labels_keep_their_distance() -> None:
    placed = labels.spread([0.5, 0.5, 0.52, 0.9], 0.1)
    gaps = np.diff(sorted(placed))
    assert (gaps >= 0.1 - 1e-9).all()
    assert np.mean(placed[:3]) == pytest.approx(np.mean([0.5, 0.5, 0.52]))
    assert placed[3] == 0.9
