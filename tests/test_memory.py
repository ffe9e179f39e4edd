"""Peak memory as the process holds it, and the bytes of weights and state."""

import dataclasses

import pytest
import torch

import models
from harness.bench import Bench
from harness.measures import NotApplicable
from harness.memory import Memory
from tests import tiny
from tests.test_measures import measured, values

MIB = 2**20


@pytest.fixture
def only_tiny(monkeypatch):
    monkeypatch.setattr(models, "load", lambda name: tiny.Model)


def test_the_peak_is_what_was_held_and_not_what_was_freed():
    freed = torch.ones(300 * MIB // 4)
    del freed
    memory = Memory("cpu")
    kept = torch.ones(16 * MIB // 4)
    peak = memory.peak(lambda: torch.ones(64 * MIB // 4))
    assert peak.resident_bytes == pytest.approx(16 * MIB + 64 * MIB, rel=0.03)
    assert memory.peak(lambda: None).resident_bytes == pytest.approx(kept.nbytes, rel=0.1)
    assert memory.peak(lambda: [torch.ones(MIB // 4) for _ in range(32)]).resident_bytes == pytest.approx(
        16 * MIB + 32 * MIB, rel=0.05
    )


def test_a_device_that_nobody_counts_is_a_gap(only_tiny, monkeypatch):
    with pytest.raises(NotApplicable, match=r"nothing on .* counts the peak memory of mps"):
        Memory("mps").peak(lambda: None)

    def peak(self, work):
        raise NotApplicable("nothing counts it")

    monkeypatch.setattr(Bench, "peak", peak)
    assert {row.metric for row in measured("memory")} == {"weights_bytes", "state_bytes"}
    assert {row.metric for row in measured("training")} == {"tokens_per_second", "step_ms", "flops_per_second"}


@pytest.mark.parametrize("length", [1, 2, 19])
@pytest.mark.parametrize("model", models.names())
def test_state_and_weights_are_the_live_bytes_and_the_models_own_count(model, length):
    rows, kind = measured("memory", model, sequence_length=length, batch_size=3), models.load(model)
    shape, chosen = dataclasses.replace(tiny.SHAPE, max_length=39), kind.Options()
    assert values(rows, "weights_bytes") == [4 * kind.parameters_count(shape, chosen)]
    assert values(rows, "state_bytes") == [kind.state_bytes(shape, chosen, 3, length)]
