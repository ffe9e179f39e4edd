"""Points once planned: those that follow the trials, those that are chosen, their ids, and what they may cost."""

import collections
import dataclasses
import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import cost, experiment, filters, foresight, hardware, measures, plan, predict, quantity
from harness.errors import UserError
from harness.point import Point, digest
from tests.planning import asked, of, points
from tests.tree import ROOT

UNCOUNTED = ("experiment", "label", "limit_seconds", "limit_bytes", "not_applicable")  # what no id depends on

# Further seeds ---------------------------------------------------------------------------------------------------


def test_trials_tune_every_entry_equally_at_the_first_seed():
    trials = [point for point in points() if point.role == "trial"]
    assert collections.Counter(point.label for point in trials) == {"retnet": 2, "transformer": 2, "aft": 2}
    assert {point.training.learning_rate for point in trials} == {1e-3, 3e-3}
    assert {point.training.tokens for point in trials} == {10_000}


def test_the_other_seeds_take_the_rate_of_the_best_trial():
    trials = [point for point in plan.points(asked(), "cpu") if point.role == "trial"]
    best = {"retnet": 3e-3, "transformer": 1e-3, "aft": 3e-3}
    told = [(point, 2.5 if point.training.learning_rate == best[point.label] else 2.6) for point in trials]
    found = plan.chosen(asked().seeds, told)
    assert [(p.label, p.seed, p.role) for p in found] == [
        (label, seed, "chosen") for seed in (4, 7) for label in ("retnet", "transformer", "aft")
    ]
    assert {point.label: point.training.learning_rate for point in found} == best
    ids = {point.configuration for point in [*found, *trials]}
    assert len(ids) == len(found) + len(trials)


def test_failed_trials_choose_nothing():
    trials = [point for point in plan.points(asked(), "cpu") if point.role == "trial"]
    worth = {("retnet", 1e-3): None, ("retnet", 3e-3): 4.0, ("transformer", 1e-3): float("nan"), ("aft", 1e-3): 3.0}
    told = [(point, worth.get((point.label, point.training.learning_rate))) for point in trials]
    found = plan.chosen(asked().seeds, told)
    assert {(point.label, point.training.learning_rate) for point in found} == {("retnet", 3e-3), ("aft", 1e-3)}


# Choosing points -------------------------------------------------------------------------------------------------


def test_only_keeps_what_all_filters_keep_and_the_forms_of_it():
    found = filters.only(points(), ["model=retnet", "model=aft", "measure=decode", "batch_size=5"])
    assert {point.label for point in found} == {"retnet", "aft"}
    assert {(p.measure, p.batch_size) for p in found} == {("forms", None), ("decode", 5)}


def test_only_keeps_seeds_and_the_trials_that_choose_for_them():
    """2 is the first seed, which the trials and whatever does not train have."""
    assert [(seeds, filters.seeds([2, 4, 7], [f"seed={seed}" for seed in seeds])) for seeds in ((), (7,), (2, 4))] == [
        ((), [2, 4, 7]),
        ((7,), [7]),
        ((2, 4), [2, 4]),
    ]
    assert {p.measure for p in filters.only(points(), ["seed=7"], [2, 4, 7])} == {"forms", "language"}
    trials = [point for point in points() if point.role == "trial"]
    assert [p for p in filters.only(points(), ["seed=7"], [2, 4, 7]) if p.role == "trial"] == trials
    assert filters.only(points(), ["seed=2"], [2, 4, 7]) == points()
    assert {p.seed for p in plan.chosen([7], [(point, 2.0) for point in trials])} == {7}
    assert plan.chosen([2], [(point, 2.0) for point in trials]) == []
    with pytest.raises(UserError, match="--only seed=3: unknown seed '3'; allowed are 2, 4, 7"):
        filters.only(points(), ["seed=3"], [2, 4, 7])
    with pytest.raises(UserError, match="--only seed=2: a seed can be chosen of an experiment that is run"):
        filters.only(points(), ["seed=2"])


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (
            ["model=retnt"],
            "--only model=retnt: unknown model 'retnt'; allowed are aft, retnet, transformer; did you mean",
        ),
        (["modle=retnet"], "--only modle=retnet: unknown filter 'modle'"),
        (["retnet"], "--only retnet: write it as key=value"),
        (["measure=language", "batch_size=5"], "no point has all of these"),
        (["seed=7", "batch_size=5"], "no point has all of these; what does not train runs at the first seed alone"),
        (["batch_size=5", "form=chunkwise", "model=transformer"], "no point has all of these"),
    ],
)
def test_filters_that_keep_nothing_are_refused(keys, told):
    with pytest.raises(UserError) as caught:
        filters.only(points(), keys, [2, 4, 7])
    assert told in str(caught.value)


