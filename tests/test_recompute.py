"""Going through each block again going backward: the same gradients from less memory, for every model."""

import dataclasses

import pytest
import torch

import models
from harness import budget, cost, hardware, predict, stepping
from harness.point import Training
from tests import tiny
from tests.contract import SHAPE, tokens

every_model = pytest.mark.parametrize("name", models.names())


def built(name, recompute, **options):
    torch.manual_seed(0)
    return models.load(name)(SHAPE, models.load(name).Options(recompute=recompute, **options)).double()


def kept(model, windows):
    """The loss, and bytes of all that the forward pass leaves to the backward pass."""
    held = {}
    pack = lambda tensor: held.update({tensor.data_ptr(): tensor.nbytes}) or tensor  # noqa: E731
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = stepping.loss_of(model, windows, None)
    own = {parameter.data_ptr() for parameter in model.parameters()}
    return loss, sum(size for place, size in held.items() if place not in own)


@every_model
def test_gradients_are_the_same_and_less_is_kept(name):
    found = []
    for recompute in (False, True):
        model = built(name, recompute)
        loss, size = kept(model, tokens(length=30))
        loss.backward()
        found.append((loss, size, [parameter.grad for parameter in model.parameters()]))
    (loss, whole, gradients), (again, small, recomputed) = found
    assert torch.equal(loss, again)
    for wanted, had in zip(gradients, recomputed, strict=True):
        assert (wanted is None) == (had is None)
        assert wanted is None or torch.allclose(wanted, had, rtol=1e-12, atol=1e-14)
    assert small < 0.7 * whole


@every_model
def test_what_infers_is_not_touched(name, monkeypatch):
    def refused(*arguments, **options):
        raise AssertionError("nothing is to be gone through again")

    monkeypatch.setattr("models._lm.checkpoint", refused)
    model = built(name, True)
    with torch.inference_mode():
        _, state = model.prefill(tokens())
        model.step(tokens()[:, 0], state)
    with pytest.raises(AssertionError, match="gone through again"):
        model(tokens())


def test_a_step_of_training_with_it_is_the_step_without():
    settings = Training(sequence_length=12, batch_size=3, learning_rate=1e-2)
    moved = []
    for recompute in (False, True):
        model = built("retnet", recompute)
        stepping.step(model, stepping.optimiser(model, settings), tokens(), settings, None)
        moved.append(torch.cat([parameter.flatten() for parameter in model.parameters()]))
    assert torch.allclose(*moved, rtol=1e-10)


def test_the_cost_model_knows_of_it():
    options = dataclasses.asdict(models.load("transformer").Options())
    cell = {"sequence_length": 512, "batch_size": 4, "form": "parallel", "heads": 2}
    points = [
        tiny.point("training", "transformer", options=options | {"recompute": recompute}, **cell)
        for recompute in (False, True)
    ]
    jobs = [predict.job(point) for point in points]
    assert [job.recompute for job in jobs] == [False, True]
    whole, again = (cost.training(job, hardware.load("h200")) for job in jobs)
    assert again.memory_bytes < whole.memory_bytes
    assert again.seconds > whole.seconds
    counted = [budget.training_flops(job.kind, job.shape, job.options, "parallel", 512, 512) for job in jobs]
    assert counted[0] == counted[1], "the model's own count"
