"""Who else computed while work was timed."""

import collections
import time

import psutil
import pytest

from harness import telemetry
from harness.telemetry import Used

Linux = collections.namedtuple("Linux", "user nice system idle iowait irq softirq steal guest guest_nice")
Mac = collections.namedtuple("Mac", "user nice system idle")


@pytest.mark.parametrize(
    ("told", "there", "busy"),
    [(Linux(100.0, 1.0, 20.0, 300.0, 50.0, 2.0, 3.0, 4.0, 60.0, 0.5), 480.0, 130.0), (Mac(1.0, 2.0, 3.0, 4.0), 10, 6)],
)
def test_guests_count_once_waiting_is_idle_and_stolen_time_is_used(monkeypatch, told, there, busy):
    monkeypatch.setattr(psutil, "cpu_times", lambda: told)
    monkeypatch.setattr(time, "process_time", lambda: 7.0)
    assert telemetry._used() == Used(there, busy, 7.0)


@pytest.mark.parametrize(
    ("after", "share"),
    [
        (Used(108.0, 55.0, 12.0), (5.0 - 2.0) / 8.0),
        (Used(108.0, 51.0, 12.0), 0.0),  # the system counts in steps of 10 ms, the process does not
        (Used(108.0, 58.5, 10.0), 1.0),
        (Used(100.0, 50.0, 10.001), None),
    ],
)
def test_of_what_there_was_others_used_what_this_process_did_not(after, share):
    assert telemetry._others_share(Used(100.0, 50.0, 10.0), after) == share


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_who_else_computes_is_read_on_every_device(monkeypatch, device):
    told = iter([Used(100.0, 50.0, 10.0), Used(108.0, 55.0, 12.0)])
    monkeypatch.setattr(telemetry, "_used", lambda: next(told))
    assert telemetry.Gauges(device).read()["others_share"] == 3 / 8
    monkeypatch.undo()
    gauges, end = telemetry.Gauges(device), time.process_time() + 0.05
    while time.process_time() < end:
        pass
    assert 0.0 <= gauges.read()["others_share"] < 1.0, "not of what this process used"