# Ids -------------------------------------------------------------------------------------------------------------


def test_ids_do_not_depend_on_names_limits_and_order():
    point = points()[-1]
    for changed in ({"experiment": "b"}, {"label": "x"}, {"limit_seconds": 1.0}, {"limit_bytes": None}):
        assert dataclasses.replace(point, **changed).configuration == point.configuration
    backwards = dict(reversed(point.options.items()))
    assert list(backwards) != list(point.options)
    assert dataclasses.replace(point, options=backwards).configuration == point.configuration


@pytest.mark.parametrize("name", sorted(set(Point.__dataclass_fields__) - set(UNCOUNTED)))
def test_every_other_factor_changes_the_id(name):
    point = points()[-1]
    assert dataclasses.replace(point, **{name: "another"}).configuration != point.configuration


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.lists(st.integers()), max_size=5))
def test_a_digest_is_the_same_whatever_the_order_of_the_keys(told):
    assert digest(dict(reversed(told.items()))) == digest(told)


# Guesses ---------------------------------------------------------------------------------------------------------


def test_guesses_grow_with_the_work_and_stop_at_the_limit():
    small, large = (of(points(f"sweep.sequence_length=[{n}]", "limits={}"), "prefill")[1] for n in (64, 4096))
    assert predict.seconds(small) < predict.seconds(large)
    assert predict.memory_bytes(small) < predict.memory_bytes(large)
    slow = dataclasses.replace(large, limit_seconds=0.001)
    assert predict.seconds(slow) < predict.seconds(small)
    assert predict.seconds(dataclasses.replace(large, not_applicable="so")) == 0


def test_a_points_memory_is_that_of_the_cost_model():
    more = ("measures=[training,prefill,decode,language]", "training.accumulate=2")
    found = points(*more)
    machine = hardware.here("cpu")
    for point in (of(found, "training")[0], of(found, "language")[0]):
        assert predict.memory_bytes(point) == cost.training(predict.job(point), machine).memory_bytes
    prefill, decode = of(found, "prefill")[0], of(found, "decode")[0]
    assert predict.memory_bytes(prefill) == cost.prefill(predict.job(prefill), machine).memory_bytes
    assert predict.memory_bytes(decode) == cost.context_bytes(predict.job(decode), machine)
    assert cost.prefill(predict.job(decode), machine).memory["state"] == decode.state_bytes
    long = of(points("measures=[memory]", "sweep.sequence_length=[20000]", "limits={}"), "memory")[-1]
    assert predict.memory_bytes(long) < cost.prefill(predict.job(long), machine).memory_bytes / 2, "read in pieces"
    trained = predict.job(of(found, "language")[0])
    assert (trained.batch, trained.length, trained.dtype, trained.autocast) == (2, 32, "float32", False)
    lowered = predict.job(of(points(*more, "training.autocast=true"), "language")[0])
    assert (lowered.dtype, lowered.autocast, lowered.weight_item) == ("bfloat16", True, 4)


def test_what_reads_a_context_and_trains_after_it_takes_both():
    more = ("measures=[energy,training,memory]", "sweep.batch_size=[1]", "sweep.sequence_length=[64,4096]", "limits={}")
    found, machine = points(*more), hardware.here("cpu")
    energy, trained, read = (of(found, measure) for measure in ("energy", "training", "memory"))
    assert len(energy) == len(trained) == len(read) > 0
    for both, one, other in zip(energy, trained, read, strict=True):
        told = predict.memory_bytes(both)
        assert told == max(predict.memory_bytes(one), predict.memory_bytes(other)) >= predict.memory_bytes(one)
        asked = predict.job(both)
        passed = cost.training(asked, machine).seconds + cost.prefill(asked, machine).seconds
        least = measures.load("energy").least_seconds + predict.STARTED_SECONDS["cpu"]
        assert predict.seconds(both) == pytest.approx(predict.UNTIMED_PASSES * passed + least)


