"""Linear attention against the authors' numbers, each feature map against its kernel, and every form from any state."""

import dataclasses
import json
import math
import pathlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from models import _feature_maps as maps
from models import _retention
from models._cost import Shape
from models._rotary import rope_angles, rotate, tables
from models._state import Call, State
from models.linear_attention import EPS, LinearAttention, Model, Options
from tests.contract import continued, flop_counter, relative, tokens

EXACT = 1e-11
SHAPE = Shape(width=24, layers=2, heads=4, ffn_width=10, vocabulary=11, max_length=37)
MAPS = Options.CHOICES["feature_map"]
FORMS = Model.forms


def build(shape=SHAPE, dtype=torch.float64, seed=0, **options):
    torch.manual_seed(seed)
    model = Model(shape, Options(**options)).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def options_of(feature_map, rotation="rope", normaliser="sum"):
    """None where they exclude one another."""
    return None if (feature_map, normaliser) == ("favor", "none") else dict(
        feature_map=feature_map, rotation=rotation, normaliser=normaliser
    )


every_combination = pytest.mark.parametrize(
    "options",
    [
        pytest.param(options, id="-".join(options.values()))
        for feature_map in MAPS
        for rotation in Options.CHOICES["rotation"]
        for normaliser in Options.CHOICES["normaliser"]
        if (options := options_of(feature_map, rotation, normaliser))
    ],
)


def gradients(model, loss):
    model.zero_grad(set_to_none=True)
    loss.backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def call_of(model, form, length, keep_state=False):
    call = Call(form, torch.arange(length), None, None, 0, keep_state, None)
    call.shared = model.share(call)
    return call


# The authors' numbers ---------------------------------------------------------------------------------------------


def golden():
    path = pathlib.Path(__file__).parent / "golden" / "linear_attention.json"
    return json.loads(path.read_text(encoding="utf-8"))


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def bare_mixer(K, V, heads, chunk_size):
    """A mixer whose input is q, k and v and whose output is y, as the authors' code has it."""
    options = Options(rotation="none", chunk_size=chunk_size)
    mixer = LinearAttention(Shape(heads * K, 1, heads, 1), options)
    mixer.K, mixer.V, mixer.into, mixer.out = K, V, nn.Identity(), nn.Identity()
    return mixer


