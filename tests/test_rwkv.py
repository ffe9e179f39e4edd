"""RWKV-4: initial values, sizes, and the state: one token's shorter path, gradients through it, padding before it."""

import dataclasses

import pytest
import torch

from models import _wkv
from models._cost import Shape
from models._layers import FeedForward
from models.rwkv import Model, Options
from tests.contract import relative
from tests.test_rwkv_golden import golden, model_names

# Initial values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("init", "theirs"),
    [("declared", "same file with TorchScript switched off"), ("published", "as shipped (TorchScript modules)")],
)
def test_initial_values_are_the_authors(init, theirs):
    file = golden("model")
    names = model_names(8, 2)
    model = Model(Shape(width=8, layers=2, heads=2, ffn_width=32, vocabulary=17), Options(init=init))
    parameters = dict(model.named_parameters())
    for name, values in file["init"]["values"].items():
        to, where = names[name]
        torch.testing.assert_close(parameters[to][where], torch.tensor(values).flatten(), atol=1e-6, rtol=1e-6)
    for name, largest in file["init"]["largest singular value"][theirs].items():
        to, where = names[name]
        values = torch.linalg.svdvals(parameters[to][where].detach())
        torch.testing.assert_close(values, torch.full_like(values, largest), rtol=1e-4, atol=1e-7)  # all are the same


def test_one_layer_and_one_channel_start_finite():
    model = Model(Shape(width=1, layers=1, heads=1, ffn_width=3, vocabulary=2))
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("ffn", ["swiglu", "gelu"])
def test_the_common_feed_forward_starts_as_in_other_models(ffn):
    model = Model(Shape(width=64, layers=2, heads=2, ffn_width=96, vocabulary=17), Options(ffn=ffn))
    for block in model.blocks:
        assert isinstance(block.ffn, FeedForward)
        assert block.ffn.into.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert block.ffn.out.weight.std().item() == pytest.approx(0.01, rel=0.1)  # 0.02 / sqrt(2 layers)
        assert (block.mixer.out.weight == 0).all()


def test_initial_values_do_not_depend_on_threads_and_leave_their_number_alone():
    made, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(3)
            made.append(Model(Shape(width=192, layers=1, heads=2, ffn_width=700, vocabulary=300), Options()))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    one, two = (model.state_dict() for model in made)
    assert all(torch.equal(one[name], two[name]) for name in one)


# Sizes ------------------------------------------------------------------------------------------------------------


def test_a_layer_of_four_times_the_width_has_13_squares_and_7_vectors():
    shape = Shape(width=256, layers=6, heads=4, ffn_width=1024)
    layer = 13 * 256**2 + 7 * 256 + 4 * 256  # the last are the two norms
    assert Model.default_ffn_width(256, Options()) == 1024
    assert Model.parameters_count(shape, Options()) == 6 * layer + 2 * 256 * 256 + 4 * 256 == 5_260_800


@pytest.mark.parametrize("ffn", ["channel_mix", "gelu"])
def test_the_state_is_five_vectors_a_layer_or_four_without_channel_mixing(ffn):
    shape = Shape(width=6, layers=3, heads=2, ffn_width=7, vocabulary=5)
    for capacity in (10, 1000):
        wanted = 2 * 3 * 6 * (5 if ffn == "channel_mix" else 4) * 4
        assert Model.state_bytes(shape, Options(ffn=ffn), batch=2, capacity=capacity) == wanted


# One token --------------------------------------------------------------------------------------------------------


def random_model(dtype=torch.float64, **changes):
    torch.manual_seed(1)
    shape = dataclasses.replace(Shape(width=10, layers=2, heads=2, ffn_width=14, vocabulary=7), **changes)
    model = Model(shape).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("batch", [1, 3])
def test_the_step_that_decodes_equals_the_step_that_trains(batch):
    """Without gradients a token takes a shorter path through both mixers."""
    model = random_model()
    tokens = torch.randint(0, 7, (batch, 9))
    with torch.no_grad():
        _, state = model.prefill(tokens[:, :8])
        fork = state.clone()
        quick, after = model.step(tokens[:, 8], state)
    slow, slow_after = model.step(tokens[:, 8], fork)
    assert slow.requires_grad
    assert relative(quick, slow) < 1e-13
    for layer, other in zip(after.layers, slow_after.layers, strict=True):
        assert layer.keys() == other.keys()
        assert all(relative(layer[name], other[name]) < 1e-13 for name in layer)


def test_the_first_real_token_of_a_padded_prompt_follows_nothing():
    """Token shift blends it with zero, not with the padding before it."""
    model = random_model()
    prompt, padded = torch.tensor([[3, 1]]), torch.tensor([[5, 5, 5, 3, 1]])
    with torch.no_grad():
        wanted = model(prompt)
        found = model(padded, padding=torch.tensor([3]))
        _, state = model.prefill(padded[:, :3], padding=torch.tensor([3]))
    assert relative(found[:, 3:], wanted) < 1e-13
    for layer in state.layers:
        assert (layer["time_input"] == 0).all()
        assert (layer["channel_input"] == 0).all()
        assert (layer["max"] == _wkv.NOTHING).all()


def test_gradients_pass_through_the_state():
    """Into the tokens before it, by the average and by the token shifts of both mixers."""
    model, tokens = random_model(), torch.randint(0, 7, (2, 9))
    gradients = []
    for cut in (0, 4):
        model.zero_grad()
        if cut:
            _, state = model.prefill(tokens[:, :cut])
            logits, _ = model.prefill(tokens[:, cut:], state=state)
        else:
            logits, _ = model.prefill(tokens)
        logits.pow(2).sum().backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    assert relative(gradients[1], gradients[0]) < 1e-11


def test_a_state_keeps_nothing_else_alive():
    """A view of the last token would hold the activations of all."""
    model = random_model()
    with torch.no_grad():
        for length in (1, 8):
            _, state = model.prefill(torch.randint(0, 7, (3, length)))
            _, state = model.step(torch.randint(0, 7, (3,)), state)
            assert sum(x.untyped_storage().nbytes() for x in state.tensors()) == state.nbytes
            _, state = model.prefill(torch.randint(0, 7, (3, length)), state=state)
            assert sum(x.untyped_storage().nbytes() for x in state.tensors()) == state.nbytes
