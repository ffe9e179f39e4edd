"""The bare retention operation: authors' numbers, the recurrence in float64 as the oracle, and ranges that overflow.

`golden/retention_op.json` changes only with the formula; a difference above 1e-11 is a mistake here.
"""

import json
import pathlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models import _decay, _retention
from tests.contract import relative

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden" / "retention_op.json").read_text(encoding="utf-8"))
CLOSE = {"atol": 1e-11, "rtol": 1e-11}
FORMS = {
    "recurrent": _retention.recurrent,
    "parallel": _retention.parallel,
    **{
        f"chunkwise-{chunk}": lambda *given, chunk=chunk: _retention.chunkwise(*given, chunk=chunk)
        for chunk in (1, 5, 8, 64)
    },
}
every_form = pytest.mark.parametrize("form", FORMS)


def golden(*path):
    found = GOLDEN
    for name in path:
        found = found[name]
    return torch.tensor(found, dtype=torch.float64)


def inputs(batch=2, heads=3, length=23, K=4, V=6, gamma=None, seed=0):
    """q, k, v, ln gamma and a state to start from, all asking for gradients."""
    generator = torch.Generator().manual_seed(seed)
    sizes = ((batch, heads, length, K),) * 2 + ((batch, heads, length, V), (batch, heads, K, V))
    q, k, v, state = (torch.randn(size, dtype=torch.float64, generator=generator).requires_grad_() for size in sizes)
    gammas = torch.linspace(0.5, 0.9999, heads, dtype=torch.float64) if gamma is None else torch.full((heads,), gamma)
    return q, k, v, gammas.double().log().requires_grad_(), state


def outcome(form, arguments, with_state=True):
    """Output, final state and the gradients of everything, from a loss that weighs output and state."""
    q, k, v, log_decay, state = arguments
    o, final = FORMS[form](q, k, v, log_decay, state if with_state else None, True)
    wanted = [x for x in (q, k, v, log_decay, state if with_state else None) if x is not None]
    loss = (o * torch.sin(torch.arange(o.numel()).view(o.shape))).sum() + (final * torch.cos(final)).sum()
    return o, final, *torch.autograd.grad(loss, wanted)


def differences(form, arguments, with_state=True):
    pairs = zip(outcome(form, arguments, with_state), outcome("recurrent", arguments, with_state), strict=True)
    return max(relative(found, wanted) for found, wanted in pairs)


@every_form
def test_golden_vectors(form):
    q, k, v = (golden("inputs", name).requires_grad_() for name in "qkv")
    log_decay = golden("config", "gamma").log()
    o, final = FORMS[form](q * GOLDEN["config"]["scale"], k, v, log_decay, None, True)
    torch.testing.assert_close(o, golden("outputs", "o"), **CLOSE)
    torch.testing.assert_close(final, golden("outputs", "final_state"), **CLOSE)
    (o * golden("inputs", "cotangent")).sum().backward()
    for name, x in zip("qkv", (q, k, v), strict=True):
        torch.testing.assert_close(x.grad, golden("gradients", name), **CLOSE)


@every_form
def test_golden_vectors_from_a_state(form):
    told = ("q", "k", "v", "initial_state")
    q, k, v, state = (golden("inputs", name).requires_grad_() for name in told)
    o, final = FORMS[form](q * GOLDEN["config"]["scale"], k, v, golden("config", "gamma").log(), state, True)
    torch.testing.assert_close(o, golden("outputs", "own_loop_with_initial_state", "o"), **CLOSE)
    torch.testing.assert_close(final, golden("outputs", "own_loop_with_initial_state", "final_state"), **CLOSE)
    ((o * golden("inputs", "cotangent")).sum() + (final * golden("inputs", "state_cotangent")).sum()).backward()
    for name, x in zip(told, (q, k, v, state), strict=True):
        wanted = golden("gradients", "own_loop_with_initial_state", name)
        torch.testing.assert_close(x.grad, wanted, **CLOSE)


