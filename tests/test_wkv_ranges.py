"""WKV where plain exponentials overflow or lose digits: large keys, long sequences, slow decays, short types."""

import pytest
import torch

from models import _wkv
from tests.contract import relative
from tests.test_wkv import every_form, every_parallel_form, inputs, outcome


@every_parallel_form
@pytest.mark.parametrize("decay", [0.0, -5.0, 3.0], ids=["none", "slow", "fast"])
def test_sixteen_thousand_tokens_in_float32_with_keys_of_a_hundred(form, decay):
    length, w = 16384, torch.full((3,), -torch.exp(torch.tensor(decay)).item() if decay else 0.0)
    k, v, _, u, *_ = (x.detach().float() for x in inputs(1, length, 3, spread=1.0))
    k = (100 * torch.sin(k)).requires_grad_()  # from -100 to 100, often at both ends
    y, state = _wkv.wkv(k, v, w, u, _wkv.empty(1, 3, k), form)
    (gradient,) = torch.autograd.grad(y.sum(), k)
    assert gradient.isfinite().all()
    assert all(x.isfinite().all() for x in (y, *state))
    exact, _ = _wkv.wkv(*(x.detach().double() for x in (k, v, w, u)), _wkv.empty(1, 3, k.double()), form)
    assert relative(y.double(), exact) < 1e-4


@every_form
def test_a_slow_decay_is_not_rounded_away_beside_a_large_key(form):
    """100 - e^-5 keeps four digits of e^-5 in float32; taking the difference of the maxima first keeps all."""
    k, v, _, u, *_ = (x.detach() for x in inputs(1, 700, 3, spread=0.0))
    k, w = k + 100, torch.full((3,), -torch.exp(torch.tensor(-5.0)).item(), dtype=torch.float64)
    exact, _ = _wkv.wkv(k, v, w, u, _wkv.empty(1, 3, k), form)
    k, v, w, u = (x.float() for x in (k, v, w, u))
    y, _ = _wkv.wkv(k, v, w, u, _wkv.empty(1, 3, k), form)
    assert relative(y.double(), exact) < 1e-5


@every_form
def test_a_jump_of_the_keys_overflows_nothing(form):
    """The past outweighs the present by e^200, then the reverse: both exponents are out of float32's range."""
    k = torch.tensor([100.0, -100.0, 100.0, -100.0, -100.0, 100.0]).view(1, -1, 1).requires_grad_()
    v = torch.arange(6.0).view(1, -1, 1).requires_grad_()
    zero = torch.zeros(1)
    y, _ = _wkv.wkv(k, v, zero, zero, _wkv.empty(1, 1, k), form)
    torch.testing.assert_close(y.flatten(), torch.tensor([0.0, 0, 1, 1, 1, 7 / 3]))
    gradients = torch.autograd.grad(y.sum(), (k, v))
    assert all(gradient.isfinite().all() for gradient in gradients)


@every_parallel_form
def test_float32_gradients_are_near_those_of_float64(form):
    arguments = inputs(length=1024, spread=5.0)
    wanted = outcome(form, arguments)
    found = outcome(form, [x.detach().float().requires_grad_() for x in arguments])
    assert max(relative(x.double(), exact) for x, exact in zip(found, wanted, strict=True)) < 1e-4


@every_form
def test_bfloat16_is_computed_in_float32(form):
    k, v, w, u, *_ = (x.detach() for x in inputs(length=100, dtype=torch.bfloat16))
    state = _wkv.empty(k.shape[0], k.shape[2], k)
    assert {x.dtype for x in state} == {torch.float32}
    y, after = _wkv.wkv(k, v, w, u, state, form)
    assert y.dtype == torch.bfloat16
    assert {x.dtype for x in after} == {torch.float32}
    k, v, w, u = (x.double() for x in (k, v, w, u))
    exact, _ = _wkv.wkv(k, v, w, u, _wkv.empty(k.shape[0], k.shape[2], k), form)
    assert relative(y.double(), exact) < 0.004  # rounding of the result alone
