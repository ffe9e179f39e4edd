"""Sweeps that are run again, interrupted or cut short: nothing is lost, and nothing runs twice without a reason."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from harness import machine, record, worker
from harness import sweep as sweeps
from harness.errors import UserError
from harness.writer import LOCK, Writer
from reports import rows
from tests.fakes import point
from tests.sweeping import counted, gone, until
from tests.tree import ROOT

# What runs again, and what does not -------------------------------------------------------------------------------


def test_finished_points_are_skipped(sweep, tmp_path):
    into = tmp_path / "counts"
    first, _ = sweep(*counted(into, 2))
    second, told = sweep(*counted(into, 3))
    assert into.read_text().split() == ["0", "1", "2"]
    assert "1 point run, 2 were done before" in told
    assert second.points[:2].equals(first.points)
    assert "0 points run, 1 was done before" in sweep(*counted(into, 1))[1]
    assert second.points["point"].is_unique
    assert len(second.environments) == 1


def test_fresh_runs_everything_again_and_keeps_what_was(sweep, tmp_path):
    into = tmp_path / "counts"
    first, _ = sweep(*counted(into))
    second, _ = sweep(*counted(into), fresh=True)
    assert into.read_text().split() == ["0", "1", "2"] * 2
    assert second.points[:3].equals(first.points)
    assert second.points["point"].is_unique
    assert list(rows.current(second.points)["point"]) == list(second.points["point"][3:])


@pytest.mark.parametrize("change", ["code", "machine", "configuration"])
def test_what_computes_a_point_decides_whether_it_is_done(sweep, tmp_path, monkeypatch, environment, change):
    into, more = tmp_path / "counts", {}
    sweep(*counted(into, 1))
    if change == "code":
        monkeypatch.setattr(sweeps, "code_hash", lambda model, measure: "f" * 16)
    elif change == "machine":
        newcomer = {**environment, "machine": "f" * 16, "environment": "f" * 16}
        monkeypatch.setattr(worker, "call", lambda work, device: newcomer)
    else:
        more = {"ffn_width": 21}
    results, _ = sweep(*counted(into, 1, **more))
    assert into.read_text().split() == ["0", "0"]
    assert results.points["point"].is_unique


def test_a_sweep_goes_on_on_another_machine_where_that_is_asked_for(sweep, tmp_path, monkeypatch, environment):
    into = tmp_path / "counts"
    sweep(*counted(into, 2))
    newcomer = {**environment, "machine": "f" * 16, "environment": "f" * 16}
    monkeypatch.setattr(worker, "call", lambda work, device: newcomer)
    results, told = sweep(*counted(into, 3), any_machine=True)
    assert into.read_text().split() == ["0", "1", "2"]
    assert "1 point run, 2 were done before" in told
    assert list(results.points["environment"]) == [environment["environment"]] * 2 + ["f" * 16]
    results, _ = sweep(*counted(into, 3))
    assert into.read_text().split() == ["0", "1", "2", "0", "1"], "and nowhere else: what this machine has done counts"
    assert results.points["point"].is_unique


def test_a_wider_limit_runs_a_point_again(sweep):
    def how(results):
        return list(results.points["status"])

    assert how(sweep(point(measure="hangs", limit_seconds=0.3))[0]) == ["timeout"]
    assert how(sweep(point(measure="hangs", limit_seconds=0.2))[0]) == ["timeout"]
    assert how(sweep(point(measure="hangs", limit_seconds=0.4))[0]) == ["timeout"] * 2
    assert how(sweep(point(measure="hogs", limit_bytes=2**29))[0])[2:] == ["oom"]
    assert how(sweep(point(measure="hogs", limit_bytes=2**28))[0])[2:] == ["oom"]
    assert how(sweep(point(measure="hogs", limit_bytes=2**29 + 2**26))[0])[2:] == ["oom"] * 2


def test_a_run_that_is_refused_has_not_measured_the_machine(sweep, tmp_path, monkeypatch, environment):
    """Measuring takes every core for seconds, and another run may be timing its points just then."""
    results, _ = sweep(*counted(tmp_path / "counts", 1))
    folder = tmp_path / "tried" / results.device
    asked = lambda work, device: pytest.fail("measured") if work is machine.environment else environment  # noqa: E731
    monkeypatch.setattr(worker, "call", asked)
    with Writer(folder), pytest.raises(UserError, match="another run, process"):
        sweep(*counted(tmp_path / "counts", 2))
    for name in ("planned.csv", "samples.csv"):
        (folder / name).write_text("neither")
        with pytest.raises(UserError, match=name):
            sweep(*counted(tmp_path / "counts", 2))
    assert (tmp_path / "counts").read_text().split() == ["0"]


def test_a_machine_is_measured_before_the_first_point_that_is_run_and_where_all_are_done_never(
    sweep, tmp_path, monkeypatch, environment
):
    """It takes seconds, and what is on disk has its environment."""
    into, measured = tmp_path / "counts", []

    def asked(work, device):
        if work is machine.environment:
            measured.append(into.exists())
        return environment

    monkeypatch.setattr(worker, "call", asked)
    results, _ = sweep(*counted(into, 2))
    assert measured == [False], "once, and before the first point leaves its line"
    assert "0 points run, 2 were done before" in sweep(*counted(into, 2))[1]
    assert len(measured) == 1
    results, _ = sweep(*counted(into, 3))
    assert measured == [False, True]
    assert list(results.points["environment"]) == [environment["environment"]] * 3
    assert list(results.environments["environment"]) == [environment["environment"]]


# What is too large ---------------------------------------------------------------------------------------------------


def grown(*sizes, **changed):
    sizes = [dict(zip(("batch_size", "sequence_length"), size, strict=True)) for size in sizes]
    changed = {"measure": "hogs", "limit_bytes": 2**29, **changed}
    return [point(**size, **changed) for size in sizes]


def test_what_is_larger_than_what_ran_out_of_memory_is_not_tried(sweep):
    points = grown((2, 64), (2, 128), (4, 64), (1, 256), (3, 65))
    results, told = sweep(*points)
    assert list(results.points["status"]) == ["oom", "skipped", "skipped", "oom", "skipped"]
    assert "batch size 2 with 64 tokens did; --no-skip tries it" in results.points["reason"][1]
    assert "2 oom, 3 skipped" in told
    _, told = sweep(*points)
    assert "0 points run, 5 were done before" in told
    tried, _ = sweep(*points, skip=False)
    assert list(tried.points["status"][5:]) == ["oom"] * 3


def test_another_series_is_tried_and_so_is_a_wider_limit(sweep):
    results, _ = sweep(*grown((2, 64)), *grown((2, 128), width=48), *grown((2, 128), limit_bytes=2**29 + 2**26))
    assert list(results.points["status"]) == ["oom"] * 3
    results, _ = sweep(*grown((2, 64)), *grown((2, 256)))
    assert list(results.points["status"][3:]) == ["skipped"]


# Interruptions -----------------------------------------------------------------------------------------------------

SCRIPT = """
import json, pathlib, sys
from harness import measures, run, worker
from harness import sweep as sweeps
from tests.sweeping import Experiment, Fake, code_hash, counted
worker.call = lambda *_: json.loads(sys.argv[3])
sweeps.code_hash = code_hash
measures.load, measures.names = Fake, lambda: ["counts"]
run.run(Experiment(), counted(sys.argv[2], 6), pathlib.Path(sys.argv[1]), "cpu")
"""


@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupted_sweep_goes_on_where_it_was(sweep, environment, tmp_path, name):
    into, folder = tmp_path / "counts", tmp_path / "tried" / machine.slug(environment, "cpu")
    asked = [sys.executable, "-c", SCRIPT, str(tmp_path), str(into), json.dumps(environment)]
    process = subprocess.Popen(asked, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    until(lambda: into.exists() and len(into.read_text().split()) == 3)
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(getattr(signal, name))
    error = process.communicate(timeout=60)[1].decode()
    assert process.returncode == (-signal.SIGKILL if name == "SIGKILL" else -signal.SIGINT)
    assert ("KeyboardInterrupt" in error) == (name != "SIGKILL")
    assert len(started) >= 2  # the server and the point's process, which end with the sweep
    until(lambda: gone(started))
    assert (folder / LOCK).exists() == (name == "SIGKILL")
    before = len(record.load(folder).points)
    results, told = sweep(*counted(into, 6))
    assert before in (2, 3)
    assert f"{6 - before} points run, {before} were done before" in told
    assert list(results.points["seed"]) == list(range(6))
    assert list(results.samples["value"]) == [1.0 + i for i in range(6)]
    assert into.read_text().split() == [str(i) for i in (*range(3), *range(before, 6))]


def test_a_full_disk_stops_the_sweep_and_loses_nothing(sweep, tmp_path, monkeypatch):
    into, write = tmp_path / "counts", os.write

    def full(file, data):
        if b"token_ms,ms,0,,,2.0" in data:  # the sample of the second point
            write(file, data[:9])
            raise OSError(28, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(UserError, match="cannot be written: No space left on device"):
        sweep(*counted(into))
    monkeypatch.setattr(os, "write", write)
    results, told = sweep(*counted(into))
    assert "2 points run, 1 was done before" in told
    assert list(results.points["seed"]) == [0, 1, 2]
    assert into.read_text().split() == ["0", "1", "1", "2"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, and how to make it larger; needs a system that lets tests mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options):
        return subprocess.run(["mount", *options, folder], capture_output=True, check=False).returncode == 0

    if sys.platform != "linux" or not mount("-t", "tmpfs", "-o", "size=28k", "tmpfs"):
        pytest.skip("this system lets tests mount no file system")
    yield folder, lambda: mount("-o", "remount,size=4m")
    subprocess.run(["umount", folder], check=True)


POINTS = 30  # of a sweep that is larger than the small disk


def test_a_disk_that_is_really_full_stops_the_sweep_and_loses_nothing(sweep, tmp_path, small_disk):
    (disk, enlarge), into = small_disk, tmp_path / "counts"
    points = counted(into, POINTS)
    with pytest.raises(UserError, match=r"cannot be written: No space left on device.*make room"):
        sweep(*points, out=disk)
    [folder] = disk.glob("tried/*")
    kept = len(record.load(folder).points)
    assert 0 < kept < POINTS
    assert enlarge()
    results, told = sweep(*points, out=disk)
    assert f"{POINTS - kept} points run, {kept} were done before" in told
    assert list(results.points["seed"]) == list(range(POINTS))
    assert list(results.samples["value"]) == [1.0 + i for i in range(POINTS)]