@every_form
@given(st.sampled_from([1, 2]), st.sampled_from([1, 3]), st.integers(1, 70), st.integers(1, 5), st.integers(0, 99))
def test_every_form_is_the_recurrence(form, batch, heads, length, K, seed):
    """Output, final state, and the gradients of q, k, v, ln gamma and the state before, from both."""
    arguments = inputs(batch, heads, length, K, 7, seed=seed)
    assert differences(form, arguments) < 1e-10
    assert differences(form, arguments, with_state=False) < 1e-10


@every_form
@pytest.mark.parametrize("gamma", [0.5, 1 - 2.0**-12, 1.0])
def test_decays_near_their_ends(form, gamma):
    assert differences(form, inputs(length=131, gamma=gamma)) < 1e-10


@every_form
def test_no_decay_is_a_decay_of_one(form):
    q, k, v, _, state = inputs()
    o, final = FORMS[form](q, k, v, None, state, True)
    wanted, wanted_final = FORMS[form](q, k, v, torch.zeros(3, dtype=torch.float64), state, True)
    assert relative(o, wanted) < 1e-13
    assert relative(final, wanted_final) < 1e-13


@every_form
def test_the_state_is_not_made_where_it_is_not_wanted(form):
    q, k, v, log_decay, _ = inputs()
    assert FORMS[form](q, k, v, log_decay, None, False)[1] is None


@every_form
def test_the_future_has_no_gradient_at_all(form):
    q, k, v, log_decay, state = inputs()
    o, _ = FORMS[form](q, k, v, log_decay, state, True)
    for gradient in torch.autograd.grad(o[:, :, 11].sum(), (q, k, v)):
        assert (gradient[:, :, 12:] == 0).all()
        assert gradient[:, :, :12].abs().max() > 0


@pytest.mark.parametrize("form", ["parallel", "chunkwise-64"])
def test_distances_beyond_what_a_power_holds_are_finite(form):
    """gamma^(n-m) with n < m is e^130 at 4096 tokens and gamma 0.96875; masked late it would be inf times 0."""
    q, k, v = (torch.randn(1, 1, 4096, 4, requires_grad=True) for _ in range(3))
    o, final = FORMS[form](q, k, v, torch.tensor([0.96875]).log(), None, True)
    assert o.isfinite().all()
    assert final.isfinite().all()
    assert all(x.isfinite().all() for x in torch.autograd.grad(o.sum(), (q, k, v)))


def test_a_step_overwrites_the_state_with_the_next():
    q, k, v, log_decay, state = (x.detach() for x in inputs(length=1))
    wanted, after = _retention.recurrent(q, k, v, log_decay, state, True)
    held = state.clone()
    o = _retention.step_(q[:, :, 0], k[:, :, 0], v[:, :, 0], log_decay.exp()[:, None, None], held)
    assert relative(o, wanted[:, :, 0]) < 1e-13
    assert relative(held, after) < 1e-13


def test_the_published_schedules():
    assert _decay.schedule("torchscale", 3) == (1 - 1 / 32, 1 - 1 / 64, 1 - 1 / 128)
    paper = _decay.schedule("paper", 5)
    assert paper[0] == pytest.approx(1 - 1 / 32)
    assert paper[-1] == pytest.approx(1 - 1 / 512)
    assert sorted(paper) == list(paper)
    assert _decay.schedule("single", 2) == (127 / 128, 127 / 128)
    assert _decay.schedule("none", 2) == (1.0, 1.0)


def test_row_sums_are_those_of_the_decay_matrix():
    log_decay = torch.tensor([0.5, 0.999, 1.0], dtype=torch.float64).log()
    wanted = _decay.matrix(log_decay, 9).sum(-1).T
    assert relative(_decay.row_sums(log_decay, torch.arange(9), torch.float64), wanted) < 1e-12
