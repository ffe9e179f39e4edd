"""RWKV-4 against the authors' layers and model, its initial values, and the one-token path against the others."""

import dataclasses
import json
import pathlib

import pytest
import torch
from torch.nn import functional as F

from models import _wkv
from models._cost import Shape
from models._layers import FeedForward
from models._state import Call
from models.rwkv import ChannelMixing, Model, Options, TimeMixing
from tests.contract import relative

FORMS = Model.forms
every_form = pytest.mark.parametrize("form", FORMS)


def golden(name):
    path = pathlib.Path(__file__).parent / "golden" / f"rwkv4_{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def close(found, wanted):
    torch.testing.assert_close(found, tensor(wanted).view_as(found), atol=1e-11, rtol=1e-11)


def call_of(form, length):
    return Call(form, torch.arange(length), None, None, 0, True, None)


# The authors' names, and where their numbers stand here: (parameter, row or rows).


def time_names(width):
    rows = {"key.weight": 0, "value.weight": 1, "receptance.weight": 2}
    return {
        "time_decay": ("decay", ...),
        "time_first": ("first", ...),
        "output.weight": ("out.weight", ...),
        **{f"time_mix_{letter}": ("mix", row) for row, letter in enumerate("kvr")},
        **{name: ("into.weight", slice(row * width, (row + 1) * width)) for name, row in rows.items()},
    }


CHANNEL_NAMES = {
    "key.weight": ("key.weight", ...),
    "receptance.weight": ("receptance.weight", ...),
    "value.weight": ("out.weight", ...),
    **{f"time_mix_{letter}": ("mix", row) for row, letter in enumerate("kr")},
}


def model_names(width, layers):
    names = {"emb.weight": ("embedding.weight", ...), "head.weight": ("head.weight", ...)}
    norms = {"ln_out": "norm", "blocks.0.ln0": "embedding_norm"}
    for layer in range(layers):
        block = f"blocks.{layer}."
        norms |= {block + "ln1": block + "mixer_norm", block + "ln2": block + "ffn_norm"}
        for theirs, ours, parts in (("att.", "mixer.", time_names(width)), ("ffn.", "ffn.", CHANNEL_NAMES)):
            names |= {block + theirs + name: (block + ours + to, where) for name, (to, where) in parts.items()}
    for theirs, ours in norms.items():
        names |= {f"{theirs}.{part}": (f"{ours}.{part}", ...) for part in ("weight", "bias")}
    return names


def fill(module, weights, names):
    """Every parameter, none left over on either side."""
    parameters = dict(module.named_parameters())
    assert weights.keys() == names.keys()
    assert {to for to, _ in names.values()} == parameters.keys()
    with torch.no_grad():
        for name, (to, where) in names.items():
            target = parameters[to][where]
            target.copy_(tensor(weights[name]).view_as(target))


def compare_gradients(module, gradients, names):
    parameters = dict(module.named_parameters())
    for name, (to, where) in names.items():
        close(parameters[to].grad[where], gradients[name])


# The authors' numbers ---------------------------------------------------------------------------------------------


@every_form
def test_golden_time_mixing(form):
    file = golden("timemix")
    names, mixer = time_names(12), TimeMixing(12).double()
    fill(mixer, file["weights"], names)
    x, state = tensor(file["inputs"]["x"]).requires_grad_(), {}
    y = mixer(x, call_of(form, x.shape[1]), state)
    close(y, file["outputs"]["y"])
    after = file["outputs"]["final_state"]
    close(state["time_input"], after["previous_token"])
    for ours, theirs in (("numerator", "aa"), ("denominator", "bb")):
        found = state[ours] * state["max"].exp()
        close(found, (tensor(after[theirs]) * tensor(after["pp"]).exp()).tolist())
    (y * tensor(file["inputs"]["cotangent"])).sum().backward()
    close(x.grad, file["gradients"]["x"])
    compare_gradients(mixer, file["gradients"], names)


def test_golden_channel_mixing():
    file = golden("channelmix")
    mixer = ChannelMixing(12, 48).double()
    fill(mixer, file["weights"], CHANNEL_NAMES)
    x, state = tensor(file["inputs"]["x"]).requires_grad_(), {}
    y = mixer(x, call_of("scan", x.shape[1]), state)
    close(y, file["outputs"]["y"])
    close(state["channel_input"], file["outputs"]["final_state"]["previous_token"])
    (y * tensor(file["inputs"]["cotangent"])).sum().backward()
    close(x.grad, file["gradients"]["x"])
    compare_gradients(mixer, file["gradients"], CHANNEL_NAMES)


def golden_model(file):
    config = file["config"]
    shape = Shape(config["n_embd"], config["n_layer"], 2, 4 * config["n_embd"], config["vocab"])
    model = Model(shape).double()
    names = model_names(shape.width, shape.layers)
    fill(model, file["weights"], names)
    return model, names


@every_form
def test_golden_model(form):
    file = golden("model")
    model, names = golden_model(file)
    tokens, targets = (torch.tensor(file["inputs"][name]) for name in ("tokens", "targets"))
    logits = model(tokens, form)
    close(logits, file["outputs"]["logits"])
    close(F.cross_entropy(logits.flatten(0, 1), targets.flatten()), file["outputs"]["cross_entropy"])
    (logits * tensor(file["inputs"]["cotangent"])).sum().backward()
    compare_gradients(model, file["gradients"], names)


@every_form
def test_golden_model_state(form):
    file = golden("model")
    model, _ = golden_model(file)
    tokens = torch.tensor(file["inputs"]["tokens"])
    with torch.no_grad():
        _, state = model.prefill(tokens[:, :5], form)
        for token in tokens[:, 5:].unbind(1):
            _, state = model.step(token, state)
    for sequence, after in enumerate(file["outputs"]["final_state"]):
        for layer, found in enumerate(state.layers):
            close(found["time_input"][sequence], after["xx"][f"att.{layer}"])
            close(found["channel_input"][sequence], after["xx"][f"ffn.{layer}"])
            for ours, theirs in (("numerator", "aa"), ("denominator", "bb")):
                wanted = tensor(after[theirs][f"att.{layer}"]) * tensor(after["pp"][f"att.{layer}"]).exp()
                close(found[ours][sequence] * found["max"][sequence].exp(), wanted.tolist())


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
