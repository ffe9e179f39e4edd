"""AFT: golden vectors, keys and biases far apart, factorised biases, and where positions run out.

The vectors of `golden/aft.json` are those of a causal re-implementation in float64 (labml; the authors published no
code). They change only with the formula; a difference above 1e-11 is a mistake here.
"""

import functools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from models import _average
from models._cost import Shape
from models._state import Call
from models.aft import Mixer, Model, Options
from tests.contract import CLOSE, EXACT, SHAPE, golden_at, golden_file, relative, tokens

GOLDEN = golden_file("aft")
golden = functools.partial(golden_at, GOLDEN)


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
    if variant != "simple":
        mixer.biases.table.data.copy_(golden("weights", "pos_bias"))
    y = mixer.average(k, v, run, state)
    out = F.linear(torch.sigmoid(q) * y, weights["output.weight"], weights["output.bias"])
    torch.testing.assert_close(out.transpose(0, 1), golden("outputs", variant), **CLOSE)
    (out.transpose(0, 1) * golden("inputs", "cotangent")).sum().backward(retain_graph=True)
    torch.testing.assert_close(x.grad.transpose(0, 1), golden("gradients", variant, "x"), **CLOSE)
    for name, weight in weights.items():
        torch.testing.assert_close(weight.grad, golden("gradients", variant, name), **CLOSE)
    if variant != "simple":
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
        found = mixer.average(k, v, call(form, length), {})
        assert relative(found, wanted) < EXACT, form


def windowed(variant, window, **more):
    """Options with this window, where the variant has one."""
    return Options(variant=variant, **({"window": window} if variant in ("conv", "local") else {}), **more)


