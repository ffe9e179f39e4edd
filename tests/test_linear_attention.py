"""Linear attention against the authors' numbers, every form from any state, its costs, and its place in the family."""

import dataclasses
import functools
import itertools
import json
import pathlib

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from models import _retention
from models._cost import Shape
from models._rotary import rope_angles, turned, turns
from models._state import State
from models.linear_attention import LinearAttention, Model, Options, projection_flops
from tests import attention
from tests.attention import SHAPE, call_of
from tests.contract import flop_counter, relative, tokens

EXACT = 1e-11
MAPS = Options.CHOICES["feature_map"]
FORMS = Model.forms
NAMES = ("feature_map", "rotation", "normaliser")
COMBINATIONS = [
    dict(zip(NAMES, values, strict=True))
    for values in itertools.product(*(Options.CHOICES[name] for name in NAMES))
    if values[::2] != ("favor", "none")  # refused
]
every_combination = pytest.mark.parametrize("options", COMBINATIONS, ids=lambda options: "-".join(options.values()))
build = functools.partial(attention.build, Model)


# The authors' numbers ---------------------------------------------------------------------------------------------


def golden():
    path = pathlib.Path(__file__).parent / "golden" / "linear_attention.json"
    return json.loads(path.read_text(encoding="utf-8"))


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def bare_mixer(K, V, heads, chunk_size):
    """A mixer whose input is q, k and v side by side and whose output starts with y: the authors' operation."""
    mixer = LinearAttention(Shape(heads * K, 1, heads, 1), Options(rotation="none", chunk_size=chunk_size))
    mixer.K, mixer.V, mixer.parts = K, V, [heads * 2 * K, heads * V]
    mixer.into.weight = nn.Parameter(torch.eye(sum(mixer.parts), dtype=torch.float64))
    mixer.out = nn.ConstantPad1d((0, heads * 2 * K), 0.0)
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
    """Not to the last digit: relu's denominators can come near 0, and a norm makes much of a small y."""
    assume((feature_map, changed) != ("favor", {"normaliser": "none"}))  # refused
    model = build(feature_map=feature_map, chunk_size=chunk_size, **changed)
    assert attention.largest_disagreement(model, batch, lengths, padded) < 1e-7


@pytest.mark.parametrize("rotation", Options.CHOICES["rotation"])
def test_steps_write_into_the_state(rotation):
    model = build(rotation=rotation)
    with torch.no_grad():
        _, state = model.prefill(tokens()[:, :4])
        places = [tensor.data_ptr() for tensor in state.tensors()]
        for n in range(4, 8):
            _, state = model.step(tokens()[:, n], state)
        assert [tensor.data_ptr() for tensor in state.tensors()] == places


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
            turn = turns(torch.arange(7), rope_angles(q.shape[-1]), torch.float64)
            q, k = turned(q, turn), turned(k, turn)
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
        ({"heads": 8}, {}, r"heads of size 3 \(width 24 / heads 8\) are odd .* set rotation to none"),
        ({}, {"feature_map": "taylor", "feature_size": 5}, r"feature_size is 5; rotation turns pairs: make it even"),
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
        assert state.layers[0]["S"].shape == (3, SHAPE.heads, features, 5)
        assert relative(model(tokens()), model(tokens(), "recurrent")) < EXACT
