"""Processes of points: what they send, how they end, and that nothing of them stays."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from harness import child, worker
from harness.measures import DISAGREE, DIVERGED
from tests.fakes import Fake, point
from tests.sweeping import until
from tests.tree import ROOT


def run(how, **changed):
    return worker.run(point(measure=how, **changed), Fake(how))


def test_rows_come_back_in_order():
    outcome = run("good")
    assert (outcome.status, outcome.reason) == ("ok", "")
    assert [sample.value for sample in outcome.samples] == [1 / 3, 2 / 3]
    assert outcome.samples[1].bucket == 64
    assert [row.loss for row in outcome.curve] == [5.5]


@pytest.mark.parametrize(
    ("how", "status", "reason"),
    [
        ("raises", "error", r"RuntimeError: two lines \(tests/fakes.py:\d+\)"),
        ("segfaults", "error", r"killed by signal SIGSEGV at tests/fakes.py:\d+"),
        ("exits", "error", "its process ended with exit code 7 before it was done"),
        ("asks", "oom", r"RuntimeError: .*can't allocate memory.* \(tests/fakes.py:\d+\)"),
        ("declines", "not_applicable", "it has no state"),
        ("diverges", "error", r"BadValue: the loss at step 3 is nan \(harness/child.py:\d+\)"),
        ("loses", "error", r"BadValue: tuning_bits_per_byte is inf \(harness/child.py:\d+\)"),
        ("slips", "error", r"BadValue: token_ms is nan \(harness/child.py:\d+\)"),
        ("pretends", "error", r"BadValue: the loss at step 3 is nan \(tests/fakes.py:\d+\)"),
        ("invents", "error", r"BadValue: the measure does not declare the metric 'invented' \(harness/child.py:\d+\)"),
    ],
)
def test_a_failure_is_an_outcome(how, status, reason):
    outcome = run(how)
    assert outcome.status == status
    assert re.fullmatch(reason, outcome.reason), outcome.reason
    assert len(outcome.rows) == (how in ("raises", "segfaults", "exits"))  # what was sent before is kept


@pytest.mark.parametrize(
    ("how", "kind", "what"),
    [
        ("diverges", DIVERGED, "the loss at step 3 is nan"),
        ("loses", DIVERGED, "tuning_bits_per_byte is inf"),
        ("forms", DISAGREE, "state differs by 0.5"),
        *((how, "", "") for how in ("slips", "pretends", "invents", "raises", "good")),  # a time is no training
    ],
)
def test_the_process_tells_what_kind_of_failure_it_was(how, kind, what):
    """And leaves the traceback out where a rate is too high, and of a verdict of its own, whose message says it all."""
    outcome = run(how, label="broken")
    assert (outcome.kind, outcome.what) == (kind, what)
    assert ("Traceback" in outcome.output) == (not kind and how != "good")


def test_a_hang_ends_at_its_limit():
    outcome = run("hangs", limit_seconds=0.6)
    assert (outcome.status, outcome.reason) == ("timeout", "took longer than 0.6 s")
    assert len(outcome.samples) == 1
    assert 0.6 <= outcome.seconds < 3


def test_memory_ends_at_its_limit():
    outcome = run("hogs", limit_bytes=2**29, limit_seconds=60)
    assert outcome.status == "oom"
    assert outcome.reason.endswith("GiB resident, more than the limit of 0.50 GiB")


def test_a_limit_that_is_kept_does_not_matter():
    assert run("good", limit_bytes=2**32, limit_seconds=60).status == "ok"


def test_what_a_point_prints_is_kept_apart(capfd):
    outcome = run("prints")
    assert outcome.output.splitlines() == ["said on stdout", "said on stderr", "said by a native library"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("status", "reason", "passes"),
    [
        ("error", "killed by signal SIGKILL", True),
        ("error", "AcceleratorError: CUDA error: CUDA-capable device(s) is/are busy or unavailable", True),
        ("error", "OSError: [Errno 24] Too many open files", True),
        ("error", "killed by signal SIGSEGV at models/aft.py:3", False),
        ("error", "BadValue: token_ms is nan", False),
        ("oom", "killed by signal SIGKILL", False),
        ("timeout", "took longer than 2 s", False),
    ],
)
def test_what_is_told_of_the_system_and_what_of_the_point(status, reason, passes):
    assert worker.passes(status, reason) is passes


def killed(monkeypatch, tmp_path, times):
    """The outcome of a point whose process is killed from outside so many times, and each process that there was."""
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.01)
    into, stop = tmp_path / "pids", threading.Event()
    into.touch()

    def kill():
        seen = 0
        while seen < times and not stop.wait(0.01):
            pids = into.read_text().split()
            if len(pids) > seen:
                os.kill(int(pids[seen]), signal.SIGKILL)
                seen += 1

    killer = threading.Thread(target=kill)
    killer.start()
    outcome = run("briefly", corpus=str(into))
    stop.set()
    killer.join()
    return outcome, into.read_text().split()


def test_a_failure_of_the_system_is_tried_again(monkeypatch, tmp_path):
    outcome, begun = killed(monkeypatch, tmp_path, 2)
    assert (outcome.status, outcome.attempts, len(begun)) == ("ok", 3, 3)
    assert [sample.value for sample in outcome.samples] == [1.0]  # of the last attempt alone


def test_a_failure_of_the_system_that_stays_is_one(monkeypatch, tmp_path):
    outcome, begun = killed(monkeypatch, tmp_path, 9)
    assert (outcome.status, outcome.attempts, len(begun)) == ("error", 3, 3)
    assert outcome.reason == "killed by signal SIGKILL"


@pytest.mark.parametrize("how", ["raises", "segfaults", "exits", "asks", "declines", "diverges"])
def test_a_failure_of_the_point_is_final(how):
    assert run(how).attempts == 1


def test_a_server_of_processes_that_is_gone_is_started_again(monkeypatch):
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.01)
    context, real, told = worker._context(), worker._context, iter([BrokenPipeError("gone"), EOFError()])

    class Broken:
        Pipe = staticmethod(context.Pipe)

        def Process(self, **asked):  # noqa: N802
            process = context.Process(**asked)
            if (error := next(told, None)) is not None:
                monkeypatch.setattr(process, "start", lambda: (_ for _ in ()).throw(error))
            return process

    monkeypatch.setattr(worker, "_context", lambda: (real(), Broken())[1])
    outcome = run("good")
    assert (outcome.status, outcome.attempts) == ("ok", 3)


def test_an_interrupted_parent_leaves_no_process(tmp_path):
    told = tmp_path / "pid"

    def interrupt():
        _number_in(told)
        os.kill(os.getpid(), signal.SIGINT)

    killer = threading.Thread(target=interrupt)
    killer.start()
    with pytest.raises(KeyboardInterrupt):
        run("pid", corpus=str(told))
    killer.join()
    assert not psutil.pid_exists(int(told.read_text()))


def test_a_killed_parent_leaves_no_process(tmp_path):
    told = tmp_path / "pid"
    script = "import sys; from tests import fakes; from harness import worker; "
    script += "worker.run(fakes.point(corpus=sys.argv[1]), fakes.Fake('pid'))"
    parent = subprocess.Popen([sys.executable, "-c", script, str(told)], cwd=ROOT)
    _number_in(told)
    parent.kill()
    parent.wait()
    until(lambda: not psutil.pid_exists(int(told.read_text())))
    assert parent.returncode == -signal.SIGKILL


def test_a_point_computes_with_the_cores_that_it_may_use():
    told = run("tells").samples[0].value
    assert 1 <= told <= child.cores() or "OMP_NUM_THREADS" in os.environ


def test_cores_are_those_of_the_affinity():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert child.cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert child.cores() <= len(before)


def test_a_container_s_quota_counts(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64))
    monkeypatch.setattr(pathlib.Path, "read_text", lambda self, **_: "250000 100000\n")
    assert child.cores() == 3
    monkeypatch.setattr(pathlib.Path, "read_text", lambda self, **_: "max 100000\n")
    assert child.cores() == 64


def test_memory_starts_where_the_server_s_is():
    """A process begins without the peaks of the points before it."""
    run("hogs", limit_bytes=2**29)
    small = worker.start(_peak, (), None, None).rows[0]
    assert 0 < small < 2**29


def test_the_program_that_runs_the_sweep_is_not_imported_again(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(
        "import sys\nprint('imported')\nfrom harness import worker\nfrom tests.fakes import Fake, point\n"
        "if __name__ == '__main__':\n    print(worker.run(point(measure='lists'), Fake('lists')).output)\n"
    )
    asked = {"env": {**os.environ, "PYTHONPATH": str(ROOT)}, "capture_output": True, "text": True, "check": True}
    told = subprocess.run([sys.executable, str(script)], **asked).stdout
    assert told.count("imported") == 1
    assert "pandas" not in told  # nor what only the parent needs: it would count as the model's memory


def test_a_point_that_does_nothing_costs_little():
    run("good")
    least = min(run("good").seconds for _ in range(5))
    assert least < 0.5


def _peak():
    told = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    yield next(int(line.split()[1]) * 1024 for line in told.splitlines() if line.startswith("VmHWM"))


def _number_in(path: pathlib.Path) -> int:
    until(lambda: path.exists() and path.read_text())
    return int(path.read_text())
