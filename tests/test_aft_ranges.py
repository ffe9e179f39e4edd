"""AFT where exponentials of keys or biases leave float32's range, or nearly."""

import pytest
import torch

from models import _average, _wkv
from models._cost import Shape
from models.aft import Mixer, Model, Options
from tests.contract import relative
from tests.test_aft import call


@pytest.mark.parametrize("form", ["recurrent", "parallel", "chunkwise"])
@pytest.mark.parametrize("variant", ["conv", "local", "full"])
def test_keys_and_biases_far_apart_in_float32(variant, form):
    """Keys within 50 of 0 and biases within 20, largest where it hurts: at the end, which is every query's future."""
    options = Options(variant=variant, window=8)
    if form not in Model.available_forms(options):
        pytest.skip(f"AFT-{variant} has no form {form}")
    k = torch.rand(2, 45, 6) * 100 - 50
    k[:, -1], k[:, 7] = 50, -50
    v = torch.randn(2, 45, 6)
    mixer = Mixer(Shape(6, 1, 2, 4, max_length=45), options)
    mixer.biases.table.data.uniform_(-20, 20)
    run = call(form, 45)
    exact = mixer.double().average(k.double(), v.double(), call("recurrent", 45), {})
    found = mixer.float().average(k, v, run, {})
    assert ((found.double() - exact).abs() / exact.abs().amax()).max() < 1e-4


def test_a_small_early_key_is_not_lost_to_a_large_later_one():
    """The trap: a maximum over all keys, future ones too, leaves the first rows 0/0 in float32."""
    k = torch.tensor([-50.0, 50.0]).view(1, 2, 1)
    v = torch.tensor([3.0, 5.0]).view(1, 2, 1)
    y = _average.banded(k, v, torch.full((1, 2, 2), -torch.inf).triu(1), _wkv.empty(1, 1, k))
    assert y.flatten().tolist() == [3.0, 5.0]


@pytest.mark.parametrize("form", ["parallel", "chunkwise", "recurrent"])
def test_keys_out_of_range_leave_nothing_infinite(form):
    k, v = (200 * torch.randn(1, 90, 4)).requires_grad_(), torch.randn(1, 90, 4, requires_grad=True)
    mixer = Mixer(Shape(4, 1, 2, 4), Options(window=7))
    mixer.biases.table.data.normal_()
    y = mixer.average(k, v, call(form, 90), {})
    assert y.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(y.sum(), (k, v)))


@pytest.mark.parametrize("form", ["parallel", "chunkwise", "recurrent"])
def test_only_differences_of_keys_matter(form):
    """What fills up the last block is no key of 0 beside those of -200."""
    k, v = torch.randn(1, 10, 4), torch.randn(1, 10, 4)
    mixer = Mixer(Shape(4, 1, 2, 4), Options(window=4))
    mixer.biases.table.data.normal_()
    near, far = (mixer.average(k - shift, v, call(form, 10), {}) for shift in (0, 200))
    assert relative(far, near) < 1e-4