def joined(S, z):
    return torch.cat((tensor(S), tensor(z).unsqueeze(-1)), -1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chunk_size", [1, 7, 64])
def test_outputs_states_and_gradients_are_the_authors(form, chunk_size):
    data = golden()
    inputs, wanted, heads = data["inputs"], data["outputs"], data["config"]["heads"]
    q, k, v = (tensor(inputs[name]).requires_grad_() for name in "qkv")
    mixer = bare_mixer(q.shape[3], v.shape[3], heads, chunk_size)
    x = torch.cat([part.flatten(2) for part in (q, k, v)], -1)
    model = Model(SHAPE, mixer.options)
    starts = {
        "empty": ({}, wanted),
        "given": ({"S": joined(**inputs["initial_state"])}, wanted["from_initial_state"]),
    }
    for state, expected in starts.values():
        y = mixer(x, call_of(model, form, x.shape[1], keep_state=True), state).unflatten(-1, (heads, -1))
        torch.testing.assert_close(y, tensor(expected["o"]), atol=EXACT, rtol=EXACT)
        torch.testing.assert_close(state["S"], joined(**expected["final_state"]), atol=EXACT, rtol=EXACT)
        if expected is wanted:
            (y * tensor(inputs["cotangent"])).sum().backward()
            for name, found in zip("qkv", (q, k, v), strict=True):
                torch.testing.assert_close(found.grad, tensor(data["gradients"][name]), atol=EXACT, rtol=EXACT)


def test_steps_in_place_are_the_authors():
    data = golden()
    inputs, wanted, heads = data["inputs"], data["outputs"]["from_initial_state"], data["config"]["heads"]
    q, k, v = (tensor(inputs[name]) for name in "qkv")
    mixer, state = bare_mixer(q.shape[3], v.shape[3], heads, 64), {"S": joined(**inputs["initial_state"])}
    call, place = call_of(Model(SHAPE, mixer.options), "recurrent", 1, keep_state=True), state["S"].data_ptr()
    with torch.no_grad():
        for n in range(q.shape[1]):
            y = mixer(torch.cat([part[:, n : n + 1].flatten(2) for part in (q, k, v)], -1), call, state)
            torch.testing.assert_close(y[:, 0].unflatten(-1, (heads, -1)), tensor(wanted["o"])[:, n], atol=EXACT, rtol=EXACT)
    torch.testing.assert_close(state["S"], joined(**wanted["final_state"]), atol=EXACT, rtol=EXACT)
    assert state["S"].data_ptr() == place


# Each map is its kernel -------------------------------------------------------------------------------------------


def kernel(options, q, k, phi, M):
    """Weights [T, T] of one head before the causal mask, straight from the papers: numerator, denominator."""
    T, K = q.shape
    place = torch.arange(T)

    def turned(x):
        if options["rotation"] == "none":
            return x
        pairs = torch.complex(*x.chunk(2, -1)) * torch.polar(
            torch.ones(T, x.shape[-1] // 2, dtype=torch.float64),
            place[:, None] * 10000.0 ** (-2 * torch.arange(x.shape[-1] // 2, dtype=torch.float64) / x.shape[-1]),
        )
        return torch.cat((pairs.real, pairs.imag), -1)

    match options["feature_map"]:
        case "taylor":
            s = turned(q) @ turned(k).T / math.sqrt(K)
            return (1 + s + s**2 / 2,) * 2
        case "favor":
            w = phi.directions.double()
            q, k = turned(q) / K**0.25, turned(k) / K**0.25
            exponent = (q @ w)[:, None] + (k @ w)[None] - (k**2).sum(-1)[None, :, None] / 2
            return ((exponent - (q @ w).amax(-1)[:, None, None]).exp().sum(-1),) * 2
        case "hedgehog":
            raise NotImplementedError("learned for each head: see its own test")
        case "elu":
            q, k = F.elu(q) + 1, F.elu(k) + 1
            return turned(q) @ turned(k).T, q @ k.T
        case "relu":
            q, k = q.clamp(min=0), k.clamp(min=0)
            return turned(q) @ turned(k).T, q @ k.T
        case "cosformer":
            wave = math.pi * (place[:, None] - place[None]) / (2 * M)
            q, k = q.clamp(min=0), k.clamp(min=0)
            plain = q @ k.T * wave.cos()
            if options["rotation"] == "none":
                return plain, plain
            wide = [torch.cat((x * (math.pi * place[:, None] / 2 / M).cos(), x * (math.pi * place[:, None] / 2 / M).sin()), -1) for x in (q, k)]
            return turned(wide[0]) @ turned(wide[1]).T, plain


@pytest.mark.parametrize("form", FORMS)
@every_combination
def test_attention_is_its_masked_matrix(options, form):
    """y = (A * mask) V over the row sums of A * mask, for the kernel A that the paper of the map states."""
    if options["feature_map"] == "hedgehog":
        options = {**options}
    model = build(**options, chunk_size=3)
    mixer, x = model.blocks[0].mixer, torch.randn(1, 8, SHAPE.width, dtype=torch.float64)
    mask = torch.ones(8, 8, dtype=torch.float64).tril()
    with torch.no_grad():
        qk, v = mixer.into(x)[0].split((2 * mixer.heads * mixer.K, mixer.heads * mixer.V), -1)
        q, k = qk.unflatten(-1, (2, mixer.heads, mixer.K)).permute(1, 2, 0, 3)
        v = v.unflatten(-1, (mixer.heads, mixer.V)).transpose(0, 1)
        y = []
        for h in range(mixer.heads):
            above, below = kernel_of_head(options, mixer, q[h], k[h], h)
            total = (below * mask).sum(-1, keepdim=True) + EPS if options["normaliser"] == "sum" else 1.0
            y.append((above * mask) @ v[h] / total)
        wanted = torch.stack(y, 1).flatten(1) @ mixer.out.weight.T
        assert relative(mixer(x, call_of(model, form, 8), {})[0], wanted) < EXACT


def kernel_of_head(options, mixer, q, k, h):
    if options["feature_map"] != "hedgehog":
        return kernel(options, q, k, mixer.phi, SHAPE.max_length)
    if options["rotation"] == "rope":
        turn = tables(torch.arange(len(q)), rope_angles(q.shape[-1]), torch.float64)
        q, k = (rotate(x[None, None], *turn, interleaved=False)[0, 0] for x in (q, k))
    W_q, W_k = mixer.phi.W[h], mixer.phi.W[mixer.heads + h]
    q, k = (torch.cat((x.exp(), (-x).exp()), -1) for x in (q @ W_q, k @ W_k))
    return ((q / q.sum(-1, keepdim=True)) @ (k / k.sum(-1, keepdim=True)).T,) * 2