@pytest.mark.parametrize("variant", ["local", "full"])
def test_factorised_biases_are_the_product_of_their_factors(variant):
    torch.manual_seed(0)
    factored = Model(SHAPE, windowed(variant, 4, rank=3)).double()
    whole = Model(SHAPE, windowed(variant, 4)).double()
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 5}, "rank is 5.*conv.*full or local"),
        ({"rank": 0, "variant": "full"}, "rank is 0.*at least 1"),
        ({"window": 0}, "window is 0.*at least 1"),
        ({"window": 16, "variant": "simple"}, "window is 16, but AFT-simple has none; leave .* conv or local"),
        ({"window": 16, "variant": "full"}, "window is 16, but AFT-full has none; leave .* conv or local"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Model(SHAPE, Options(**options))


@pytest.mark.parametrize(
    ("variant", "rank"), [("conv", None), ("local", None), ("local", 5), ("full", None), ("full", 5)]
)
def test_biases_start_so_that_every_variant_is_nearly_simple(variant, rank):
    """Each near zero, with the same deviation whether it is stored or is a product of factors."""
    options = windowed(variant, 64, rank=rank)
    biases = Model(Shape(24, 1, 2, 4, max_length=64), options).blocks[0].mixer.biases
    table = biases.rows @ biases.columns.T if rank else biases.table
    assert table.std().item() == pytest.approx(0.01, rel=0.25)


def test_the_averages_are_not_taken_in_a_shorter_type(monkeypatch):
    mixer, seen = Model(SHAPE).blocks[0].mixer, []
    monkeypatch.setattr(mixer, "average", lambda k, *_: seen.append(torch.is_autocast_enabled("cpu")) or k)
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            mixer(torch.randn(1, 3, SHAPE.width), call("chunkwise", 3), {})
    assert seen == [False, False]


def outcome(mixer, k, v, form, cut):
    """Averages, the state, and all gradients of what is computed in one pass, or in two with a state between them."""
    state, y = {}, []
    for start, stop in ((0, cut), (cut, k.shape[1])):
        if stop > start:
            run = Call(form, torch.arange(start, stop), None, None, start, True, None)
            y.append(mixer.average(k[:, start:stop], v[:, start:stop], run, state))
    y, mixer.biases.table.grad = torch.cat(y, 1), None
    older = state["older_value"] * state["older_key"].exp()
    loss = (y * torch.cos(torch.arange(y.numel()).double()).view_as(y)).sum() + older.sum() + state["values"].sum()
    table = mixer.biases.table
    return [y, older, state["keys"], state["values"], *torch.autograd.grad(loss, (k, v, table))]


@pytest.mark.parametrize("form", ["parallel", "chunkwise"])
@given(
    length=st.integers(1, 23), window=st.integers(1, 6), variant=st.sampled_from(["conv", "local"]),
    share=st.sampled_from([0, 0.4]), seed=st.integers(0, 99),
)  # fmt: skip
def test_many_blocks_agree_with_the_steps_in_output_state_and_gradients(form, length, window, variant, share, seed):
    generator = torch.Generator().manual_seed(seed)
    mixer = Mixer(Shape(6, 1, 3, 4, max_length=23), Options(variant=variant, window=window)).double()
    mixer.biases.table.data.normal_(generator=generator)
    k, v = (torch.randn(2, length, 6, generator=generator).double().requires_grad_() for _ in range(2))
    found, wanted = (outcome(mixer, 5 * k, v, name, int(share * length)) for name in (form, "recurrent"))
    assert torch.equal(found[2], wanted[2])
    assert torch.equal(found[3], wanted[3])
    for name, i in (("y", 0), ("older", 1), ("dk", 4), ("dv", 5), ("dw", 6)):
        assert relative(found[i], wanted[i]) < 1e-9, name


@pytest.mark.parametrize("each", [False, True], ids=["heads", "blocks"])
def test_gradients_of_the_products_equal_finite_differences(each):
    queries, blocks, reach = 3, 2, 5
    k, v = (torch.randn(2, blocks * queries + reach - queries, 4).double().requires_grad_() for _ in range(2))
    w = torch.randn(*((2, blocks) if each else (2,)), queries, reach).double().requires_grad_()
    m, p, q = torch.randn(2, 4).double(), torch.randn(2, 4).double(), torch.rand(2, 4).double() + 0.1
    before = [x.requires_grad_() for x in (m, p, q)]
    assert torch.autograd.gradcheck(lambda k, v, w, *before: _average.banded(k, v, w, before), (k, v, w, *before))


@pytest.mark.parametrize("variant", Options.CHOICES["variant"])
def test_a_prompt_leaves_nothing_alive_but_the_state(variant):
    model = Model(SHAPE, windowed(variant, 4))
    with torch.no_grad():
        _, state = model.prefill(tokens(2, 13))
    assert sum(x.untyped_storage().nbytes() for x in state.tensors()) == state.nbytes


def test_a_key_that_leaves_the_window_is_one_of_many_older_ones():
    k, v = torch.randn(2, 9, 6).double(), torch.randn(2, 9, 6).double()
    mixer, state = Mixer(Shape(6, 1, 2, 4), Options(window=4)).double(), {}
    mixer.average(k, v, call("chunkwise", 9, keep_state=True), state)
    weights = k[:, :6].exp()
    assert relative(state["older_key"], weights.sum(1, keepdim=True).log()) < EXACT
    assert (
        relative(state["older_value"], (weights * v[:, :6]).sum(1, keepdim=True) / weights.sum(1, keepdim=True)) < EXACT
    )
    assert torch.equal(state["keys"], k[:, 6:])
    assert torch.equal(state["values"], v[:, 6:])


@pytest.mark.parametrize(("variant", "numbers"), [("simple", 3 * 6), ("conv", (2 + 2 * 4) * 6), ("full", 2 * 20 * 6)])
def test_state_bytes(variant, numbers):
    shape, options = Shape(6, 3, 2, 4, vocabulary=11), Options(variant=variant, window=5)
    assert Model.state_bytes(shape, options, batch=2, capacity=20) == 3 * 2 * numbers * 4


@pytest.mark.parametrize(
    ("variant", "window", "passes"),
    [("simple", 32, 2), ("full", 32, 1), ("conv", 5, (4 + 1 + 2) / 5), ("local", 32, 34 / 32), ("conv", 1, 2)],
)
def test_a_step_must_read_what_is_kept_and_write_one_row_and_the_sums(variant, window, passes):
    """In rows of keys and values: W - 1 are read, one is written; the sums, as much as a row, are read and written."""
    assert Model.state_passes(Model.Options(variant=variant, window=window), least=True) == passes
