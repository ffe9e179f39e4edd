"""RWKV-4 against the layers and the model that its authors published: outputs, states and all gradients."""

import json
import pathlib

import pytest
import torch
from torch.nn import functional as F

from models._cost import Shape
from models._state import Call
from models.rwkv import ChannelMixing, Model, TimeMixing

FORMS = Model.forms
every_form = pytest.mark.parametrize("form", FORMS)


def golden(name):
    path = pathlib.Path(__file__).parent / "golden" / f"rwkv4_{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def assert_close(found, wanted):
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


def assert_gradients(module, gradients, names):
    parameters = dict(module.named_parameters())
    for name, (to, where) in names.items():
        assert_close(parameters[to].grad[where], gradients[name])


# The authors' numbers ---------------------------------------------------------------------------------------------


@every_form
def test_golden_time_mixing(form):
    file = golden("timemix")
    names, mixer = time_names(12), TimeMixing(12).double()
    fill(mixer, file["weights"], names)
    x, state = tensor(file["inputs"]["x"]).requires_grad_(), {}
    y = mixer(x, call_of(form, x.shape[1]), state)
    assert_close(y, file["outputs"]["y"])
    after = file["outputs"]["final_state"]
    assert_close(state["time_input"], after["previous_token"])
    for ours, theirs in (("numerator", "aa"), ("denominator", "bb")):
        found = state[ours] * state["max"].exp()
        assert_close(found, (tensor(after[theirs]) * tensor(after["pp"]).exp()).tolist())
    (y * tensor(file["inputs"]["cotangent"])).sum().backward()
    assert_close(x.grad, file["gradients"]["x"])
    assert_gradients(mixer, file["gradients"], names)


def test_golden_channel_mixing():
    file = golden("channelmix")
    mixer = ChannelMixing(12, 48).double()
    fill(mixer, file["weights"], CHANNEL_NAMES)
    x, state = tensor(file["inputs"]["x"]).requires_grad_(), {}
    y = mixer(x, call_of("scan", x.shape[1]), state)
    assert_close(y, file["outputs"]["y"])
    assert_close(state["channel_input"], file["outputs"]["final_state"]["previous_token"])
    (y * tensor(file["inputs"]["cotangent"])).sum().backward()
    assert_close(x.grad, file["gradients"]["x"])
    assert_gradients(mixer, file["gradients"], CHANNEL_NAMES)


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
    assert_close(logits, file["outputs"]["logits"])
    assert_close(F.cross_entropy(logits.flatten(0, 1), targets.flatten()), file["outputs"]["cross_entropy"])
    (logits * tensor(file["inputs"]["cotangent"])).sum().backward()
    assert_gradients(model, file["gradients"], names)


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
            assert_close(found["time_input"][sequence], after["xx"][f"att.{layer}"])
            assert_close(found["channel_input"][sequence], after["xx"][f"ffn.{layer}"])
            for ours, theirs in (("numerator", "aa"), ("denominator", "bb")):
                wanted = tensor(after[theirs][f"att.{layer}"]) * tensor(after["pp"][f"att.{layer}"]).exp()
                assert_close(found[ours][sequence] * found["max"][sequence].exp(), wanted.tolist())
