"""Experiments load, resolve and are written back; every file in experiments/ is one that plans."""

import dataclasses
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import document, experiment, options, plan, quantity, schema
from harness.errors import UserError, nearest
from harness.point import Training

FILES = sorted(document.FOLDER.glob("*.yaml"))
SMALL = """# What is the least that loads?
models: [aft]
shape: {width: 48, layers: 2, heads: 3}
measures: [noop]
"""
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def loaded(folder: pathlib.Path, text: str = SMALL, *overrides: str) -> experiment.Experiment:
    path = folder / "asked.yaml"
    path.write_text(text, encoding="utf-8")
    return experiment.load(path, list(overrides))


# The shipped files -----------------------------------------------------------------------------------------------


def test_the_shipped_experiments_are_there():
    names = {file.stem for file in FILES}
    small = {"triangle", "latency_sweep", "batch_sweep", "length_sweep", "gamma_sweep", "step_by_step"}
    assert names >= small | {f"{name}_gpu" for name in small} | {"smoke"}


@every_file
def test_shipped_file_loads_and_plans(file):
    asked = experiment.load(file)
    large = file.stem.endswith("_gpu") or file.stem.startswith("paper_")
    points = plan.points(asked, "cuda" if large else "cpu")
    assert {point.model for point in points} == {entry.name for entry in asked.models}
    assert {point.measure for point in points} == {entry.name for entry in asked.measures} | {plan.FORMS}
    reasons = {(point.label, point.not_applicable) for point in points if point.not_applicable}
    assert not reasons, "a shipped experiment holds a combination that cannot be run"


@every_file
def test_shipped_file_asks_a_question_and_names_no_day(file):
    asked = experiment.load(file).question
    assert asked.endswith("?")
    text = file.read_text(encoding="utf-8")
    assert not any(f"20{year}" in text for year in range(20, 40)), "no dates"


@every_file
def test_dump_loads_to_the_same_value(file, tmp_path):
    asked = experiment.load(file)
    again = tmp_path / file.name
    again.write_text(asked.dump(), encoding="utf-8")
    assert experiment.load(again) == asked


@every_file
def test_models_of_a_shipped_file_are_within_the_budget(file):
    asked = experiment.load(file)
    if asked.budget is None:
        assert len(asked.models) == 1, "without a budget there is nothing to compare"
        return
    for point in plan.points(asked, "cpu"):
        assert point.parameters is not None
        assert abs(point.parameters / asked.budget.parameters - 1) <= 0.01


@pytest.mark.parametrize("name", ["step_by_step", "step_by_step_gpu"])
def test_every_model_is_trained_step_by_step_where_it_is_trained_at_once(name):
    """Of the same sizes, in one run: what a claim compares."""
    asked = experiment.load(document.FOLDER / f"{name}.yaml")
    trained = [point for point in plan.points(asked, "cpu") if point.measure == "training"]
    for model in (entry.name for entry in asked.models):
        cells = {way: set() for way in (True, False)}
        for point in trained:
            if point.model == model:
                cells[point.form == "recurrent"].add((point.batch_size, point.sequence_length, point.dtype))
        assert cells[True] == cells[False], model
        assert len(cells[True]) > 1, model


def test_gamma_sweep_trains_every_gamma_there_is():
    for name in ("gamma_sweep", "gamma_sweep_gpu"):
        swept = experiment.load(document.FOLDER / f"{name}.yaml").sweep.options["gamma"]
        allowed = options.of("retnet")["gamma"].choices
        assert {value for value in swept if isinstance(value, str)} == set(allowed or ())
        assert any(isinstance(value, list) for value in swept), "an explicit list as well"


def test_triangle_compares_all_five_families_at_three_seeds_and_equal_trials():
    asked = experiment.load(document.FOLDER / "triangle.yaml")
    assert {entry.name for entry in asked.models} >= {"retnet", "transformer", "linear_attention", "rwkv", "aft"}
    assert asked.training is not None
    assert len(asked.seeds) >= 3
    assert len(asked.training.learning_rate) >= 3


# Loading ---------------------------------------------------------------------------------------------------------


def test_defaults_are_resolved(tmp_path):
    asked = loaded(tmp_path)
    assert (asked.repeats, asked.precision, asked.seeds, asked.dtype) == (5, 0.02, [0], "float32")
    assert (asked.shape.vocabulary, asked.budget, asked.training) == (256, None, None)


