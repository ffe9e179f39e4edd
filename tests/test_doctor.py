"""The doctor: what it says of a machine, and that it tells a noisy one from a calm one."""

import io
import math
from types import SimpleNamespace

import pytest
from rich.console import Console

from harness import doctor, timing


@pytest.mark.parametrize(
    ("finding", "advised"),
    [
        (doctor.cores(8, 8), ""),
        (doctor.cores(1, 1), "more repeats"),
        (doctor.cores(2, 16), "lower OMP_NUM_THREADS"),
        (doctor.load(0.02, 4), ""),
        (doctor.load(0.6, 4), "close what computes"),
        (doctor.governor(None), ""),
        (doctor.governor("performance"), ""),
        (doctor.governor("powersave"), "set it to performance"),
        (doctor.battery(None), ""),
        (doctor.battery(SimpleNamespace(power_plugged=True, percent=80)), ""),
        (doctor.battery(SimpleNamespace(power_plugged=False, percent=80)), "plug it in"),
        (doctor.memory(2**35, 0), ""),
        (doctor.memory(2**30, 0), "what is swapped is slow"),
        (doctor.throttling({}), ""),
        (doctor.throttling({"clock_mhz": 1980.0, "power_watts": 700.0, "throttled": "no"}), ""),
        (doctor.throttling({"clock_mhz": 900.0, "throttled": "power cap"}), "cool it"),
        (doctor.judged(doctor.Noise([0.001, -0.002, 0.003] * 10)), ""),
        (doctor.judged(doctor.Noise([0.03, -0.04, 0.01] * 10)), "more repeats"),
        (doctor.judged(doctor.Noise([0.3, -0.4, 0.01] * 10)), "noisy"),
    ],
)
def test_what_disturbs_is_advised_against_and_nothing_else(finding, advised):
    assert advised in finding.advice
    assert bool(finding.advice) == bool(advised)
    assert finding.found


@pytest.mark.parametrize(("free", "advised"), [(doctor.LITTLE_DISK - 1, "make room"), (doctor.LITTLE_DISK, "")])
def test_a_disk_with_little_room_is_told(monkeypatch, tmp_path, free, advised):
    asked = []
    monkeypatch.setattr(doctor.psutil, "disk_usage", lambda place: asked.append(place) or SimpleNamespace(free=free))
    finding = doctor.disk("disk", tmp_path / "to" / "come", "make room")
    assert finding.advice == advised
    assert "free for" in finding.found
    assert str(tmp_path / "to" / "come") in finding.found
    assert asked == [str(tmp_path)], "of what is there already"


def test_a_disk_that_is_not_told_is_a_finding(monkeypatch, tmp_path):
    def gone(place):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(doctor.psutil, "disk_usage", gone)
    finding = doctor.disk("disk", tmp_path, "make room")
    assert (finding.advice, "Input/output error" in finding.found) == ("make room", True)


def test_the_disks_of_results_and_cache_are_looked_at(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(doctor.psutil, "cpu_percent", lambda interval: 0.0)
    monkeypatch.setattr(doctor.psutil, "disk_usage", lambda place: SimpleNamespace(free=7))
    told = {finding.what: finding for finding in doctor.disturbances({"cores": 4, "threads": 2}, "cpu")}
    assert "--out" in told["disk of the results"].advice
    assert "XDG_CACHE_HOME" in told["disk of the cache"].advice
    assert str(tmp_path) in told["disk of the cache"].found


def test_noise_is_a_bias_and_a_spread():
    noise = doctor.Noise([math.log(1.1)] * 19 + [math.log(0.5)])
    assert noise.bias == pytest.approx(0.1)
    assert noise.spread == pytest.approx(0.1)  # one pair in twenty may lie outside
    assert doctor.Noise([math.log(1.1)] * 9 + [math.log(0.5)]).spread == pytest.approx(1.0)


def test_equal_work_is_compared_in_abba_order(monkeypatch):
    told = iter([1.0, 1.1, 1.1, 1.0, 1.0, 1.1, 1.1, 1.0])  # A B, B A: the second of the two names is slower
    monkeypatch.setattr(timing, "warm_up", lambda *given: None)
    monkeypatch.setattr(doctor, "_visit", lambda work, device: next(told))
    monkeypatch.setattr(doctor.time, "monotonic", iter([0.0, 0.5, 0.6, 0.7, 2.0]).__next__)
    [ratios] = doctor.compare_with_itself("cpu", 1.0)
    assert ratios == pytest.approx([math.log(1.1)] * 3)


def test_a_machine_is_examined():
    console = Console(file=io.StringIO(), width=200)
    found = doctor.examine("cpu", 1.0, console)
    told = console.file.getvalue()
    assert [finding.what for finding in found][-1] == "noise (A/A)"
    assert "results/<experiment>/cpu-" in told
    assert all(finding.what in told for finding in found)


@pytest.mark.parametrize("seconds", ["inf", "nan", "0", "1000"])
def test_a_comparison_without_an_end_or_beyond_a_process_limit_is_refused(seconds, refused):
    told = f"--seconds {seconds}: this is out of range; allowed is 1 to 240\n"
    assert refused("doctor", "--seconds", seconds) == told
