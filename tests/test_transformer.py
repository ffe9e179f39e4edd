"""Softmax attention against its formula, one implementation against the other, and both caches."""

import dataclasses
import functools
import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models._cache import extend
from models._state import Call, State
from models.transformer import Model, Options
from tests import attention
from tests.attention import SHAPE, call_of, gradients
from tests.contract import continued, flop_counter, relative, tokens

EXACT = 1e-12
CACHES = Options.CHOICES["cache"]
ROTATIONS = Options.CHOICES["rotation"]
GROUPS = [None, 1, 3]


build = functools.partial(attention.build, Model)


def by_the_formula(mixer, x, rotation, kv_heads, max_length):
    """One mixer's output for x [T, D], number by number; rotations as products of complex numbers."""
    length, width = x.shape
    heads, size = mixer.heads, width // mixer.heads
    q, k, v = (x @ mixer.into.weight.T).split((width, kv_heads * size, kv_heads * size), 1)

    def turn(row, position, sign):
        turned = torch.empty_like(row)
        for i in range(size // 2):
            pair = complex(row[2 * i], row[2 * i + 1])
            if rotation != "none":
                angle = position * 10000 ** (-2 * i / size)
                pair *= complex(math.cos(angle), math.sin(angle))
            if rotation == "xpos":
                pair *= ((2 * i + 0.4 * size) / (1.4 * size)) ** (sign * (position - max_length / 2) / 512)
            turned[2 * i], turned[2 * i + 1] = pair.real, pair.imag
        return turned

    out = torch.zeros(length, width, dtype=x.dtype)
    for h, n in itertools.product(range(heads), range(length)):
        own, group = slice(h * size, (h + 1) * size), h // (heads // kv_heads)
        kept = slice(group * size, (group + 1) * size)
        query = turn(q[n, own], n, 1)
        scores = torch.stack([query @ turn(k[m, kept], m, -1) / math.sqrt(size) for m in range(n + 1)])
        weights = scores.exp() / scores.exp().sum()
        out[n, own] = weights @ v[: n + 1, kept]
    return out @ mixer.out.weight.T


@pytest.mark.parametrize("implementation", Options.CHOICES["implementation"])
@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("kv_heads", GROUPS)
def test_attention_is_its_formula(implementation, rotation, kv_heads):
    model = build(implementation=implementation, rotation=rotation, kv_heads=kv_heads)
    mixer, x = model.blocks[0].mixer, torch.randn(1, 7, SHAPE.width, dtype=torch.float64)
    with torch.no_grad():
        wanted = by_the_formula(mixer, x[0], rotation, kv_heads or SHAPE.heads, SHAPE.max_length)
        for form in Model.forms:
            assert relative(mixer(x, call_of(model, form, 7), {})[0], wanted) < EXACT


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("kv_heads", GROUPS)
@pytest.mark.parametrize("padding", [None, torch.tensor([0, 8, 3])], ids=["unpadded", "padded"])
def test_eager_and_fused_agree_to_the_gradients(rotation, kv_heads, padding):
    eager, fused = (build(implementation=name, rotation=rotation, kv_heads=kv_heads) for name in ("eager", "sdpa"))
    a, b = (model(tokens(), padding=padding)[:, 8:] for model in (eager, fused))
    assert relative(b, a) < EXACT
    assert relative(gradients(fused, b.sin().sum()), gradients(eager, a.sin().sum())) < EXACT


@pytest.mark.parametrize("implementation", Options.CHOICES["implementation"])
@given(
    batch=st.integers(1, 3),
    lengths=st.tuples(st.integers(0, 5), st.integers(1, 6), st.integers(1, 4)),
    padded=st.booleans(),
    kv_heads=st.sampled_from(GROUPS),
    rotation=st.sampled_from(ROTATIONS),
    cache=st.sampled_from(CACHES),
)
def test_both_forms_agree_from_any_state(implementation, batch, lengths, padded, kv_heads, rotation, cache):
    model = build(implementation=implementation, kv_heads=kv_heads, rotation=rotation, cache=cache)
    assert attention.largest_disagreement(model, batch, lengths, padded) < EXACT


# The cache --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("kv_heads", GROUPS)
@pytest.mark.parametrize("capacity", [None, 4, 5, 13, 40])
@pytest.mark.parametrize("grad", [False, True], ids=["no_grad", "grad"])
def test_prefill_then_steps_equal_one_pass(cache, kv_heads, capacity, grad):
    """With room for no token, for some, for all: the cache grows on the way, or need not."""
    model = build(cache=cache, kv_heads=kv_heads)
    with torch.set_grad_enabled(grad):
        whole = model(tokens())
        logits, state = model.prefill(tokens()[:, :4], capacity=capacity)
        assert relative(logits, whole[:, 3]) < EXACT
        rest = continued(model, state, tokens()[:, 4:])
        assert relative(rest, whole[:, 4:]) < EXACT
        if grad:
            assert relative(gradients(model, rest.sin().sum()), gradients(model, whole[:, 4:].sin().sum())) < EXACT


def test_steps_write_into_the_reserved_slots():
    model = build()
    with torch.no_grad():
        _, state = model.prefill(tokens()[:, :4], capacity=7)
        places = [tensor.data_ptr() for tensor in state.tensors()]
        for n in range(4, 7):
            _, state = model.step(tokens()[:, n], state)
            assert [tensor.data_ptr() for tensor in state.tensors()] == places
        _, state = model.step(tokens()[:, 7], state)
        assert {tensor.shape[2] for tensor in state.tensors()} == {14}, "a full cache doubles"


def test_a_capacity_given_later_is_kept_to():
    model = build()
    with torch.no_grad():
        _, state = model.prefill(tokens()[:, :4])
        assert {tensor.shape[2] for tensor in state.tensors()} == {4}
        _, state = model.prefill(tokens()[:, 4:7], state=state, capacity=9)
        assert {tensor.shape[2] for tensor in state.tensors()} == {9}


def test_the_concatenated_cache_is_copied_at_every_step():
    model = build(cache="concatenated")
    with torch.no_grad():
        _, state = model.prefill(tokens()[:, :4], capacity=9)
        for n in range(4, 7):
            before = list(state.tensors())
            _, state = model.step(tokens()[:, n], state)
            assert {tensor.shape[2] for tensor in state.tensors()} == {n + 1}
            assert not {t.data_ptr() for t in before} & {t.data_ptr() for t in state.tensors()}


def test_nothing_is_written_in_place_where_gradients_flow():
    old, new = torch.randn(2, 3, 5, 4, requires_grad=True), torch.randn(2, 3, 1, 4, requires_grad=True)
    call = Call("recurrent", torch.tensor([3]), None, None, 3, True, None)
    before = old.detach().clone()
    extend(old, new, call, "preallocated").sum().backward()
    assert torch.equal(old, before)
    assert torch.equal(old.grad[0, 0, :, 0], torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0])), "one slot is overwritten"
    assert (new.grad == 1).all()


