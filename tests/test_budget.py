"""What is held equal, and the costs that every point states: the models' own."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

import models
from harness import budget, filters, measures, options
from harness.point import Training
from models._cost import Shape
from tests import fakes
from tests.planning import of, points

SHAPE = Shape(width=48, layers=2, heads=3, ffn_width=1, vocabulary=256, max_length=128)
every_model = pytest.mark.parametrize("name", models.names())


# The budget ------------------------------------------------------------------------------------------------------


@every_model
@given(data=st.data())
def test_the_solved_width_meets_the_budget_or_there_is_none(name, data):
    kind = models.load(name)
    heads, size = data.draw(st.integers(1, 5)), 2 * data.draw(st.integers(2, 9))
    shape = dataclasses.replace(SHAPE, width=heads * size, heads=heads, layers=data.draw(st.integers(1, 4)))
    target, chosen = data.draw(st.integers(1_000, 3_000_000)), kind.Options()
    try:
        solved = budget.solve(kind, shape, chosen, target)
    except budget.OverBudget:
        least, next_one = (kind.parameters_count(dataclasses.replace(shape, ffn_width=f), chosen) for f in (1, 2))
        assert least > 1.01 * target or (next_one - least) / 2 > 0.01 * target, "one unit must be worth over 2%"
        return
    assert abs(kind.parameters_count(solved, chosen) / target - 1) <= 0.01
    assert dataclasses.replace(solved, ffn_width=1) == shape, "nothing else changes"


@every_model
def test_a_large_budget_gets_a_width_that_machines_like(name):
    kind = models.load(name)
    solved = budget.solve(kind, dataclasses.replace(SHAPE, width=240), kind.Options(), 9_000_000)
    assert solved.ffn_width % 64 == 0
    assert abs(kind.parameters_count(solved, kind.Options()) / 9_000_000 - 1) <= 0.005


@every_model
def test_training_budgets_in_flops_and_tokens_agree(name):
    kind, shape = models.load(name), dataclasses.replace(SHAPE, ffn_width=77)
    form = kind.available_forms(kind.Options())[0]
    flops = budget.training_flops(kind, shape, kind.Options(), form, 32, 64_000)
    assert flops == 2000 * kind.needed_flops(shape, kind.Options(), form, 32, backward=True)


@every_model
def test_what_a_training_has_spent_is_the_models_own_count(name):
    """Going back twice what goes forward is needed, whatever is masked or computed again."""
    kind, options = models.load(name), dataclasses.asdict(models.load(name).Options())
    training = Training(sequence_length=32, batch_size=4, learning_rate=1e-3, tokens=64_000)
    trained = fakes.point(model=name, options=options, training=training)
    spent = budget.flops_of(trained, 64_000)
    form = kind.training_form(kind.Options())
    assert spent == 2000 * kind.needed_flops(trained.shape, kind.Options(), form, 32, backward=True)
    assert spent == 3 * 2000 * kind.needed_flops(trained.shape, kind.Options(), form, 32)


def test_a_budget_that_cannot_be_met_is_a_row_with_the_reason():
    found = points("budget.parameters=20k")
    assert {point.parameters for point in found} == {None}
    assert all("no feed-forward width gives 20k parameters" in (point.not_applicable or "") for point in found)


# Costs -----------------------------------------------------------------------------------------------------------


def test_prefill_states_the_cost_of_its_form_and_length():
    for point in of(points("sweep.dtype=[bfloat16]"), "prefill"):
        kind, chosen, length = (
            models.load(point.model),
            options.build(point.model, point.options),
            point.sequence_length,
        )
        assert point.parameters == kind.parameters_count(point.shape, chosen)
        assert point.flops_per_token == kind.flops(point.shape, chosen, point.form, length) / length
        assert point.state_bytes == kind.state_bytes(point.shape, chosen, point.batch_size, length, 2)


def test_decode_states_the_cost_of_one_token_after_its_context():
    for point in of(points(), "decode"):
        kind, chosen = models.load(point.model), options.build(point.model, point.options)
        wanted = kind.flops(point.shape, chosen, "recurrent", 1, context=point.sequence_length)
        assert point.flops_per_token == wanted


def test_training_states_the_cost_at_its_own_length():
    for point in of(points(), "language"):
        kind, chosen = models.load(point.model), options.build(point.model, point.options)
        assert point.flops_per_token == kind.flops(point.shape, chosen, kind.default_form, 32) / 32


def test_max_length_covers_what_is_read_decoded_and_trained_on():
    decoded = measures.load("decode").decoded_tokens
    assert decoded > 0
    long = points("sweep.sequence_length=[16, 400]")
    assert {point.max_length for point in long} == {400 + decoded}
    assert {point.max_length for point in filters.only(long, ["sequence_length=16"])} == {400 + decoded}, (
        "whatever is run"
    )
    assert {point.max_length for point in points("training.sequence_length=900")} == {900}
    assert {point.max_length for point in points("shape.max_length=1234")} == {1234}
