"""What a model states of its memory traffic and launches is what its operators do, within a factor."""

import dataclasses

import pytest
import torch

from harness.job import Job
from models._cost import Shape
from models._traffic import Traffic, attention_traffic, ffn_traffic, rest_traffic, retention_traffic
from tests.contract import cases, label, tokens
from tests.traffic import count, most_at_once, of_a_layer

SHAPE = Shape(width=96, layers=1, heads=2, ffn_width=112, vocabulary=32, max_length=200)
LENGTH = 160
NEAR, LAUNCHES_NEAR = 1.65, 2.2  # Taylor features cost a launch for each offset of theirs, which nobody states
AT_ONCE_NEAR = 1.3


def stated():
    """Every case and form of the models that state their traffic; the default is a guess, and not held to anything."""
    own = [case for case in cases() if "mixer_traffic" in vars(case.kind)]
    return [(case, form) for case in own for form in case.forms if form != "recurrent"]


def of_layer(case, form, backward, shape=SHAPE, length=LENGTH):
    kind = case.kind
    mixer = kind.mixer_traffic(shape, case.options, form, length, backward)
    return mixer + kind.ffn_traffic(shape, case.options, backward) + rest_traffic(shape.width, backward)


def near(told, found, factor):
    return found / factor <= told <= found * factor


def test_most_models_state_their_traffic():
    assert len({case.model for case, _ in stated()}) >= 5


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "training"])
@pytest.mark.parametrize(("case", "form"), stated(), ids=label)
def test_traffic_is_what_operators_do(case, form, backward):
    found, told = of_a_layer(case, SHAPE, form, backward, LENGTH), of_layer(case, form, backward)
    assert near(told.launches, found.launches, LAUNCHES_NEAR), found
    assert near(told.moved, found.moved, NEAR), found
    assert not backward or near(told.kept, found.kept, NEAR), found


@pytest.mark.parametrize("ffn_width", [32, 480], ids=["narrow", "wide"])
@pytest.mark.parametrize(("case", "form"), stated(), ids=label)
def test_numbers_that_are_there_at_once_are_those_of_operators(case, form, ffn_width):
    """Where feed-forwards are narrow those of the mixer are the most, where they are wide their own."""
    shape = dataclasses.replace(SHAPE, layers=2, ffn_width=ffn_width)
    told = sum(Job(case.kind, shape, case.options, 2, LENGTH, form=form).passing(LENGTH))
    assert near(told, most_at_once(case, shape, form, LENGTH), AT_ONCE_NEAR)


@pytest.mark.parametrize("case", [case for case in cases() if not case.changed], ids=label)
def test_a_decode_step_launches_what_is_stated(case):
    launched = []
    for layers in (1, 3):
        shape = Shape(width=96, layers=layers, heads=2, ffn_width=112, vocabulary=11, max_length=200)
        model = case.build(shape, torch.float32)
        with torch.inference_mode():
            _, state = model.prefill(tokens(2), capacity=20)
            _, state = model.step(tokens(2)[:, 0], state)
        launched.append(count(model, tokens(2)[:, :1], "recurrent", False, state).launches)
    told = of_layer(case, "recurrent", False, length=1).launches
    assert near(told, (launched[1] - launched[0]) / 2, 1.5)


def test_traffic_adds_up_and_grows_with_what_it_is_of():
    assert Traffic(1, 2, 3) + Traffic(4, 5, 7) == Traffic(5, 7, 10)
    for backward in (False, True):
        assert ffn_traffic(64, 200, "swiglu", backward).moved == 2 * ffn_traffic(64, 100, "swiglu", backward).moved
        assert attention_traffic(64, 4, 500, True, backward) == attention_traffic(64, 4, 9, True, backward)
        assert attention_traffic(64, 4, 500, False, backward).moved > attention_traffic(64, 4, 9, False, backward).moved
    chunked = [retention_traffic("chunkwise", T, 64, 4, 16, 20, 32, True) for T in (32, 64, 4096, 2**20)]
    assert [each.launches for each in chunked] == [40, 60, 180, 340]  # 1, 2, 128 and 2^15 chunks, 20 for each doubling
    assert chunked[1].moved == chunked[3].moved > chunked[0].moved