@pytest.mark.parametrize("kv_heads", GROUPS)
@pytest.mark.parametrize(("dtype", "itemsize"), [(torch.float64, 8), (torch.bfloat16, 2)])
def test_state_bytes(kv_heads, dtype, itemsize):
    model = build(kv_heads=kv_heads, dtype=dtype)
    with torch.no_grad():
        _, state = model.prefill(tokens(5), capacity=19)
    groups = kv_heads or SHAPE.heads
    assert state.nbytes == Model.state_bytes(SHAPE, model.options, 5, 19, itemsize)
    assert state.nbytes == SHAPE.layers * 2 * 5 * groups * 19 * 4 * itemsize


# Masks and kernels ------------------------------------------------------------------------------------------------


def test_no_mask_is_made_where_the_kernel_needs_none():
    """A mask rules flash kernels out: none for a whole sequence, none for a step."""
    model = build()
    for form, length, seen in (("parallel", 5, 0), ("recurrent", 1, 9), ("parallel", 1, 9), ("recurrent", 5, 9)):
        positions = torch.arange(seen, seen + length)
        assert model.share(Call(form, positions, None, None, seen, True, None)).visible is None
    assert model.share(Call("parallel", torch.arange(9, 14), None, None, 9, True, None)).visible.shape == (5, 14)


def test_only_a_token_before_or_itself_is_seen_and_no_padding():
    padding = torch.tensor([2, 0])
    call = Call("parallel", torch.arange(4) - padding[:, None], None, padding, 0, True, None)
    seen = build().share(call).visible.int().tolist()
    padded = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]  # padding sees itself, lest it be NaN
    assert seen == [[padded], [torch.ones(4, 4).tril().int().tolist()]]


# Costs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("implementation", Options.CHOICES["implementation"])
@pytest.mark.parametrize("kv_heads", GROUPS)
@pytest.mark.parametrize("form", Model.forms)
@pytest.mark.parametrize("context", [0, 6])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "training"])
def test_flops_are_counted_exactly(implementation, kv_heads, form, context, backward):
    model = build(implementation=implementation, kv_heads=kv_heads, dtype=torch.float32)
    state = State(0, None, [])
    if context:
        with torch.no_grad():
            _, state = model.prefill(tokens(1, context))
    with flop_counter() as counter:
        hidden, _ = model.run(tokens(1, 9), form, state)
        logits = model.head(hidden)
        if backward:
            logits.sum().backward()
    assert counter.get_total_flops() == Model.flops(SHAPE, model.options, form, 9, context, backward)


# Bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "options", "message"),
    [
        ({}, {"kv_heads": 4}, r"kv_heads is 4; with 6 heads it must be one of 1, 2, 3, 6"),
        ({}, {"kv_heads": 0}, r"kv_heads is 0"),
        ({"heads": 7}, {}, r"heads is 7, which does not divide the width 24"),
        ({"heads": 8}, {}, r"heads of size 3 .* are odd"),
        ({"heads": 8}, {"rotation": "xpos"}, r"set rotation to none"),
        ({}, {"rotation": "rotary"}, r"rotation is 'rotary'; allowed are rope, xpos, none"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changed, options, message):
    with pytest.raises(ValueError, match=message):
        Model(dataclasses.replace(SHAPE, **changed), Options(**options))


def test_odd_heads_do_without_rotation():
    model = build(dataclasses.replace(SHAPE, heads=8), rotation="none")
    with torch.no_grad():
        assert relative(model(tokens()), model(tokens(), "recurrent")) < EXACT


def test_autocast_keeps_one_type_in_the_cache():
    model = build(dtype=torch.float32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        _, state = model.prefill(tokens()[:, :6], capacity=9)
        _, state = model.step(tokens()[:, 6], state)
    assert {tensor.dtype for tensor in state.tensors()} == {torch.bfloat16}
