"""What a model states of its own cost is what the live model has: parameters, FLOPs and state bytes, exactly."""

import pytest
import torch

import models
from tests.contract import BATCH, LENGTH, SHAPE, every_case, flop_counter, tokens

WHERE = {1: "a step", 4: "a piece"}  # by tokens


@every_case
def test_parameters_are_counted_exactly(case):
    live = sum(parameter.numel() for parameter in case.build().parameters())
    assert case.kind.parameters_count(SHAPE, case.options) == live


@every_case
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "training"])
def test_flops_are_counted_exactly(case, backward):
    """Against torch's counter, which sees matrix products only: where a form mixes by elementwise operations, the
    counter must see exactly the rest."""
    for form in (form for form in case.forms if form != "recurrent"):
        model = case.build(dtype=torch.float32)
        with flop_counter() as counter:
            logits = model(tokens(1), form)
            if backward:
                logits.sum().backward()
        stated = case.kind.flops(SHAPE, case.options, form, LENGTH, backward=backward)
        mixing = SHAPE.layers * case.kind.mixing_flops(SHAPE, case.options, form, LENGTH) * (3 if backward else 1)
        assert counter.get_total_flops() in ((stated,) if form == "parallel" else (stated, stated - mixing)), form
        assert mixing < stated


@every_case
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "training"])
def test_needed_flops_are_those_of_the_recurrence_and_none_computed_again(case, backward):
    """None is as long as a form's own count where tokens are many, and two pieces need what the whole needs."""
    for form in case.forms:
        needed = case.kind.needed_flops(SHAPE, case.options, form, LENGTH, backward=backward)
        assert needed <= case.kind.flops(SHAPE, case.options, form, LENGTH, backward=backward)
        again = getattr(case.options, "implementation", "") == "sdpa" and backward
        recurrent = case.kind.flops(SHAPE, case.options, "recurrent", 4096, backward=backward)
        many = case.kind.needed_flops(SHAPE, case.options, form, 4096, backward=backward)
        assert many < recurrent if again else many == recurrent
    first, second = (case.kind.needed_flops(SHAPE, case.options, "recurrent", 2048, past) for past in (0, 2048))
    assert first + second == case.kind.needed_flops(SHAPE, case.options, "recurrent", 4096)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("context", [0, 6])
def test_attention_needs_each_key_up_to_a_querys_own(implementation, context):
    """Products counted pair by pair: of a query with a key and of a weight with a value, 2 FLOPs a number."""
    kind = models.load("transformer")
    pairs = sum(1 for query in range(9) for key in range(context + 9) if key <= context + query)
    sized = SHAPE, kind.Options(implementation=implementation), "parallel", 9, context
    mixing = SHAPE.layers * 2 * 2 * SHAPE.width * pairs
    linear = 9 * 2 * sum(weight.numel() for name, weight in kind(*sized[:2]).named_parameters() if "norm" not in name)
    linear -= 9 * 2 * SHAPE.vocabulary * SHAPE.width  # of the embedding's table a row is looked up
    assert kind.needed_flops(*sized) == linear + mixing
    assert kind.needed_flops(*sized, backward=True) == 3 * (linear + mixing)
    assert SHAPE.layers * kind.needed_mixing_flops(*sized) == mixing
    assert kind.needed_flops(*sized) < kind.flops(*sized)


@every_case
def test_state_bytes_are_the_live_tensors(case):
    model = case.build(dtype=torch.float32)
    with torch.no_grad():
        for batch, capacity in ((1, LENGTH + 6), (BATCH, LENGTH + 2)):
            _, state = model.prefill(tokens(batch), capacity=capacity)
            _, state = model.step(tokens(batch)[:, 0], state)
            held = capacity if ("cache", "concatenated") not in case.changed else LENGTH + 1
            assert state.nbytes == case.kind.state_bytes(SHAPE, case.options, batch, held)


@every_case
@pytest.mark.parametrize("more", WHERE, ids=WHERE.get)
def test_a_state_is_overwritten_where_that_is_stated(case, more):
    """All of it, else none is told to be; in memory reserved for what is still to come."""
    model = case.build(dtype=torch.float32)
    stated = case.kind.steps_in_place(case.options) if more == 1 else case.kind.pieces_in_place(SHAPE, case.options)
    with torch.no_grad():
        _, state = model.prefill(tokens(), capacity=LENGTH + 1 + more)
        _, state = model.step(tokens()[:, 0], state)
        before = list(state.tensors())  # alive meanwhile, so that no other takes their place
        places = [tensor.data_ptr() for tensor in before]
        given = tokens(length=more, seed=2)
        _, state = model.step(given[:, 0], state) if more == 1 else model.prefill(given, state=state)
        assert ([tensor.data_ptr() for tensor in state.tensors()] == places) == stated