@pytest.fixture
def some_texts(tmp_path, monkeypatch):
    """Texts of the names that these experiments give."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("a text")
    for name in ("no", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.txt").write_text("another")


@pytest.mark.usefixtures("some_texts")
def test_numbers_are_read_as_people_write_them(tmp_path):
    more = "budget: {parameters: 1.5M}\nlimits: {memory: 8GiB, seconds: 2}\ncorpus: no\n"
    more += "training: {flops: 1e15, sequence_length: 10, batch_size: 2, learning_rate: 3e-4}\n"
    asked = loaded(tmp_path, SMALL + more)
    assert asked.budget is not None
    assert asked.training is not None
    assert (asked.budget.parameters, asked.limits.memory) == (1_500_000, 8 * 2**30)
    assert (asked.training.flops, asked.training.learning_rate) == (1e15, [3e-4])
    assert (asked.training.sequence_length, asked.corpus) == (10, "no"), "no truth value"


def test_a_training_that_is_only_begun_has_the_defaults_of_a_point_s():
    given = {"sequence_length": 3, "batch_size": 2}
    whole = dataclasses.asdict(Training(**given, learning_rate=0.5))
    told = schema.Training(**given, learning_rate=[0.5]).model_dump()
    assert told | {"betas": tuple(told["betas"]), "learning_rate": 0.5} == whole


def test_entries_may_be_names_or_mappings_and_factors_lists_or_single(tmp_path):
    text = SMALL.replace("[aft]", "[{name: retnet, gamma: [0.5, 0.9, 0.99]}]")
    asked = loaded(tmp_path, text.replace("[noop]", "[{name: decode, batch_size: 3, sequence_length: [8, 24]}]"))
    assert asked.models[0].options == {"gamma": [0.5, 0.9, 0.99]}
    assert (asked.measures[0].batch_size, asked.measures[0].sequence_length) == ([3], [8, 24])


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("repeats=9", lambda asked: asked.repeats == 9),
        ("budget.parameters=2M", lambda asked: asked.budget and asked.budget.parameters == 2_000_000),
        ("shape.width=96", lambda asked: asked.shape.width == 96),
        ("models[0]={name: aft, ffn: gelu}", lambda asked: asked.models[0].options == {"ffn": "gelu"}),
        ("models.0=rwkv", lambda asked: asked.models[0].name == "rwkv"),
        ("shape={width: 12, layers: 1, heads: 2}", lambda asked: asked.shape.heads == 2),
        ("corpus={train: a.txt, held_out: b}", lambda asked: asked.corpus == '{"train": "a.txt", "held_out": "b"}'),
        ("limits.seconds=null", lambda asked: asked.limits.seconds is None),
    ],
)
@pytest.mark.usefixtures("some_texts")
def test_overrides_reach_any_key(override, read, tmp_path):
    assert not read(loaded(tmp_path, SMALL.replace("measures", "limits: {seconds: 7}\nmeasures")))
    assert read(loaded(tmp_path, SMALL.replace("measures", "limits: {seconds: 7}\nmeasures"), override))


def test_the_last_override_of_a_key_counts(tmp_path):
    assert loaded(tmp_path, SMALL, "repeats=9", "repeats=11").repeats == 11


def test_a_line_survives_an_override_of_another_key(tmp_path):
    with pytest.raises(UserError, match=r"asked.yaml:3: shape.layers: 0 is out of range"):
        loaded(tmp_path, SMALL.replace("layers: 2", "layers: 0"), "shape.width=96")


# Quantities ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ("4M", 4_000_000),
        ("10k", 10_000),
        ("1.5B", 1_500_000_000),
        ("2T", 2 * 10**12),
        (1e15, 10**15),
        ("4.1M", 4_100_000),
    ],
)
def test_counts(given, count):
    assert quantity.count(given) == count
    assert isinstance(quantity.count(given), int)


@pytest.mark.parametrize(("given", "size"), [("8GiB", 2**33), ("512MiB", 2**29), ("2GB", 2 * 10**9), (77, 77)])
def test_sizes_in_bytes(given, size):
    assert quantity.size_bytes(given) == size


@pytest.mark.parametrize(
    "given", ["", "M", "4 M M", "4m", "1e", "--3", "0x10", "1:30", True, None, [3], float("nan"), "inf"]
)
def test_what_is_no_number_is_refused(given):
    for parse in (quantity.count, quantity.number, quantity.size_bytes):
        with pytest.raises(ValueError, match="allowed is"):
            parse(given)


@given(st.integers(min_value=0, max_value=10**9), st.sampled_from("kMBT"))
def test_a_whole_number_of_a_unit_is_exact(number, unit):
    assert quantity.count(f"{number}{unit}") == number * quantity.THOUSANDS[unit]


@given(st.floats(min_value=1e-12, max_value=1e12))
def test_a_number_survives_yaml(value):
    data, _ = document.parse(f"rate: {value!r}", "file")
    assert quantity.number(data["rate"]) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.34, "0.3 s"), (59.7, "1 min 00 s"), (200.0, "3 min 20 s"), (3900.0, "1 h 05 min")]
)
def test_durations_are_told_in_words(seconds, told):
    assert quantity.tell_seconds(seconds) == told


def test_sizes_are_told_to_three_digits_in_the_unit_that_fits_them():
    assert [quantity.tell_count(value) for value in (12, 999.9e6, 4.194e6)] == ["12", "1B", "4.19M"]
    assert [quantity.tell_bytes(value) for value in (2**29, 1023.9 * 2**20)] == ["512 MiB", "1024 MiB"]


def test_the_nearest_name_is_near():
    assert nearest("linear-attention", ["linear_attention", "retnet"]) == "linear_attention"
    assert nearest("zzz", ["linear_attention", "retnet"]) is None
