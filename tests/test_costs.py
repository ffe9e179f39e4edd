"""What a model states of its own cost is what the live model has: parameters, FLOPs and state bytes, exactly."""

import pytest
import torch

from tests.contract import BATCH, LENGTH, SHAPE, every_case, flop_counter, tokens


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
def test_state_bytes_are_the_live_tensors(case):
    model = case.build(dtype=torch.float32)
    with torch.no_grad():
        for batch, capacity in ((1, LENGTH + 6), (BATCH, LENGTH + 2)):
            _, state = model.prefill(tokens(batch), capacity=capacity)
            _, state = model.step(tokens(batch)[:, 0], state)
            held = capacity if ("cache", "concatenated") not in case.changed else LENGTH + 1
            assert state.nbytes == case.kind.state_bytes(SHAPE, case.options, batch, held)
