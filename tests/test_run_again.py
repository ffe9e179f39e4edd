"""Runs of the same command again: what is run, under which name it is kept, and what is said of what is kept."""

import pytest

from harness import cache, worker
from harness.errors import UserError
from harness.point import Training
from harness.worker import Outcome
from tests.fakes import point
from tests.folders import commit, contents
from tests.sweeping import code_hash, counted, statuses


def test_machines_that_take_turns_leave_a_folder_that_can_be_read(sweep, tmp_path, monkeypatch, environment):
    """What counts as done depends on `--any-machine`; the name of a row must not be one that is there already."""
    into = tmp_path / "counts"
    sweep(*counted(into, 1))
    newcomer = {**environment, "machine": "f" * 16, "environment": "f" * 16}
    monkeypatch.setattr(worker, "call", lambda work, device: newcomer)
    sweep(*counted(into, 1), fresh=True, any_machine=True)
    results, _ = sweep(*counted(into, 1), fresh=True)
    assert results.points["point"].is_unique
    assert list(results.points["environment"]) == [environment["environment"], *["f" * 16] * 2]
    assert "0 points run, 1 was done before" in sweep(*counted(into, 1))[1]


def test_a_point_is_not_written_under_a_name_that_is_there(folder):
    before = contents(folder)
    with pytest.raises(UserError, match=r"points\.csv: there is a point 0{15}2 already, .*; give it another name"):
        commit(folder, 2)
    assert contents(folder) == before
    with pytest.raises(UserError, match=r"there is a point 0{15}4 already"):
        commit(folder, 4, 4)
    assert commit(folder, 5) == ()


@pytest.mark.parametrize(
    "reason",
    [
        "OSError: [Errno 24] Too many open files",
        "killed by signal SIGKILL",
        "AcceleratorError: CUDA-capable device(s) is/are busy or unavailable",
        "its process could not be started: EOFError",
    ],
)
def test_a_failure_of_the_system_is_tried_by_the_next_run(sweep, monkeypatch, reason):
    """If it met the forms, every number of that model would be an error for good."""
    points, real = [point(measure="forms"), point(), point(measure="raises")], worker.run
    monkeypatch.setattr(
        worker, "run", lambda asked, how: Outcome("error", reason, 1.0) if how.how == "forms" else real(asked, how)
    )
    before, _ = sweep(*points)
    assert statuses(before) == [("forms", "error"), ("good", "error"), ("raises", "error")]
    assert before.points["reason"][1] == f"its forms could not be compared: {reason}"
    assert "2 points run, 2 were done before" in sweep(*points, point(seed=1))[1], "the forms, and what is new"
    monkeypatch.setattr(worker, "run", real)
    results, told = sweep(*points)
    assert "3 points run, 0 were done before" in told
    assert statuses(results)[-3:] == [("forms", "ok"), ("good", "ok"), ("raises", "error")]
    assert "0 points run, 3 were done before" in sweep(*points)[1], "what the point itself did is told once"


@pytest.fixture
def resumed(monkeypatch, tmp_path):
    """A point whose training goes on where its last process was stopped, and under which limit it is stopped."""
    into, training = str(tmp_path / "cache"), Training(16, 4, 1e-3, tokens=500)
    monkeypatch.setenv("XDG_CACHE_HOME", into)
    return lambda limit: point(measure="resumes", training=training, corpus=into, limit_seconds=limit)


def test_a_wider_limit_goes_on_with_a_training_and_fresh_starts_it_over(sweep, resumed):
    """Else a training passes its limit in instalments, and a run is no sample of its own."""
    sweep(resumed(1.5))
    assert statuses(sweep(resumed(1.5), fresh=True)[0]) == [("resumes", "timeout")] * 2
    results, _ = sweep(resumed(60.0))
    assert list(results.samples["value"]) == [1.0, 1.0, 2.0]
    results, _ = sweep(resumed(60.0), fresh=True)
    assert list(results.samples["value"]) == [1.0, 1.0, 2.0, 1.0]


def test_a_training_that_cannot_be_started_over_is_told(sweep, resumed, tmp_path):
    kept = cache.training(resumed(9.0).configuration, code_hash("", ""))
    kept.mkdir(parents=True)
    with pytest.raises(
        UserError, match=r"cannot be removed, from which --fresh would go on: .*; remove it, or set XDG"
    ):
        sweep(resumed(9.0), fresh=True)
    (tmp_path / "file").touch()
    cache.start_over(tmp_path / "file" / "checkpoints" / "none.safetensors")  # no folder for it to be in


def test_points_that_timed_out_are_told_with_what_runs_them_again(sweep):
    """Now and before: the same command again says that they were done."""
    slow = [point(measure="hangs", limit_seconds=0.3, seed=seed) for seed in (0, 1)]
    again = "with more runs {} again, `--fresh --only ...` under the same limit\n"
    for asked, told in ((slow[:1], "1 point"), (slow, "2 points"), ([*slow, point()], "2 points")):
        words = again.format("it" if told == "1 point" else "them")
        assert sweep(*asked)[1].endswith(f"\n{told} timed out: `--set limits.seconds=...` {words}")
    assert "timed out" not in sweep(point())[1]
