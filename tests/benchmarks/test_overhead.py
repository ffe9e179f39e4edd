"""What the harness adds: a thousand points that do nothing, each in its own process and on disk before the next."""

import dataclasses
import time

import psutil
import pytest

import models
from harness import machine, record, run, worker
from tests import sweeping, tiny

POINTS = 1000
MOST_SECONDS = 0.3  # of each
MOST_GROWTH_BYTES = 32 * 2**20  # of the process that runs the sweep: what a thousand rows and their keys take


@pytest.mark.timeout(900)
def test_a_thousand_points_cost_little_and_memory_stays_flat(tmp_path, monkeypatch):
    environment = worker.call(machine.environment, "cpu")
    monkeypatch.setattr(worker, "call", lambda work, device: environment)
    options = dataclasses.asdict(models.load("transformer").Options())
    points = [tiny.point("noop", "transformer", seed=seed, options=options) for seed in range(POINTS)]
    resident, real = [], run.Sweep.run

    def watched(self, point):
        outcome = real(self, point)
        resident.append(psutil.Process().memory_info().rss)
        return outcome

    monkeypatch.setattr(run.Sweep, "run", watched)
    began = time.monotonic()
    folder = run.run(sweeping.Experiment(), points, tmp_path, "cpu").folder
    each = (time.monotonic() - began) / POINTS
    growth = resident[-1] - resident[POINTS // 10]
    print(f"\n{POINTS} points: {1000 * each:.0f} ms each, the sweep's own memory grew by {growth / 2**20:.1f} MiB")
    assert (record.load(folder).points["status"] == "ok").all()
    assert each <= MOST_SECONDS
    assert growth <= MOST_GROWTH_BYTES, f"{growth:,} bytes"
