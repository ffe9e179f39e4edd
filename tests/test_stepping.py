"""Optimiser steps that are replayed: the same as those that are launched, whatever is captured or cannot be."""

import dataclasses

import numpy as np
import pytest
import torch

import models
from harness import graphs, stepping, training
from harness.point import Training
from models._cost import Shape
from tests import tiny
from tests.programs import on_a_gpu

STEPS = graphs.WARM_CALLS + 4
SETTINGS = Training(sequence_length=24, batch_size=4, learning_rate=1e-2, tokens=24 * 4 * STEPS, accumulate=2)
TEXT = np.random.default_rng(1).choice(np.frombuffer(b"some words of few letters ", np.uint8), 3000)


def stepped(model, device="cpu", settings=SETTINGS, **how):
    """The losses of steps at falling rates, the weights after them, and what made them."""
    stepper, found = stepping.Stepper(model, settings, models_form(model), **how), []
    for step in range(STEPS):
        stepping.set_rate(stepper.optimiser, 1e-2 / (step + 1))
        found.append(stepper(training.batch(TEXT, settings, 0, step).to(device)))
    return torch.stack(found).cpu(), torch.cat([p.detach().flatten().cpu() for p in model.parameters()]), stepper


def models_form(model):
    return model.training_form(model.options)


class Recorder:
    """In a capture's place: notes when one is made of what, and runs it when it is replayed."""

    def __init__(self, fails=None):
        self.made, self.replayed, self.fails = 0, 0, fails

    def __call__(self, work):
        self.made += 1
        if self.fails is not None:
            return self.fails()

        def replay():
            self.replayed += 1
            work()

        return replay


def test_after_a_few_steps_all_are_replayed_and_learn_the_same():
    recorder = Recorder()
    losses, weights, _ = stepped(tiny.model())
    found, after, stepper = stepped(tiny.model(), capture=recorder)
    assert torch.equal(found, losses)
    assert torch.equal(after, weights)
    assert (recorder.made, recorder.replayed) == (1, STEPS - graphs.WARM_CALLS)
    assert stepper.graph
    assert len(set(losses.tolist())) == STEPS, "a loss that is replayed is a number of its own"


def out_of_memory():
    raise torch.OutOfMemoryError("no room for a graph")


@pytest.mark.parametrize("fails", [lambda: None, out_of_memory], ids=["not captured", "no room"])
def test_where_nothing_is_captured_steps_go_on_one_launch_at_a_time(fails, capsys):
    recorder = Recorder(fails)
    losses, weights, _ = stepped(tiny.model())
    found, after, stepper = stepped(tiny.model(), capture=recorder)
    assert torch.equal(found, losses)
    assert torch.equal(after, weights)
    assert recorder.made == 1, "it is not tried again"
    assert not stepper.graph
    reason = "no CUDA graph: OutOfMemoryError: no room for a graph\n"
    assert capsys.readouterr().err == (reason if fails is out_of_memory else ""), "what captures tells its own failures"


def test_off_cuda_nothing_is_captured_and_the_rate_is_a_number():
    _, _, stepper = stepped(tiny.model())
    assert not stepper.graph
    assert stepper.optimiser.param_groups[0]["lr"] == pytest.approx(1e-2 / STEPS)


@on_a_gpu
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("name", models.names())
def test_a_graph_learns_what_launches_learn(name, autocast):
    settings, found = dataclasses.replace(SETTINGS, autocast=autocast), []
    shape = Shape(width=64, layers=2, heads=2, ffn_width=64, vocabulary=256, max_length=64)
    for how in ({}, {"capture": lambda work: None}):
        torch.manual_seed(0)
        model = models.load(name)(shape, models.load(name).Options()).cuda()
        found.append(stepped(model, "cuda", settings, **how))
    (losses, weights, graphed), (wanted, after, launched) = found
    assert graphed.graph
    assert not launched.graph
    assert (losses - wanted).abs().max() < (2e-2 if autocast else 1e-4)
    assert (weights - after).norm() < (5e-2 if autocast else 1e-3) * after.norm()
