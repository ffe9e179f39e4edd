"""What a state is worth, over every model, option and form: prefill, step, left padding, and ranges that overflow."""

import pytest
import torch
from torch.nn import functional as F

import models
from models._cost import Shape
from tests.contract import EXACT, LENGTH, SHAPE, continued, every_case, every_form, every_model, relative, tokens


@every_form
def test_prefill_then_step_equals_one_pass(case, form):
    model = case.build()
    with torch.no_grad():
        whole = model(tokens(), form)
        logits, state = model.prefill(tokens()[:, :7], form)
        assert relative(logits, whole[:, 6]) < EXACT
        assert relative(continued(model, state, tokens()[:, 7:]), whole[:, 7:]) < case.carried


@every_form
def test_a_form_starts_from_a_state(case, form):
    model = case.build()
    with torch.no_grad():
        whole = model(tokens(), "recurrent")
        _, state = model.prefill(tokens()[:, :5], "recurrent")
        logits, state = model.prefill(tokens()[:, 5:11], form, state=state)
        assert relative(logits, whole[:, 10]) < case.carried
        assert relative(continued(model, state, tokens()[:, 11:]), whole[:, 11:]) < case.carried


@every_case
def test_a_cloned_state_is_independent(case):
    model = case.build()
    with torch.no_grad():
        _, state = model.prefill(tokens())
        fork = state.clone()
        first = continued(model, state, tokens(length=3, seed=3))
        assert torch.equal(continued(model, fork, tokens(length=3, seed=3)), first)


@every_form
def test_left_padding_changes_nothing(case, form):
    model, lengths = case.build(), (LENGTH, 4, 9)
    prompts = [tokens(1, n, seed=n)[0] for n in lengths]
    padding = torch.tensor([LENGTH - n for n in lengths])
    batch = torch.stack([F.pad(prompt, (LENGTH - len(prompt), 0), value=7) for prompt in prompts])
    more = tokens(length=4, seed=3)
    with torch.no_grad():
        whole = model(batch, form, padding)
        logits, state = model.prefill(batch, form, padding)
        after = continued(model, state, more)
        for i, prompt in enumerate(prompts):
            alone, alone_state = model.prefill(prompt[None], form)
            assert relative(whole[i, padding[i] :], model(prompt[None], form)[0]) < EXACT
            assert relative(logits[i], alone[0]) < EXACT
            assert relative(after[i], continued(model, alone_state, more[i : i + 1])[0]) < case.carried


@every_form
def test_a_padded_prompt_may_be_read_in_pieces(case, form):
    model, padding = case.build(), torch.tensor([9, 0, 4])
    with torch.no_grad():
        whole, after = model.prefill(tokens(), form, padding)
        _, state = model.prefill(tokens()[:, :5], form, padding, capacity=LENGTH + 4)
        for piece in tokens()[:, 5:].split(3, 1):
            logits, state = model.prefill(piece, form, state=state, capacity=LENGTH + 4)
        assert relative(logits, whole) < case.carried
        more = tokens(length=4, seed=3)
        assert relative(continued(model, state, more), continued(model, after, more)) < case.carried
        with pytest.raises(ValueError, match="padding is given with a state"):
            model.prefill(tokens(), form, padding, state)


@every_form
def test_padding_gives_finite_gradients(case, form):
    model = case.build()
    model(tokens(), form, torch.tensor([0, 9, 4]))[:, -1].sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@every_model
def test_sixteen_thousand_tokens_in_float32(name):
    shape = Shape(width=16, layers=1, heads=2, ffn_width=16, vocabulary=11, max_length=16384)
    model = models.load(name)(shape)
    with torch.no_grad():
        logits, state = model.prefill(tokens(1, 16384))
    assert logits.isfinite().all()
    assert all(tensor.isfinite().all() for tensor in state.tensors())


@every_form
def test_four_thousand_tokens_in_bfloat16(case, form):
    if form == "recurrent":
        pytest.skip("one token at a time, the range is that of the steps below")
    shape = Shape(width=16, layers=1, heads=2, ffn_width=16, vocabulary=11, max_length=4096)
    torch.manual_seed(0)
    model = case.kind(shape, case.options).to(torch.bfloat16)
    logits = model(tokens(1, 4096), form)
    logits.float().pow(2).sum().backward()
    assert logits.dtype == torch.bfloat16
    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@every_case
def test_bfloat16_stays_near_float64(case):
    """In the norm of the difference: single logits near zero may be off by more than rounding suggests."""
    exact, rounded = case.build(), case.build().to(torch.bfloat16)
    for parameter, short in zip(exact.parameters(), rounded.parameters(), strict=True):
        parameter.data.copy_(short.data)
    with torch.no_grad():
        wanted = exact(tokens())
        assert ((rounded(tokens()).double() - wanted).norm() / wanted.norm()).item() < 0.05
        _, state = rounded.prefill(tokens()[:, :9])
        after = continued(rounded, state, tokens()[:, 9:]).double() - wanted[:, 9:]
        assert (after.norm() / wanted[:, 9:].norm()).item() < 0.05


@every_case
def test_autocast_trains(case):
    torch.manual_seed(0)
    model = case.kind(SHAPE, case.options)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(tokens())
    F.cross_entropy(logits.float().flatten(0, 1), tokens(seed=5).flatten()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
