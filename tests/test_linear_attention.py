"""Linear attention against the authors' numbers, each feature map against its kernel, and every form from any state."""

import dataclasses
import itertools
import json
import math
import pathlib

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from models import _feature_maps as maps
from models import _retention
from models._cost import Shape
from models._rotary import rope_angles, rotate, tables
from models._state import Call, State
from models.linear_attention import EPS, LinearAttention, Model, Options, projection_flops
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


NAMES = ("feature_map", "rotation", "normaliser")
COMBINATIONS = [
    dict(zip(NAMES, values, strict=True))
    for values in itertools.product(*(Options.CHOICES[name] for name in NAMES))
    if values[::2] != ("favor", "none")  # refused
]
every_combination = pytest.mark.parametrize("options", COMBINATIONS, ids=lambda options: "-".join(options.values()))


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


class Padded(nn.Module):
    """A projection that only fills up with zeros, as a mixer's output is as wide as its input."""

    def __init__(self, width):
        super().__init__()
        self.width = width

    def forward(self, y):
        return F.pad(y, (0, self.width - y.shape[-1]))


def bare_mixer(K, V, heads, chunk_size):
    """A mixer whose input is q, k and v side by side and whose output starts with y: the authors' operation."""
    mixer = LinearAttention(Shape(heads * K, 1, heads, 1), Options(rotation="none", chunk_size=chunk_size))
    mixer.K, mixer.V, mixer.into, mixer.out = K, V, nn.Identity(), Padded(heads * (2 * K + V))
    return mixer


def heads_of(y, heads, V):
    return y[..., : heads * V].unflatten(-1, (heads, V))


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
        y = heads_of(mixer(x, call_of(model, form, x.shape[1], keep_state=True), state), heads, v.shape[3])
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
            y = heads_of(y, heads, v.shape[3])[:, 0]
            torch.testing.assert_close(y, tensor(wanted["o"])[:, n], atol=EXACT, rtol=EXACT)
    torch.testing.assert_close(state["S"], joined(**wanted["final_state"]), atol=EXACT, rtol=EXACT)
    assert state["S"].data_ptr() == place


# Each map is its kernel -------------------------------------------------------------------------------------------


def turned(x, rotation):
    """RoPE of x [T, K] as products of complex numbers."""
    if rotation == "none":
        return x
    P = x.shape[1] // 2
    phase = torch.arange(len(x))[:, None] * 10000.0 ** (-torch.arange(P, dtype=torch.float64) / P)
    pairs = torch.complex(*x.chunk(2, 1)) * torch.polar(torch.ones_like(phase), phase)
    return torch.cat((pairs.real, pairs.imag), 1)


def kernel(q, k, feature_map, rotation, phi, head):
    """Weights of every pair of tokens, above and below the fraction, straight from the paper of each map."""
    K, place = q.shape[1], torch.arange(len(q), dtype=torch.float64)
    if feature_map in maps.KERNELS:
        q, k = turned(q, rotation), turned(k, rotation)
    if feature_map == "taylor":
        s = q @ k.T / math.sqrt(K)
        weights = 1 + s + s**2 / 2
    elif feature_map == "hedgehog":
        q, k = q @ phi.W[head], k @ phi.W[SHAPE.heads + head]
        q, k = (torch.cat((x.exp(), (-x).exp()), 1) for x in (q, k))
        weights = (q / q.sum(1, keepdim=True)) @ (k / k.sum(1, keepdim=True)).T
    elif feature_map == "favor":
        q, k = q @ phi.directions.double() / K**0.25, (k / K**0.25)
        k = k @ phi.directions.double() - k.square().sum(1, keepdim=True) / 2
        weights = (q[:, None] + k[None] - q.amax(1)[:, None, None]).exp().sum(2)
    else:
        q, k = (F.elu(x) + 1 if feature_map == "elu" else x.clamp(min=0) for x in (q, k))
        weights = q @ k.T
        if feature_map == "cosformer":
            weights = weights * (math.pi * (place[:, None] - place) / (2 * SHAPE.max_length)).cos()
            phase = math.pi * place[:, None] / (2 * SHAPE.max_length)
            q, k = (torch.cat((x * phase.cos(), x * phase.sin()), 1) for x in (q, k))
        return turned(q, rotation) @ turned(k, rotation).T, weights
    return weights, weights