def test_a_measure_without_a_stopwatch_takes_some_passes():
    given = of(points("measures=[memory]", "sweep.sequence_length=[5000]", "limits={}"), "memory")[0]
    passed = cost.prefill(predict.job(given), hardware.here("cpu")).seconds
    assert predict.seconds(given) == pytest.approx(5 * passed + 0.1)


def test_training_takes_its_budget():
    """Of tokens and of FLOPs that pay for as many, the same; of seconds, those."""
    given = of(points("training.tokens=10k"), "language")[0]
    asked = predict.job(given)
    flops = asked.kind.needed_flops(asked.shape, asked.options, asked.form_used, 32, backward=True) / 32 * 10_000
    same = dataclasses.replace(given, training=dataclasses.replace(given.training, tokens=None, flops=flops))
    assert predict.seconds(same) == pytest.approx(predict.seconds(given))
    step = cost.training(asked, hardware.here("cpu"))
    assert predict.seconds(given) == pytest.approx(10_000 / step.tokens * step.seconds * 1.5 + 0.1)
    timed = dataclasses.replace(given, training=dataclasses.replace(given.training, tokens=None, seconds=7.0))
    assert 7 < predict.seconds(timed) < 14


def test_points_that_their_limit_will_stop_are_told_before_a_run():
    """The estimate of a run ends at its limit, so it says nothing of them. A stopwatch that is late has its number."""
    given = of(points("training.tokens=10M", "limits.seconds=40"), "language")
    most = max(predict.uncapped(each, least=True) for each in given)
    assert predict.seconds(given[0]) == 40 + predict.STARTED_SECONDS["cpu"] < most
    told = foresight.of_time([*given, *of(points(), "noop")])
    assert told is not None
    assert told.startswith(
        f"warning: {len(given)} points are predicted to take longer than the 40 s of limits.seconds, up to "
        f"{quantity.tell_seconds(most)} (language of "
    )
    assert told.endswith("): they will be rows without a number; raise it, or train on less")
    assert told in foresight.warnings(given, None, None)
    assert foresight.of_time(dataclasses.replace(each, limit_seconds=None) for each in given) is None
    assert foresight.of_time(dataclasses.replace(each, limit_seconds=most + 1) for each in given) is None
    slow = of(points("sweep.sequence_length=[4096]", "limits={}"), "prefill")[0]
    whole, least = predict.uncapped(slow), predict.uncapped(slow, least=True)
    assert foresight.of_time([dataclasses.replace(slow, limit_seconds=(least + whole) / 2)]) is None
    told = foresight.of_time([dataclasses.replace(slow, limit_seconds=least / 2)])
    assert told is not None
    assert told.endswith("it will be a row without a number; raise it, or sweep smaller sizes")


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_no_experiment_of_the_project_is_predicted_to_be_stopped_by_its_limit(path):
    device = "cuda" if path.stem.endswith("_gpu") or path.stem.startswith("paper_") else "cpu"
    assert foresight.of_time(plan.points(experiment.load(path), device)) is None


@pytest.mark.parametrize("name", measures.names())
def test_what_a_gpu_replays_is_guessed_without_its_launches(name):
    measure = measures.load(name)
    code = inspect.getsource(inspect.getmodule(type(measure)))
    replays = re.search(r"[.]captured\b|[.]stepper\(|training[.]train\(", code) is not None
    assert measures.stated(measure, "captured") == replays
    if "batch_size" in measure.factors:
        given = of(points(f"measures=[{name}]", "limits={}"), name)[0]
        assert not predict.job(given).graph
        assert predict.job(dataclasses.replace(given, device="cuda")).graph == replays


def test_models_that_step_through_a_sequence_take_their_steps():
    given = of(points("measures=[state_drift]", "sweep.sequence_length=[5000]", "limits={}"), "state_drift")[0]
    step = cost.decode(predict.job(given), hardware.here("cpu"))
    assert predict.seconds(given) == pytest.approx(2 * 5000 * step.seconds + predict.STARTED_SECONDS["cpu"])
    assert predict.memory_bytes(given) == step.memory_bytes
    assert not predict.job(given).graph
    assert predict.job(dataclasses.replace(given, device="cuda")).graph


def test_every_point_of_every_device_can_be_predicted():
    for device in ("cpu", "cuda", "mps"):
        for point in points("measures=[forms,training,prefill,decode,memory,noop,language]", device=device):
            assert 0 < predict.seconds(point) <= 20 + predict.STARTED_SECONDS[device]
            assert predict.memory_bytes(point) > 0
