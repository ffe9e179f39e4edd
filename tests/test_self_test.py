"""Energy by a counter, and the harness's own error on work whose answer is known."""

import dataclasses
import io
import re
import types

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from harness import measures, summary, telemetry, worker
from harness.bench import Bench
from harness.measures import NotApplicable, self_test
from reports.rows import SAME_POINT
from tests import tiny
from tests.test_measures import measured, point, timing, values

pytestmark = pytest.mark.usefixtures("counter")


def test_energy_is_what_the_counter_moved_over_the_tokens(only_tiny):
    rows = measured("energy")
    assert values(rows, "decode_watts") == pytest.approx([10.0] * 3, rel=0.2)
    assert values(rows, "training_watts") == pytest.approx([10.0] * 3, rel=0.2)
    joules = min(values(rows, "training_joules_per_token"))
    assert 0 < joules < 10 * 0.06 / (2 * 19), "an optimiser step is shorter than a window"


@pytest.mark.parametrize(("length", "steps"), [(19, 16), (5, 4), (1, 1)])
def test_energy_waits_for_the_device_after_several_tokens_and_no_more_than_there_are(
    only_tiny, monkeypatch, length, steps
):
    positions, decoded, step = [], [], tiny.Model.step

    def counted(self, token, state):
        positions.append(state.seen)
        return step(self, token, state)

    def once(self, work, windows, seconds):
        positions.clear()  # of steps that were taken to capture one
        work()
        decoded.append(list(positions))
        return [(12.0, 3.0)]

    monkeypatch.setattr(tiny.Model, "step", counted)
    monkeypatch.setattr(Bench, "energy", once)
    [joules] = values(measured("energy", sequence_length=length), "decode_joules_per_token")
    context = max(1, length - steps)
    assert joules == 12 / (2 * steps)
    assert decoded == [list(range(context, context + steps)), []], "the second trains"


def test_energy_is_not_applicable_where_nothing_counts_it_or_the_counter_stands(only_tiny, counter):
    counter["zones"] = lambda: None
    with pytest.raises(NotApplicable, match="nothing on this machine counts the energy of cpu"):
        measured("energy")
    counter["zones"] = lambda: [(7.0, 100.0)]
    with pytest.raises(NotApplicable, match="did not move"):
        measured("energy")


def test_two_processors_counters_wrap_each_for_itself(counter):
    told = iter([[(99.0, 100.0), (5.0, 200.0)], [(3.0, 100.0), (9.0, 200.0)]])
    counter["zones"] = lambda: next(told)
    assert telemetry.EnergyMeter("cpu").read() == pytest.approx(4.0 + 4.0)


def test_the_harness_is_right_about_what_is_known():
    """In a process of its own, as a sweep measures: what this one holds comes and goes by megabytes between repeats.

    Of pauses the least counts: what else computes makes some of them longer, and none shorter.
    """
    outcome = worker.run(point("self_test", "retnet", repeats=5), measures.load("self_test"))
    rows = outcome.samples
    assert outcome.status == "ok", outcome.reason
    assert -0.001 < min(values(rows, "time_error")) < 0.01
    assert abs(np.median(values(rows, "memory_error"))) < 0.01


def test_a_run_ends_with_the_errors_and_not_with_a_speed_alone():
    """In columns of their own; those that this device does not have are left out."""
    row = dict.fromkeys((*SAME_POINT, "learning_rate"))
    row |= {"configuration": "c", "point": "p", "measure": "self_test", "label": "retnet", "status": "ok", "role": None}
    row |= dict.fromkeys(("width", "layers", "heads"), 3) | {"training_sequence_length": None, "device": "cpu"}
    points = pd.DataFrame([row | {"model": "retnet", "timing_ended": "precision", "others_share": 0.1}])
    points = pd.concat([points, points.assign(configuration="d", point="q", measure="training")])
    values = {"time_error": [3e-5, 2e-5, 9.0], "memory_error": [-0.01], "product_flops_per_second": [1e9]}
    samples = [{"metric": name, "value": value} for name, each in values.items() for value in each]
    samples = [{"point": "p", "bucket": None, "length": None} | each for each in samples]
    samples.append(samples[0] | {"point": "q", "metric": "tokens_per_second", "value": 7.0})
    results, out = types.SimpleNamespace(points=points, samples=pd.DataFrame(samples)), io.StringIO()
    summary.tell(results, ["c", "d"], Console(file=out, width=200))
    measured, head, told = (re.split("  +", line.strip()) for line in out.getvalue().splitlines()[-3:])
    assert measured == [*["self_test"] * 3, "training"]
    assert head == ["model", "points", "time_error", "memory_error", "product_flops_per_second, FLOP/s", "tokens/s"]
    assert told == ["retnet", "2 ok", "3e-05", "-0.01", "1,000,000,000", "7"]
    points.loc[points["point"] == "q", "others_share"] = 0.51
    summary.tell(results, ["c", "d"], Console(file=out, width=200))
    assert "while 1 of 2 points was timed, 51% at most (training of RetNet)" in out.getvalue()


def test_a_stopwatch_that_is_off_is_told(only_tiny, monkeypatch):
    monkeypatch.setattr(self_test, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(Bench, "time", lambda self, work: timing(0.052, 0.048))
    monkeypatch.setattr(self_test, "ALLOCATED_BYTES", 64 * 2**20)
    peak = Bench.peak
    monkeypatch.setattr(
        Bench, "peak", lambda self, work: dataclasses.replace(peak(self, work), resident_bytes=2**26 * 2)
    )
    rows = measured("self_test", repeats=1)
    assert values(rows, "time_error") == pytest.approx([0.04, -0.04])
    assert values(rows, "memory_error") == [1.0]
