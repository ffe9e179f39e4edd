"""Peak memory as the process holds it, and the bytes of weights and state."""

import dataclasses
import subprocess
import sys

import pytest

import models
from harness.bench import Bench
from harness.measures import NotApplicable
from harness.memory import Memory
from tests import tiny
from tests.test_measures import measured, values
from tests.tree import ROOT

FRESH = """
import torch
from harness.memory import Memory
MIB = 2**20
def tensors(count, size):
    return [torch.ones(size // 4) for _ in range(count)]
def tell(peak):
    print(peak.resident_bytes / MIB)
def peak(before, work):
    kept = before()
    memory = Memory("cpu")
    tell(memory.peak(work))
"""
KEPT_AND_FREED = """
freed = torch.ones(300 * MIB // 4)
del freed
memory = Memory("cpu")
kept = torch.ones(16 * MIB // 4)
tell(memory.peak(lambda: torch.ones(64 * MIB // 4)))
tell(memory.peak(lambda: None))
last = [torch.ones(MIB // 64) for _ in range(960)][-1]
tell(memory.peak(lambda: None))
tell(memory.peak(lambda: tensors(32, MIB)))
"""
USED_AGAIN = """
peak(lambda: tensors(960, MIB // 16)[-1], lambda: tensors(320, MIB // 16))
"""
FREED_IN_BETWEEN = """
def work():
    first = tensors(8, 4 * MIB)
    second = first[::2]
    del first
    second += tensors(4, 6 * MIB)
peak(lambda: len(tensors(1, 30 * MIB)), work)
"""


def peaks(script):
    """MiB that a fresh process tells: what this one holds of other tests comes and goes meanwhile."""
    asked = [sys.executable, "-c", FRESH + script]
    told = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [float(line) for line in told.split()]


def test_the_peak_is_what_was_held_and_not_what_was_freed():
    beside, kept, kept_and_last, many = peaks(KEPT_AND_FREED)
    assert beside == pytest.approx(16 + 64, rel=0.03)
    assert kept == pytest.approx(16, rel=0.1)
    assert kept_and_last == pytest.approx(16 + 1 / 16, rel=0.1)
    assert many == pytest.approx(16 + 32, rel=0.05)


@pytest.mark.parametrize(("script", "live"), [(USED_AGAIN, 20), (FREED_IN_BETWEEN, 4 * 4 + 4 * 6)])
def test_what_the_c_library_keeps_of_freed_tensors_counts_for_nobody(script, live):
    assert peaks(script) == pytest.approx([live], rel=0.1)


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


def test_training_is_timed_before_memory_is_counted_on_a_cpu(only_tiny, monkeypatch):
    """Counting has freed memory given back for good, after which every step asks the system for it again."""
    order, time, peak = [], Bench.time, Bench.peak
    monkeypatch.setattr(Bench, "time", lambda self, work: order.append("time") or time(self, work))
    monkeypatch.setattr(Bench, "peak", lambda self, work: order.append("peak") or peak(self, work))
    measured("training")
    assert order == ["time", "peak"]
