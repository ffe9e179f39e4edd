"""Training: deterministic, within its budget, and each part of a step as it is said to be."""

import dataclasses
import time

import numpy as np
import pytest
import torch

import models
from harness import stepping, training
from harness.measures import NotApplicable
from harness.point import Training
from tests import tiny

TEXT = np.random.default_rng(1).choice(np.frombuffer(b"some words of few letters ", np.uint8), 3000)
SETTINGS = Training(sequence_length=11, batch_size=6, learning_rate=1e-2, tokens=11 * 6 * 9 + 10)


def changed(**settings):
    return dataclasses.replace(SETTINGS, **settings)


def trained(settings=SETTINGS, seed=0, model=None, kept=None, **options):
    """The curve and the model."""
    model = model or tiny.model(seed)
    return list(training.train(model, TEXT, settings, seed, "parallel", kept, **options)), model


def losses(curve):
    return [row.loss for row in curve]


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


# The same again --------------------------------------------------------------------------------------------------


def test_the_seed_decides_everything():
    (first, a), (again, b), (other, c) = trained(seed=3), trained(seed=3), trained(seed=4)
    assert losses(first) == losses(again)
    assert torch.equal(weights(a), weights(b))
    assert losses(first) != losses(other)
    assert not torch.equal(weights(a), weights(c))


def test_the_order_of_the_data_has_a_seed_of_its_own():
    first = training.batch(TEXT, SETTINGS, 0, 5)
    assert torch.equal(first, training.batch(TEXT, SETTINGS, 0, 5))
    assert not torch.equal(first, training.batch(TEXT, SETTINGS, 1, 5))
    assert not torch.equal(first, training.batch(TEXT, SETTINGS, 0, 6))


def test_windows_are_of_the_text_and_reach_both_its_ends():
    short = np.arange(13, dtype=np.uint8)
    drawn = torch.cat([training.batch(short, SETTINGS, 0, step) for step in range(9)])
    assert {tuple(row) for row in drawn.tolist()} == {tuple(range(12)), tuple(range(1, 13))}
    with pytest.raises(NotApplicable, match="11 bytes; one window needs 12"):
        training.batch(short[:11], SETTINGS, 0, 0)


# The budget ------------------------------------------------------------------------------------------------------


def test_a_budget_of_tokens_is_never_passed():
    curve, _ = trained()
    assert [row.step for row in curve] == list(range(1, 10))
    assert curve[-1].tokens == 11 * 6 * 9 <= SETTINGS.tokens < curve[-1].tokens + 11 * 6


def test_a_budget_of_flops_is_never_passed():
    model = tiny.model()
    each = tiny.Model.flops(tiny.SHAPE, model.options, "parallel", 11, backward=True) * 6
    curve, _ = trained(changed(tokens=None, flops=4.9 * each))
    assert curve[-1].step == 4


def test_a_budget_of_seconds_is_kept():
    curve, _ = trained(changed(tokens=None, seconds=0.5))
    assert 0.25 < curve[-1].seconds < 0.6
    assert 3 < len(curve) <= training.ROWS + 1
    assert [row.step for row in curve] == sorted({row.step for row in curve})


def test_a_budget_too_small_for_one_step_says_so():
    with pytest.raises(NotApplicable, match="does not pay for one step of 66 tokens"):
        trained(changed(tokens=65))


def test_the_clock_stands_still_while_a_row_is_told():
    clock = training.Clock(5.0)
    with clock.paused():
        time.sleep(0.2)
    assert 5.0 <= clock.seconds < 5.1


# The step --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.names())
def test_accumulation_is_the_big_batch(name):
    kind = models.load(name)

    def one(accumulate):
        torch.manual_seed(2)
        model = kind(tiny.SHAPE, kind.Options()).double()
        settings = changed(accumulate=accumulate)
        loss = stepping.step(
            model, stepping.optimiser(model, settings), training.batch(TEXT, settings, 0, 0), settings, None
        )
        return loss, weights(model)

    (loss, whole), (sum_of_parts, parts) = one(1), one(3)
    assert loss.item() == pytest.approx(sum_of_parts.item(), rel=1e-12)
    assert torch.allclose(whole, parts, rtol=0, atol=1e-4 * SETTINGS.learning_rate)


def test_it_learns():
    curve, _ = trained(changed(tokens=66 * 150))
    assert curve[0].loss == pytest.approx(np.log(256), abs=0.05)
    assert curve[-1].loss < 3.2, "fewer letters than bytes"


def test_only_the_weights_of_linear_maps_decay():
    model = tiny.model()
    decayed, others = stepping.optimiser(model, SETTINGS).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert decayed["weight_decay"] == 0.1
    assert others["weight_decay"] == 0
    assert {names[id(p)] for p in others["params"]} == {
        *("embedding.weight", "norm.weight"),
        *(f"blocks.{layer}.{norm}.weight" for layer in (0, 1) for norm in ("mixer_norm", "ffn_norm")),
    }
    assert len(names) == len(decayed["params"]) + len(others["params"])


def test_gradients_are_clipped():
    def moved(clip):
        model = tiny.model()
        before, sgd = weights(model).clone(), torch.optim.SGD(model.parameters(), lr=1.0)
        stepping.step(model, sgd, training.batch(TEXT, SETTINGS, 0, 0), changed(clip=clip), None)
        return (weights(model) - before).norm().item()

    assert moved(1e-3) == pytest.approx(1e-3, rel=1e-2)
    assert moved(1e9) > 0.1


def test_the_loss_is_taken_in_float32_and_autocast_is_bfloat16():
    model, windows = tiny.model(), training.batch(TEXT, SETTINGS, 0, 0)
    exact, cast = (stepping.loss_of(model, windows, None, autocast) for autocast in (False, True))
    assert exact.dtype == cast.dtype == torch.float32
    assert exact.item() != cast.item()
    assert exact.item() == pytest.approx(cast.item(), rel=1e-2)
    assert stepping.loss_of(model.bfloat16(), windows, None).dtype == torch.float32


@pytest.mark.parametrize(
    ("schedule", "middle"), [("cosine", 0.1 + 0.9 * 0.5), ("linear", 0.1 + 0.9 * 0.5), ("constant", 1.0)]
)
def test_the_rate_rises_and_falls(schedule, middle):
    settings = changed(schedule=schedule, warmup=0.2, learning_rate=0.5)
    shares = (0.05, 0.1, 0.2, 0.6, 1.0)
    found = [training.rate(settings, share) / 0.5 for share in shares]
    assert found == pytest.approx([0.25, 0.5, 1.0, middle, 1.0 if schedule == "constant" else 0.1])
    assert training.rate(changed(schedule="cosine", warmup=0.0, final_rate=0.0), 0.25) == pytest.approx(
        1e-2 * (1 + np.cos(np.pi / 4)) / 2
    )


def test_every_step_has_its_rate(monkeypatch):
    seen, step = [], stepping.step
    monkeypatch.setattr(stepping, "step", lambda m, o, *rest: seen.append(o.param_groups[1]["lr"]) or step(m, o, *rest))
    trained(changed(warmup=1 / 3, schedule="linear", final_rate=0.0, learning_rate=0.09))
    assert seen == pytest.approx([0.03, 0.06, 0.09, 0.075, 0.06, 0.045, 0.03, 0.015, 0.0])