@pytest.mark.parametrize("form", FORMS)
@every_combination
def test_attention_is_its_masked_matrix(options, form):
    """y = (A * mask) V over the row sums of A * mask, for the kernel A that the paper of the map states."""
    model = build(**options, chunk_size=3)
    mixer, x = model.blocks[0].mixer, torch.randn(1, 8, SHAPE.width, dtype=torch.float64)
    with torch.no_grad():
        qk, v = mixer.into(x)[0].split((2 * mixer.heads * mixer.K, mixer.heads * mixer.V), 1)
        q, k = qk.unflatten(1, (2, mixer.heads, mixer.K)).permute(1, 2, 0, 3)
        v = v.unflatten(1, (mixer.heads, mixer.V)).transpose(0, 1)
        y = []
        for head in range(mixer.heads):
            pairs = kernel(q[head], k[head], options["feature_map"], options["rotation"], mixer.phi, head)
            above, below = (weights.tril() for weights in pairs)
            total = below.sum(1, keepdim=True) + EPS if options["normaliser"] == "sum" else 1.0
            y.append(above @ v[head] / total)
        wanted = torch.cat(y, 1) @ mixer.out.weight.T
        assert relative(mixer(x, call_of(model, form, 8), {})[0], wanted) < EXACT


@pytest.mark.parametrize("kind", MAPS)
def test_no_map_looks_at_another_token(kind):
    phi = maps.FeatureMap(kind, 2, 6, maps.count(kind, 6, None)).double()
    x = 3 * torch.randn(2, 4, 9, 6, dtype=torch.float64)
    waves = tables(torch.arange(9), torch.tensor([0.1]), torch.float64)
    short = tuple(wave[:5] for wave in waves)
    torch.testing.assert_close(phi(x[:, :, :5], short), phi(x, waves)[:, :, :5], atol=0, rtol=1e-14)
    assert phi(x, waves).shape == (2, 4, 9, maps.count(kind, 6, None))


@pytest.mark.parametrize("size", [1, 2, 5, 16])
def test_taylor_features_give_the_second_order_exactly(size):
    x = torch.randn(1, 2, 7, size, dtype=torch.float64)
    q, k = maps.taylor(x)[0]
    s = x[0, 0] @ x[0, 1].T / math.sqrt(size)
    torch.testing.assert_close(q @ k.T, 1 + s + s**2 / 2, atol=1e-13, rtol=1e-13)
    assert q.shape[1] == 1 + size + size * (size + 1) // 2
    assert size != 16 or q.shape[1] == 153


def test_favor_approaches_the_softmax_kernel_with_more_features():
    x, error = 0.3 * torch.randn(1, 2, 40, 8, dtype=torch.float64), {}
    wanted = (x[0, 0] @ x[0, 1].T / math.sqrt(8)).softmax(1)
    for features in (64, 1024, 16384):
        torch.manual_seed(3)
        q, k = maps.favor(x, maps.orthogonal_directions(8, features))[0]
        weights = q @ k.T
        error[features] = (weights / weights.sum(1, keepdim=True) - wanted).norm() / wanted.norm()
    assert error[16384] < 0.012, "unevenly spread directions come no nearer than 0.04"
    assert error[16384] < error[1024] / 2 < error[64] / 3


def test_favor_directions_are_orthogonal_drawn_from_the_seed_and_no_parameters():
    model, same, other = (build(feature_map="favor", seed=seed) for seed in (1, 1, 2))
    directions = model.blocks[0].mixer.phi.directions
    assert torch.equal(directions, same.blocks[0].mixer.phi.directions)
    assert not torch.equal(directions, other.blocks[0].mixer.phi.directions)
    assert not torch.equal(directions, model.blocks[1].mixer.phi.directions)
    assert directions.shape == (6, 11)
    assert not [name for name, _ in model.named_parameters() if "directions" in name]
    unit = F.normalize(directions[:, :6], dim=0)
    torch.testing.assert_close(unit.T @ unit, torch.eye(6, dtype=torch.float64), atol=0.01, rtol=0)
    kept = directions.clone()
    assert torch.equal(model.bfloat16().blocks[0].mixer.phi.directions.double(), kept), "a short type keeps the map"


# Forms, states and ranges -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("feature_map", MAPS)
@given(
    batch=st.integers(1, 3),
    lengths=st.tuples(st.integers(0, 7), st.integers(1, 12), st.integers(1, 3)),
    padded=st.booleans(),
    chunk_size=st.sampled_from([1, 3, 8, 64]),
    changed=st.sampled_from([{}, {"rotation": "none"}, {"normaliser": "none"}, {"output_norm": True}]),
)
def test_all_forms_agree_from_any_state(feature_map, batch, lengths, padded, chunk_size, changed):
    """Outputs, states and gradients of a pass after another, then steps."""
    before, now, _ = lengths
    assume((feature_map, changed) != ("favor", {"normaliser": "none"}))  # refused
    model = build(feature_map=feature_map, chunk_size=chunk_size, **changed)
    padding = torch.arange(batch) % before if padded and before else None
    text, found = tokens(batch, sum(lengths)), {}
    for form in FORMS:
        state = State(0, padding, [])
        if before:
            _, state = model.prefill(text[:, :before], form, padding)
        logits, state = model.prefill(text[:, before : before + now], form, state=state)
        kept = torch.cat([tensor.flatten() for layer in state.layers for tensor in layer.values()])
        rest = continued(model, state, text[:, before + now :])
        loss = logits.sin().sum() + rest.sin().sum() + kept.sin().sum()
        outputs = torch.cat([logits.unsqueeze(1), rest], 1)
        assert relative(outputs, model(text, form, padding)[:, before + now - 1 :]) < 1e-10, "the state counts for all"
        found[form] = outputs, kept, gradients(model, loss)
    for form in ("parallel", "chunkwise"):
        for wanted, other in zip(found["recurrent"], found[form], strict=True):
            assert relative(other, wanted) < 1e-9


