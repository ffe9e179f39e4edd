"""The contract of every architecture, over every model file, every enumerated option and every form.

The oracle is the model's own recurrent form in float64, step by step; golden vectors of the authors' code guard
against a shared misreading (`tests/test_<model>.py`).
"""

import ast
import dataclasses
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import models
from tests.contract import (
    BATCH,
    EXACT,
    LENGTH,
    SHAPE,
    Case,
    continued,
    every_case,
    every_form,
    every_model,
    relative,
    tokens,
)


def loss_of(model, form, more=None, batch=BATCH, length=LENGTH):
    """A scalar that depends on every output and, through `more` further steps, on every number of the state."""
    given_tokens = tokens(batch, length)
    generator = torch.Generator().manual_seed(2)
    weights = torch.randn(batch, length, SHAPE.vocabulary, dtype=torch.float64, generator=generator)
    total = (model(given_tokens, form) * weights).sum()
    if more:
        _, state = model.prefill(given_tokens, form)
        total = total + (continued(model, state, tokens(batch, more, seed=3)) ** 2).sum()
    return total


def gradients(model, form, **sizes):
    model.zero_grad(set_to_none=True)
    loss_of(model, form, **sizes).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


# What a file states ----------------------------------------------------------------------------------------------


def test_there_are_models():
    assert {"retnet", "transformer", "linear_attention", "rwkv", "aft"} <= set(models.names())


@every_model
def test_card_is_literal(name):
    card = models.card(name)
    assert {"title", "colour", "marker", "citation", "forms", "default_form"} <= set(card), sorted(card)
    assert re.fullmatch("#[0-9A-F]{6}", card["colour"])
    assert card["default_form"] in card["forms"]
    assert "recurrent" in card["forms"], "the recurrent form is the definition of the others"
    assert re.search(r"arXiv:\d{4}\.\d{5}|https?://|doi", card["citation"])


def test_no_two_models_look_alike():
    cards = [models.card(name) for name in models.names()]
    for part in ("title", "colour", "marker"):
        assert len({card[part] for card in cards}) == len(cards), part


def test_an_unknown_model_is_named_with_those_there_are():
    with pytest.raises(KeyError, match=r"retnett.*retnet"):
        models.load("retnett")


@every_model
def test_heads_must_divide_the_width(name):
    with pytest.raises(ValueError, match="heads"):
        models.load(name)(dataclasses.replace(SHAPE, heads=5))


@every_case
def test_an_unknown_value_of_a_choice_is_refused(case):
    for field, allowed in case.kind.Options.CHOICES.items():
        with pytest.raises(ValueError, match=allowed[0]):
            case.kind(SHAPE, case.kind.Options(**{field: "nonsense"}))


@every_case
def test_an_unknown_form_is_refused(case):
    with pytest.raises(ValueError, match="nonsense"):
        case.build()(tokens(), "nonsense")


@every_case
def test_the_seed_decides_the_weights(case):
    first, again, other = (torch.cat([p.flatten() for p in case.build(seed=seed).parameters()]) for seed in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


# The forms are one function --------------------------------------------------------------------------------------


@every_form
def test_form_equals_the_recurrence(case, form):
    model = case.build()
    with torch.no_grad():
        wanted, found = model(tokens(), "recurrent"), model(tokens(), form)
        assert relative(found, wanted) < EXACT
        after = continued(model, model.prefill(tokens(), "recurrent")[1], tokens(length=5, seed=3))
        assert relative(continued(model, model.prefill(tokens(), form)[1], tokens(length=5, seed=3)), after) < EXACT


@every_form
def test_gradients_equal_those_of_the_recurrence(case, form):
    model = case.build()
    wanted, found = gradients(model, "recurrent", more=3), gradients(model, form, more=3)
    assert wanted.keys() == found.keys() == {name for name, _ in model.named_parameters()}
    for name, gradient in wanted.items():
        assert gradient.abs().max() > 0, f"nothing depends on {name}"
        assert relative(found[name], gradient) < 1e-8, name


@pytest.mark.parametrize("name", models.names())
@given(
    batch=st.sampled_from([1, 2]), length=st.integers(1, 35), heads=st.sampled_from([1, 2, 3]), seed=st.integers(0, 9)
)
def test_any_sizes(name, batch, length, heads, seed):
    case = Case(name)
    model = case.build(dataclasses.replace(SHAPE, heads=heads, width=12 * heads), seed=seed)
    with torch.no_grad():
        wanted = model(tokens(batch, length), "recurrent")
        for form in case.forms:
            assert relative(model(tokens(batch, length), form), wanted) < EXACT, form


@every_form
def test_the_future_has_no_gradient_at_all(case, form):
    model, kept = case.build(), []
    model.embedding.register_forward_hook(lambda module, given, out: kept.append(out) or out.retain_grad())
    for position in (0, 6, LENGTH - 2):
        kept.clear()
        model(tokens(), form)[:, position].pow(2).sum().backward()
        gradient = kept[0].grad
        assert (gradient[:, position + 1 :] == 0).all(), position
        assert (gradient[:, : position + 1].abs().amax(-1) > 0).any(), position


# One file ---------------------------------------------------------------------------------------------------------


@every_model
def test_nothing_in_the_harness_or_the_figures_names_a_model(name):
    root = models.FOLDER.parent
    for path in [*root.glob("models/_*.py"), *root.glob("harness/**/*.py"), *root.glob("reports/figures/*.py")]:
        constants = (
            node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Constant)
        )
        assert all(node.value != name for node in constants), path


@every_model
def test_hooks_on_a_block_see_what_goes_from_layer_to_layer(name):
    """A pair: x, and what is still to be added to it. With the norm it is what the head reads."""
    model, seen = Case(name).build(), []
    for block in model.blocks:
        block.register_forward_hook(lambda block, given, given_on: seen.append((given[:2], given_on)))
    logits = model(tokens())
    (first, ended), (second, (x, delta)) = seen
    assert first[1] is None
    assert all(map(torch.equal, second, ended))
    assert torch.equal(model.head(model.norm(x + delta)), logits)
    assert not torch.equal(model.head(model.norm(x)), logits)
