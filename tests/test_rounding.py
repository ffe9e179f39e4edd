"""A state in bfloat16, rounded by chance: what rounding promises, and what RetNet makes of it."""

import dataclasses

import pytest
import torch

from models import _rounding
from models.retnet import Model, Options
from tests.contract import EXACT, SHAPE, continued, relative, tokens

ROUNDED = Options(state_dtype="bfloat16")


def at(position):
    return torch.tensor(position)


def drawn(*sizes):
    return torch.randn(sizes, generator=torch.Generator().manual_seed(1))


def bits(x):
    return x.view(torch.int16).int()


def test_a_number_becomes_one_of_its_two_neighbours():
    x = drawn(3, 5, 700)
    below = (x.view(torch.int32) & ~0xFFFF).view(torch.float32)
    found = _rounding.dithered(x, at(6))
    assert found.dtype == torch.bfloat16
    up = bits(found) - bits(below.to(torch.bfloat16))
    assert set(up.unique().tolist()) == {0, 1}, "by size, whatever the sign"


def test_what_bfloat16_holds_stays_as_it_is():
    x = torch.cat([drawn(999).to(torch.bfloat16), torch.tensor([0.0, -0.0, torch.inf, -torch.inf])]).float()
    assert torch.equal(_rounding.dithered(x, at(3)).float(), x)
    nans = torch.tensor([0x7FFFFFFF, 0x7FC00000, -1], dtype=torch.int32).view(torch.float32).repeat(99)
    assert _rounding.dithered(nans, at(3)).isnan().all(), "as a GPU makes them, all bits are ones"


@pytest.mark.parametrize("share", [0.03, 0.25, 0.5, 0.8])
def test_up_as_often_as_the_number_is_near(share):
    """Over positions and over places: within five standard deviations of a fair draw."""
    x = torch.full((200,), 1 + share * 2**-7)
    found = torch.stack([_rounding.dithered(x, at(n)) for n in range(500)]).float() > 1
    for axis, count in ((0, 500), (1, 200)):
        spread = (share * (1 - share) / count) ** 0.5
        assert (found.float().mean(axis) - share).abs().max() < 5 * spread
    assert abs(found.float().mean().item() - share) < 5 * (share * (1 - share) / found.numel()) ** 0.5


def test_neither_places_nor_positions_share_their_chances():
    x = torch.full((64,), 1 + 2**-8)
    up = torch.stack([_rounding.dithered(x, at(n)) for n in range(4096)]).double() > 1
    for rows in (up.T, up.view(64, 64, 64).permute(1, 0, 2).reshape(64, -1)):
        apart = torch.corrcoef(rows.double()) - torch.eye(64)
        assert apart.abs().max() < 6 / 64


def test_a_slow_decay_goes_on_which_rounding_to_the_nearest_stops():
    gamma, steps = 1 - 2**-9, 1024
    by_chance = nearest = torch.ones(4000, dtype=torch.bfloat16)
    for n in range(steps):
        by_chance = _rounding.dithered(by_chance.float() * gamma, at(n))
        nearest = (nearest.float() * gamma).to(torch.bfloat16)
    assert by_chance.float().mean().item() == pytest.approx(gamma**steps, rel=5e-3)
    assert (nearest == 1).all()


def test_the_position_alone_decides():
    x = drawn(2, 3, 40)
    assert torch.equal(_rounding.dithered(x, at(7)), _rounding.dithered(x.double(), at(7)))
    assert torch.equal(_rounding.dithered(x, at(7)), _rounding.dithered(x.mT.contiguous().mT, at(7)))
    assert not torch.equal(_rounding.dithered(x, at(7)), _rounding.dithered(x, at(8)))


def test_gradients_pass_as_if_nothing_was_rounded():
    x = drawn(90).double().requires_grad_()
    found = _rounding.dithered(x, at(7))
    assert torch.equal(found, _rounding.dithered(x.detach(), at(7)))
    (found.double() * 3).sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 3))


# A model of it -----------------------------------------------------------------------------------------------------


def build(options=ROUNDED, dtype=torch.float64, **sizes):
    torch.manual_seed(0)
    model = Model(dataclasses.replace(SHAPE, **sizes), options).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("form", Model.forms)
@pytest.mark.parametrize("changed", [{}, {"gamma": "learned"}, {"gamma": "none"}, {"group_norm": False}], ids=str)
@torch.no_grad()
def test_prompt_and_steps_stay_near_one_pass(form, changed):
    model, text = build(dataclasses.replace(ROUNDED, **changed)), tokens(length=64)
    whole = model(text, form)
    exact = build(dataclasses.replace(ROUNDED, **changed, state_dtype="float32"))
    assert torch.equal(whole, exact(text, form)), "one pass carries no state"
    logits, state = model.prefill(text[:, :23], form)
    assert relative(logits, whole[:, 22]) < EXACT
    after = continued(model, state, text[:, 23:]) - whole[:, 23:]
    assert 1e-4 < (after.norm() / whole[:, 23:].norm()).item() < 3e-2


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@torch.no_grad()
def test_the_state_takes_half_the_bytes_and_stays_where_it_is(dtype):
    (_, state), (_, wide) = (build(options, dtype).prefill(tokens()) for options in (ROUNDED, Options()))
    assert state.nbytes == wide.nbytes * 2 // max(dtype.itemsize, 4) == Model.state_bytes(SHAPE, ROUNDED, 3, 13)
    held = [tensor.data_ptr() for tensor in state.tensors()]
    _, after = build(dtype=dtype).step(tokens()[:, 0], state)
    assert [tensor.data_ptr() for tensor in after.tensors()] == held
    assert {tensor.dtype for tensor in after.tensors()} == {torch.bfloat16}


@torch.no_grad()
def test_a_run_that_is_repeated_gives_the_same_numbers():
    model = build(dtype=torch.float32)
    found = []
    for _ in range(2):
        _, state = model.prefill(tokens())
        found.append((continued(model, state, tokens(length=9, seed=3)), *state.tensors()))
    assert all(map(torch.equal, *found))


def test_a_step_that_keeps_gradients_rounds_as_one_that_does_not():
    model, (first, second) = build(), tokens(2, 2).T
    states = []
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            _, state = model.prefill(first[:, None])
            _, state = model.step(second, state)
        states.append([tensor.detach() for tensor in state.tensors()])
    assert all(map(torch.equal, *states))


@torch.no_grad()
def test_the_error_of_the_state_has_no_direction(monkeypatch):
    """Where it fades slowly, it is neither faded more nor less; rounded to the nearest, it is, and errs much more."""
    options = Options(gamma=(1 - 2**-9,), head_size=24)
    rounded, exact = (
        build(dataclasses.replace(options, state_dtype=kept), torch.float32, heads=1, layers=1)
        for kept in ("bfloat16", "float32")
    )
    wanted = read(exact)
    error = read(rounded) - wanted
    monkeypatch.setattr(_rounding, "dithered", lambda x, position: x.to(torch.bfloat16))
    nearest = read(rounded) - wanted
    along, nearest_along = ((each * wanted).sum() / wanted.square().sum() for each in (error, nearest))
    assert abs(along) < 0.02 < 0.05 < abs(nearest_along)
    assert error.norm() / wanted.norm() < 0.05 < 0.1 < nearest.norm() / wanted.norm()


def read(model):
    """The state after a text, read token by token."""
    first, *rest = tokens(1, 900).T
    _, state = model.prefill(first[:, None])
    for token in rest:
        _, state = model.step(token, state)
    return next(state.tensors()).float()