@pytest.mark.parametrize("rotation", Options.CHOICES["rotation"])
def test_steps_write_into_the_state(rotation):
    model = build(rotation=rotation)
    with torch.no_grad():
        _, state = model.prefill(tokens()[:, :4])
        places = [tensor.data_ptr() for tensor in state.tensors()]
        for n in range(4, 8):
            _, state = model.step(tokens()[:, n], state)
        assert [tensor.data_ptr() for tensor in state.tensors()] == places


@pytest.mark.parametrize("feature_map", MAPS)
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_nothing_overflows_in_sixteen_thousand_tokens(feature_map, scale):
    """Also where queries and keys are far larger than a trained model's."""
    shape = Shape(width=16, layers=1, heads=2, ffn_width=6, vocabulary=11, max_length=16384)
    torch.manual_seed(0)
    model = Model(shape, Options(feature_map=feature_map))
    model.blocks[0].mixer.into.weight.data.mul_(scale / 0.02 / 4)
    logits, state = model.prefill(tokens(1, 16384))
    logits.square().sum().backward()
    assert all(tensor.isfinite().all() for tensor in (logits, *state.tensors()))
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_wide_heads_do_not_overflow_favor():
    """The exponent of a key is at most |w|^2/2, here 128 and more: past what float32 holds."""
    phi = maps.FeatureMap("favor", 1, 256, 300)
    keys = phi.directions.T[:, None] * 256**0.25  # each key along one direction, the worst there is
    features = phi(torch.cat((keys, keys), 1).unsqueeze(0).transpose(1, 2), None)
    assert features.isfinite().all()
    assert features.max() == pytest.approx(math.exp(maps.LARGEST_EXPONENT), rel=1e-4), "the bound was never reached"


def test_tokens_without_a_common_feature_give_zero():
    model = build(feature_map="relu", rotation="none")
    mixer = model.blocks[0].mixer
    with torch.no_grad():
        q, k, _ = mixer.into.weight.chunk(3)
        q.copy_(-k)  # relu(q) and relu(k) are then never positive at once, for the same token
    x = torch.randn(1, 1, SHAPE.width, dtype=torch.float64).expand(1, 5, -1).clone().requires_grad_()
    for form in FORMS:
        y = mixer(x, call_of(model, form, 5), {})
        assert (y == 0).all()
        y.sum().backward()
        assert x.grad.isfinite().all()


def test_cosformer_refuses_positions_past_its_longest():
    model = build(feature_map="cosformer")
    with torch.no_grad():
        model(tokens(2, SHAPE.max_length))
        with pytest.raises(ValueError, match=r"37 positions; for 38 tokens .* larger max_length"):
            model(tokens(2, SHAPE.max_length + 1))
        _, state = model.prefill(tokens(2, SHAPE.max_length))
        with pytest.raises(ValueError, match="max_length"):
            model.step(tokens(2, 1)[:, 0], state)
        model(tokens(2, SHAPE.max_length + 1), padding=torch.tensor([1, 4]))  # slots, but not positions, past it


# What it is and is not --------------------------------------------------------------------------------------------


def test_without_rotation_it_does_not_know_the_order():
    """One layer sees a bag of tokens; RoPE is what tells them apart."""
    text, shape = tokens(1, 9), dataclasses.replace(SHAPE, layers=1)
    shuffled = torch.cat((text[:, :8].flip(1), text[:, 8:]), 1)
    with torch.no_grad():
        for feature_map in ("elu", "relu", "taylor", "favor", "hedgehog"):
            bag, ordered = (build(shape, feature_map=feature_map, rotation=kind) for kind in ("none", "rope"))
            assert relative(bag(shuffled)[:, -1], bag(text)[:, -1]) < EXACT
            assert relative(ordered(shuffled)[:, -1], ordered(text)[:, -1]) > 1e-3


