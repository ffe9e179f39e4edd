"""From an experiment to its points: projection, order, labels, and what cannot be combined."""

import collections
import itertools
import re

import pytest

import models
from harness import document, experiment, filters, measures, options, plan
from harness.errors import UserError
from tests.planning import of, points

# The grid --------------------------------------------------------------------------------------------------------


def test_each_measure_gets_the_factors_that_it_depends_on_and_no_others():
    found = points("sweep.dtype=[float32, bfloat16]")
    for name in ("prefill", "decode", "language"):
        factors = set(measures.load(name).factors)
        values = {"batch_size": {1, 5}, "sequence_length": {16, 40}, "dtype": {"float32", "bfloat16"}}
        for factor, swept in values.items():
            there = {getattr(point, factor) for point in of(found, name)}
            assert there == (swept if factor in factors else {"float32"} if factor == "dtype" else {None})
        combinations = 1
        for factor in factors & set(values):
            combinations *= len(values[factor])
        rates = 2 if measures.load(name).trains else 1
        assert len(of(found, name)) == 3 * combinations * rates


def test_the_model_turns_fastest_and_forms_come_first():
    found = points()
    labels = [point.label for point in found]
    assert labels == ["retnet", "transformer", "aft"] * (len(labels) // 3)
    order = [name for name, _ in itertools.groupby(point.measure for point in found)]
    assert order == ["forms", "prefill", "decode", "language"]
    for trio in zip(found[::3], found[1::3], found[2::3], strict=True):
        assert len({(p.measure, p.batch_size, p.sequence_length, p.training) for p in trio}) == 1


def test_every_entry_is_checked_for_its_forms_even_where_only_another_measure_is_asked_for():
    found = points("sweep.gamma=[none, single]", "measures=[decode]")
    assert {point.label for point in of(found, "forms")} == {point.label for point in of(found, "decode")}
    assert len(of(found, "forms")) == 4


def test_a_measure_may_depart_from_the_sweep():
    two = "{name: decode, batch_size: 3, sequence_length: [24]}, {name: decode, batch_size: 6}"
    found = points(f"measures=[prefill, {two}]")
    assert {(p.batch_size, p.sequence_length) for p in of(found, "prefill")} == {(1, 16), (1, 40), (5, 16), (5, 40)}
    assert {(p.batch_size, p.sequence_length) for p in of(found, "decode")} == {(3, 24), (6, 16), (6, 40)}


def test_no_point_is_planned_twice():
    found = points("measures=[decode, {name: decode, batch_size: [1, 3]}]")
    assert len({point.configuration for point in found}) == len(found)
    assert {p.batch_size for p in of(found, "decode")} == {1, 3, 5}


def test_the_default_form_is_the_models_own_and_the_recurrence_for_decoding():
    found = points()
    for point in of(found, "prefill"):
        assert point.form == models.load(point.model).default_form
    full = of(points("models=[{name: aft, variant: full}]", "measures=[prefill]"), "prefill")
    assert {point.form for point in full} == {"parallel"}, "without the default form, not the step by step one"
    assert {point.form for point in of(found, "decode")} <= {None, "recurrent"}
    assert {point.form for point in of(found, "forms")} == {None}


def test_timing_runs_at_the_first_seed_alone():
    assert {point.seed for point in points()} == {2}


def test_limits_and_settings_reach_every_point():
    for point in points(device="cuda"):
        assert (point.experiment, point.device, point.repeats, point.precision) == ("asked", "cuda", 3, 0.02)
        assert (point.limit_seconds, point.limit_bytes) == (20.0, 2 * 2**30)
        assert point.corpus == ("python-docs" if measures.load(point.measure).reads_corpus else None)


def test_an_absurd_grid_is_refused():
    with pytest.raises(UserError, match=r"36,009 points, more than 20,000; sweep fewer values"):
        points(f"sweep.batch_size={list(range(1, 3001))}")


@pytest.mark.parametrize("name", ["length_sweep", "length_sweep_gpu"])
def test_a_question_about_the_same_tokens_per_step_names_the_length_that_has_twice_as_many(name):
    asked = experiment.load(document.FOLDER / f"{name}.yaml")
    trained = of(plan.points(asked, "cpu"), "training")
    tokens = {point.sequence_length: point.sequence_length * point.batch_size for point in trained}
    assert "same tokens per step" in asked.question
    least, named = min(tokens.values()), re.findall(r"twice as many at (\d+)k", asked.question)
    assert {length: each for length, each in tokens.items() if each != least} == {
        1024 * int(length): 2 * least for length in named
    }


# Labels and what is lacking --------------------------------------------------------------------------------------


def test_labels_tell_entries_of_one_model_apart_and_nothing_more():
    pair = "{name: transformer, kv_heads: 1}, transformer"
    found = points(f"models=[{{name: retnet, gamma: single}}, {{name: aft, ffn: gelu}}, {pair}]")
    assert [point.label for point in of(found, "forms")] == [
        *("retnet", "aft", "transformer kv_heads=1", "transformer kv_heads=null")
    ]


def test_options_are_resolved_down_to_the_defaults():
    for point in points("models=[{name: retnet, gamma: [0.5, 0.9, 0.99]}]"):
        assert point.options == options.resolve("retnet", {"gamma": [0.5, 0.9, 0.99]})
        assert set(point.options) == set(options.of("retnet"))


def test_a_swept_option_that_a_model_lacks_is_told_once_and_the_model_runs():
    found = points("sweep.gamma=[none, single, paper]")
    told = [point for point in found if point.not_applicable]
    assert [(point.model, point.role) for point in told] == [("transformer", None), ("aft", None)]
    assert (
        told[0].not_applicable == "transformer has no option 'gamma' (swept: none, single, paper); it runs without it"
    )
    ran = collections.Counter(point.label for point in of(found, "decode"))
    assert ran == {
        "retnet gamma=none": 4,
        "retnet gamma=single": 4,
        "retnet gamma=paper": 4,
        "transformer": 4,
        "aft": 4,
    }
    assert len({point.configuration for point in found}) == len(found)


def test_the_row_of_a_lacking_option_is_not_taken_for_a_point_that_ran():
    found = points("sweep={gamma: [none, single]}", "measures=[noop]", "budget.parameters=20k")
    assert collections.Counter(point.label for point in of(found, "noop"))["aft"] == 2
    assert len({point.configuration for point in found}) == len(found)


def test_a_swept_form_that_a_model_lacks_is_told_once():
    found = of(points("sweep.form=[recurrent, chunkwise]", "models=[retnet, transformer]"), "prefill")
    lacking = [point for point in found if point.not_applicable]
    assert [(p.model, p.form, p.batch_size, p.sequence_length) for p in lacking] == [
        ("transformer", "chunkwise", None, None)
    ]
    assert "parallel" in (lacking[0].not_applicable or "")
    assert {p.form for p in found if p.model == "retnet"} == {"recurrent", "chunkwise"}


def test_sizes_that_do_not_fit_are_rows_where_sizes_are_swept():
    found = points("models=[transformer, retnet]", "shape={layers: 2, heads: 3}", "sweep.width=[48, 50]")
    reasons = collections.defaultdict(set)
    for point in found:
        reasons[point.width].add(point.not_applicable)
    assert reasons[48] == {None}
    assert None not in reasons[50]


def test_sizes_may_be_filtered_as_people_write_them():
    found = points("measures=[{name: decode, sequence_length: [256, 1000, 4000]}]")
    assert {p.sequence_length for p in of(filters.only(found, ["sequence_length=1k"]), "decode")} == {1000}
    with pytest.raises(UserError, match="unknown sequence_length '2k'; allowed are 256, 1000, 4000"):
        filters.only(found, ["sequence_length=2k"])
