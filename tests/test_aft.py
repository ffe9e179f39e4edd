"""AFT: golden vectors, keys and biases far apart, factorised biases, and where positions run out.

The vectors of `golden/aft.json` are those of a causal re-implementation in float64 (labml; the authors published no
code). They change only with the formula; a difference above 1e-11 is a mistake here.
"""

import json
import pathlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from models import _average, _wkv
from models._cost import Shape
from models._state import Call
from models.aft import Mixer, Model, Options
from tests.contract import EXACT, SHAPE, relative, tokens

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden" / "aft.json").read_text(encoding="utf-8"))
CLOSE = {"atol": 1e-11, "rtol": 1e-11}


def golden(*path):
    found = GOLDEN
    for name in path:
        found = found[name]
    return torch.tensor(found, dtype=torch.float64)


def call(form, length, keep_state=False):
    return Call(form, torch.arange(length), None, None, 0, keep_state, None)


def reference(k, v, w):
    """The sum as the paper writes it, [B, T, T, D] at once, in float64."""
    T = k.shape[1]
    logits = k.unsqueeze(1) + w + torch.full((T, T), -torch.inf).triu(1).unsqueeze(-1)
    return (logits.softmax(2) * v.unsqueeze(1)).sum(2)


@pytest.mark.parametrize("form", ["recurrent", "parallel", "chunkwise"])
@pytest.mark.parametrize("variant", ["full", "local", "simple"])
def test_golden_vectors(variant, form):
    config = GOLDEN["config"]
    shape = Shape(config["dim"], 1, 1, 4, max_length=config["max_length"])
    options = Options(variant=variant, window=config["window"])
    if form not in Model.available_forms(options):
        pytest.skip(f"AFT-{variant} has no form {form}")
    mixer = Mixer(shape, options).double()
    x = golden("inputs", "x").transpose(0, 1).requires_grad_()
    weights = {
        f"{n}.{p}": golden("weights", f"{n}.{p}").requires_grad_()
        for n in ("query", "key", "value", "output")
        for p in ("weight", "bias")
    }
    q, k, v = (F.linear(x, weights[f"{n}.weight"], weights[f"{n}.bias"]) for n in ("query", "key", "value"))
    state, run = {}, call(form, config["length"], keep_state=True)
    if mixer.biases is not None:
        mixer.biases.table.data.copy_(golden("weights", "pos_bias"))
        y = mixer.biased(k, v, run, state, _wkv.empty(len(k), k.shape[2], k))
    else:
        y = mixer.plain(k, v, run, state, _wkv.empty(len(k), k.shape[2], k))
    out = F.linear(torch.sigmoid(q) * y, weights["output.weight"], weights["output.bias"])
    torch.testing.assert_close(out.transpose(0, 1), golden("outputs", variant), **CLOSE)
    (out.transpose(0, 1) * golden("inputs", "cotangent")).sum().backward(retain_graph=True)
    torch.testing.assert_close(x.grad.transpose(0, 1), golden("gradients", variant, "x"), **CLOSE)
    for name, weight in weights.items():
        torch.testing.assert_close(weight.grad, golden("gradients", variant, name), **CLOSE)
    if mixer.biases is not None:
        out[:, : config["length"] // 2].sum().backward()  # the file's pos_bias gradient holds this sum's as well
        torch.testing.assert_close(mixer.biases.table.grad, golden("gradients", variant, "pos_bias"), **CLOSE)
    else:
        for name, wanted in (("numerator", "num"), ("denominator", "den")):
            found = state[name].detach() * state["max"].exp()
            torch.testing.assert_close(found, golden("outputs", "final_state_simple", wanted), **CLOSE)


@given(st.integers(1, 70), st.sampled_from([(1, 3), (2, 1)]), st.integers(0, 99))
def test_any_biases_against_the_sum_as_written(length, sizes, seed):
    batch, heads = sizes
    generator = torch.Generator().manual_seed(seed)
    mixer = Mixer(Shape(6, 1, heads, 4, max_length=99), Options(window=5)).double()
    mixer.biases.table.data.normal_(generator=generator)
    k, v = torch.randn(2, batch, length, 6, dtype=torch.float64, generator=generator)
    distance = torch.arange(length)[:, None] - torch.arange(length)
    w = mixer.biases.table[:, distance.clamp(0, 4)].masked_fill(distance >= 5, 0)
    wanted = reference(k, v, w.permute(1, 2, 0).repeat_interleave(6 // heads, -1))
    for form in ("recurrent", "parallel", "chunkwise"):
        found = mixer.biased(k, v, call(form, length), {}, _wkv.empty(batch, 6, k))
        assert relative(found, wanted) < EXACT, form


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
    exact = mixer.double().biased(k.double(), v.double(), call("recurrent", 45), {}, _wkv.empty(2, 6, k.double()))
    found = mixer.float().biased(k, v, run, {}, _wkv.empty(2, 6, k))
    assert ((found.double() - exact).abs() / exact.abs().amax()).max() < 1e-4


def test_a_small_early_key_is_not_lost_to_a_large_later_one():
    """The trap: a maximum over all keys, future ones too, leaves the first rows 0/0 in float32."""
    k = torch.tensor([-50.0, 50.0]).view(1, 2, 1)
    v = torch.tensor([3.0, 5.0]).view(1, 2, 1)
    y = _average.weighted(k, v, torch.full((1, 2, 2), -torch.inf).triu(1), _wkv.empty(1, 1, k))
    assert y.flatten().tolist() == [3.0, 5.0]


@pytest.mark.parametrize("variant", ["local", "full"])
def test_factorised_biases_are_the_product_of_their_factors(variant):
    torch.manual_seed(0)
    factored = Model(SHAPE, Options(variant=variant, window=4, rank=3)).double()
    whole = Model(SHAPE, Options(variant=variant, window=4)).double()
    told = factored.state_dict()
    for layer in range(SHAPE.layers):
        rows, columns = (told.pop(f"blocks.{layer}.mixer.biases.{name}") for name in ("rows", "columns"))
        told[f"blocks.{layer}.mixer.biases.table"] = rows @ columns.T
    whole.load_state_dict(told)
    with torch.no_grad():
        assert relative(factored(tokens(), "recurrent"), whole(tokens(), "recurrent")) < EXACT
        assert relative(factored(tokens(), "parallel"), factored(tokens(), "recurrent")) < EXACT
    count = Model.parameters_count(SHAPE, factored.options)
    assert count == sum(p.numel() for p in factored.parameters()) < sum(p.numel() for p in whole.parameters())


@pytest.mark.parametrize("variant", ["local", "full"])
def test_positions_that_run_out_are_refused(variant):
    model = Model(SHAPE, Options(variant=variant))
    with pytest.raises(ValueError, match=r"38 tokens .*max_length 37.*conv"):
        model(tokens(1, 38))
    assert model(tokens(1, 37)).isfinite().all()


def test_biases_start_so_that_every_variant_is_nearly_simple():
    for variant in ("conv", "local", "full"):
        table = Model(Shape(24, 1, 2, 4, max_length=64), Options(variant=variant)).blocks[0].mixer.biases.table
        assert 0 < table.std() < 0.02