@pytest.mark.parametrize("rotation", Options.CHOICES["rotation"])
def test_unnormalised_it_is_retention_without_decay(rotation):
    """RetNet - decay - gate - norm = linear attention + RoPE, with phi applied to queries and keys."""
    model = build(normaliser="none", rotation=rotation)
    mixer, x = model.blocks[0].mixer, torch.randn(2, 7, SHAPE.width, dtype=torch.float64)
    with torch.no_grad():
        q, k, v = mixer.into(x).unflatten(-1, (3, SHAPE.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        if rotation == "rope":
            turn = tables(torch.arange(7), rope_angles(q.shape[-1]), torch.float64)
            q, k = (rotate(part, *turn, interleaved=False) for part in (q, k))
        log_decay = torch.zeros(SHAPE.heads, dtype=torch.float64)
        wanted, S = _retention.recurrent(q, k, v, log_decay, keep_state=True)
        for form in FORMS:
            state = {}
            y = mixer(x, call_of(model, form, 7, keep_state=True), state)
            assert relative(y, mixer.out(wanted.transpose(1, 2).flatten(2))) < EXACT
            assert relative(state["S"], S) < EXACT


def test_the_output_norm_is_that_of_each_head():
    model = build(output_norm=True)
    mixer, x = model.blocks[0].mixer, torch.randn(2, 7, SHAPE.width, dtype=torch.float64)
    mixer.out = nn.Identity()
    y = mixer(x, call_of(model, "chunkwise", 7), {}).unflatten(-1, (SHAPE.heads, -1))
    torch.testing.assert_close(y.square().mean(-1), torch.ones_like(y[..., 0]), atol=1e-3, rtol=0)


# Costs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "context"), [("parallel", 0), ("chunkwise", 0), ("chunkwise", 4), ("recurrent", 0), ("recurrent", 4)]
)
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "training"])
@every_combination
def test_flops_are_counted_exactly(options, form, context, backward):
    """The recurrence adds outer products up, which torch's counter does not see: half of its sums. The parallel form
    after a state also makes the next, which a cost leaves out."""
    model = build(**options, dtype=torch.float32, chunk_size=4)
    for length in (3, 4, 10):
        state = State(0, None, [])
        if context:
            with torch.no_grad():
                _, state = model.prefill(tokens(1, context))
        with flop_counter() as counter:
            hidden, _ = model.run(tokens(1, length), form, state, keep_state=False)
            logits = model.head(hidden)
            if backward:
                logits.sum().backward()
        stated = Model.flops(SHAPE, model.options, form, length, context, backward)
        if form == "recurrent":
            sums = Model.mixing_flops(SHAPE, model.options, form, length, context)
            sums -= projection_flops(SHAPE, model.options, length)
            stated -= SHAPE.layers * sums // 2 * (3 if backward else 1)
        assert counter.get_total_flops() == stated, (length, form)


@pytest.mark.parametrize(("dtype", "itemsize"), [(torch.float64, 8), (torch.float32, 4), (torch.bfloat16, 2)])
@every_combination
def test_state_bytes(options, dtype, itemsize):
    model = build(**options, dtype=dtype)
    with torch.no_grad():
        _, state = model.prefill(tokens(5))
        assert state.nbytes == Model.state_bytes(SHAPE, model.options, 5, 13, itemsize)
        _, state = model.step(tokens(5)[:, 0], state)
    assert state.nbytes == Model.state_bytes(SHAPE, model.options, 5, 14, itemsize), "it does not grow"
    assert all(tensor.dtype == torch.promote_types(dtype, torch.float32) for tensor in state.tensors())


# Bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "options", "message"),
    [
        ({"heads": 7}, {}, r"heads is 7, which does not divide the width 24"),
        ({}, {"chunk_size": 0}, r"chunk_size is 0; it must be at least 1"),
        ({}, {"feature_size": 0, "feature_map": "favor"}, r"feature_size is 0; it must be at least 1"),
        ({}, {"feature_size": 8}, r"feature_size is 8, but .* elu has no choice of size"),
        ({}, {"feature_map": "favor", "normaliser": "none"}, r"set normaliser to sum"),
        ({"heads": 8}, {}, r"3 features cannot be rotated in pairs; .* set rotation to none"),
        ({}, {"feature_map": "taylor", "feature_size": 5}, r"5 features cannot be rotated"),
        ({}, {"feature_map": "exp"}, r"feature_map is 'exp'; allowed are elu, relu, taylor"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changed, options, message):
    with pytest.raises(ValueError, match=message):
        Model(dataclasses.replace(SHAPE, **changed), Options(**options))


@pytest.mark.parametrize(("feature_map", "size", "features"), [("taylor", 4, 15), ("favor", 50, 50)])
def test_the_feature_size_can_be_chosen(feature_map, size, features):
    model = build(feature_map=feature_map, feature_size=size)
    with torch.no_grad():
        _, state = model.prefill(tokens())
        assert state.layers[0]["S"].shape == (3, SHAPE.heads, features, 7)
        assert relative(model(tokens()), model(tokens(), "recurrent")) < EXACT
