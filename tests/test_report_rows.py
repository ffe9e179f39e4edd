"""What the pages make of the tables: which rows count, which learning rate is chosen, intervals, looks."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from harness.tables import VERSION
from reports import figures, intervals, labels, language, provenance, rows, sections, sizes, style, wording
from reports.figures import learning_rates, loss_curves
from tests.report_data import Builder, triangle


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


def test_the_last_row_of_the_same_factors_counts_whatever_its_configuration() -> None:
    made = Builder()
    first, other = (made.point("training", "retnet", sequence_length=length, batch_size=2) for length in (64, 128))
    last = made.point("training", "retnet", sequence_length=64, batch_size=2, ffn_width=251)
    points = made.build().points
    assert points["configuration"].is_unique
    assert first in set(points["point"])
    assert list(rows.current(points)["point"]) == [other, last]


def test_looks_follow_the_model_and_not_the_order() -> None:
    table = pd.DataFrame({"series": ["rwkv", "retnet gamma=none", "retnet"], "model": ["rwkv", "retnet", "retnet"]})
    looks = style.looks(table)
    assert looks == style.looks(table.iloc[::-1])
    card = wording.card("retnet")
    assert looks["retnet"].marker == looks["retnet gamma=none"].marker == card.get("marker", "X")
    assert looks["retnet"].colour == card.get("colour", "#7f7f7f")
    assert looks["retnet gamma=none"].colour != looks["retnet"].colour
    assert looks["retnet gamma=none"].dash != looks["retnet"].dash


def test_an_entry_looks_the_same_in_every_figure() -> None:
    entries = ["retnet", "retnet gamma=learned", "retnet gamma=none", "retnet gamma=single"]
    points = pd.DataFrame({"label": [*entries, "rwkv"], "model": ["retnet"] * 4 + ["rwkv"]})
    whole = pd.DataFrame({"series": entries, "model": "retnet"})
    looks = style.looks(whole, points)
    for names in (entries[2:], entries[::3], [entries[1]]):
        part = style.looks(whole[whole["series"].isin(names)], points)
        assert part == {name: looks[name] for name in names}
    assert len({(look.colour, look.dash) for look in looks.values()}) == 4
    forms = style.looks(
        pd.DataFrame({"series": [f"{entries[2]} {form}" for form in ("a", "b")], "model": "retnet"}), points
    )
    assert {look.colour for look in forms.values()} == {looks[entries[2]].colour}
    assert len({look.dash for look in forms.values()}) == 2


def test_figures_of_one_page_share_the_looks_of_all_entries() -> None:
    made = Builder()
    for label in ("retnet", "retnet gamma=none", "retnet gamma=single"):
        for length in (64, 256):
            made.speed("decode", label, length, 2, 100.0)
            if label != "retnet gamma=none":
                made.speed("training", label, length, 2, 100.0)
    one = made.build()
    colour = style.looks(pd.DataFrame({"series": ["retnet gamma=single"], "model": "retnet"}), one.points)
    for name in ("decode_context", "training_length"):
        drawn = sections.figure(name, one, name)
        assert drawn is not None
        assert colour["retnet gamma=single"].colour in drawn.svg


def test_rows_with_other_training_tokens_replace_older_ones() -> None:
    made = Builder()
    made.language("retnet", 0, 1e-3, 3.0, role="trial", training_tokens=1000)
    made.language("retnet", 0, 1e-3, 2.0, role="trial", training_tokens=2000)
    assert list(language.headline(made.build())["bits_per_byte"]) == [2.0]


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
        {"schema": VERSION, "point": point, "step": step, "tokens": 8 * step, "seconds": 1.0, "loss": 1 / step}
        for step in range(1, 5001)
    ]
    table = loss_curves.Figure().data(made.build())
    assert table is not None
    assert len(table) == loss_curves.MOST
    assert (table["step"].iloc[0], table["step"].iloc[-1]) == (1, 5000)


def test_intervals_do_not_depend_on_the_order() -> None:
    values = [3.0, 1.0, 2.0, 5.0, 4.0]
    uneven = [0.31, 1.77, 2.93, 5.11, 4.47, 7.19, 0.83, 6.01, 9.57, 3.33, 8.29]
    assert intervals.bootstrap(uneven, np.mean) == intervals.bootstrap(uneven[2:] + uneven[:2], np.mean)
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
    below = labels.spread([0.5, 0.98, 0.99, 1.0], 0.1, most=1)
    assert below == pytest.approx([0.5, 0.8, 0.9, 1.0])


def test_entries_with_other_heads_are_compared_each_with_its_last() -> None:
    made = Builder()
    made.speed("decode", "retnet", 64, 2, 300.0, heads=2)
    made.speed("decode", "retnet", 64, 2, 200.0, heads=4)
    made.speed("decode", "retnet head_size=8", 64, 2, 250.0, heads=12)
    told = rows.comparable(made.build(), "decode")
    assert list(zip(told["label"], told["heads"], strict=True)) == [("retnet", 4), ("retnet head_size=8", 12)]


def test_rows_of_other_sizes_are_counted_and_told() -> None:
    made = Builder()
    made.point("forms", "retnet", width=48)
    for width, layers in ((48, 3), (48, 2), (96, 3)):
        for length in (64, 256):
            made.speed("decode", "retnet", length, 2, 300.0, width=width, layers=layers)
    one = made.build()
    assert list(rows.comparable(one, "decode")["width"]) == [96, 96]
    told = sizes.left_out(one)
    assert (
        "take the rows of width 96 and 3 layers alone, which were run last. Left out of them: 2 rows of width 48"
        in told
    )
    assert "2 rows of width 48 and 2 rows of width 48 and 2 layers; times" in told
    assert provenance.cautions(one)[0] == told == sizes.left_out(rows.View(one))
    budgeted = dataclasses.replace(one, points=one.points.assign(width=96, layers=3, parameters_target=None))
    assert sizes.left_out(budgeted) == ""


def test_rows_of_one_size_and_none_at_all_are_no_word() -> None:
    assert sizes.left_out(triangle()) == sizes.left_out(Builder().build()) == ""
    made = Builder()
    made.point("forms", "retnet", width=48)
    made.speed("decode", "retnet", 64, 2, 300.0)
    assert sizes.left_out(made.build()) == "", "nobody compares the forms of one model with another's"


def test_rows_with_other_heads_and_other_budgets_are_told() -> None:
    made = Builder()
    for target, heads, label in (
        (None, 4, "rwkv"),
        (400_000, 2, "retnet"),
        (400_000, 4, "retnet"),
        (400_000, 4, "rwkv"),
    ):
        made.speed("decode", label, 64, 2, 300.0, heads=heads, parameters_target=target)
    told = sizes.left_out(made.build())
    assert "take the rows of 400k parameters alone, which" in told
    assert "Left out of them: 1 row of no budget and 1 row of 2 heads; times" in told


def test_a_view_reads_once_what_the_result_set_says() -> None:
    one = triangle(models=("retnet",))
    view = rows.View(one)
    told = rows.summary(view, "decode", "token_ms")
    assert told is not None
    assert rows.summary(view, "decode", "token_ms") is told
    pd.testing.assert_frame_equal(told, rows.summary(one, "decode", "token_ms"))
    assert rows.summary(view, "decode", "tokens_per_second") is not told


def test_intervals_over_seeds_are_those_of_student() -> None:
    made = Builder()
    for seed, bits in enumerate((2.0, 2.1, 2.3)):
        made.language("retnet", seed, 1e-3, bits)
    (line,) = language.by_label(language.headline(made.build()), "bits_per_byte").to_dict("records")
    assert (line["bits_per_byte"], line["low"], line["high"]) == pytest.approx(
        intervals.mean_of_few([2.0, 2.1, 2.3]), rel=1e-12
    )
    assert line["high"] - line["low"] > 2 * (2.3 - 2.0)  # a bootstrap of three gives their range
    for name in ("quality", "gamma", "extrapolation", "position"):
        assert "Student's t" in figures.load(name).note
    assert "Student's t" in sections.SIDE_NOTE


def test_intervals_of_times_say_that_they_are_of_one_process() -> None:
    timed = (
        "decode_batch",
        "decode_context",
        "prefill",
        "training_batch",
        "training_length",
        "training_floor",
        "prefill_floor",
        "decode_floor",
        "decode_throughput",
        "largest_batch_speed",
    )
    for note in (sections.SIDE_NOTE, *(figures.load(name).note for name in timed)):
        assert "over repeats in one process" in note
