"""Runs of the same command again: what is run, under which name it is kept, and what is said of what is kept."""

import pytest

from harness import worker
from harness.errors import UserError
from tests.folders import commit, contents
from tests.sweeping import counted


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
