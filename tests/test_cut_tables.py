"""Files of a results folder that were cut off amid whole points: refused, never moved aside; and reads during a run."""

import os
import re
import shutil

import pytest

from harness import csvfile, record
from harness.errors import UserError
from harness.writer import Writer
from tests.folders import commit, contents

KILLED = "a run that is killed leaves the last point by half and no other; nothing was changed; restore the file"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(csvfile, "_validated", lambda name, frame, path: frame)  # slow, and no part of these
    monkeypatch.setattr(os, "fsync", lambda file: None)


def refusal(folder):
    """What reading and writing are refused with; nothing is changed."""
    before, told = contents(folder), set()
    for use in (record.load, Writer):
        with pytest.raises(UserError) as refused:
            use(folder)
        told.add(str(refused.value))
    assert contents(folder) == before
    (message,) = told
    return message


def halved(path):
    """Cuts the second half of its rows off."""
    header = len(path.read_bytes().splitlines(keepends=True)[0])
    os.truncate(path, (header + path.stat().st_size) // 2)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("samples", r"samples.csv: it ends after 2 of the 6 rows that points.csv counts: rows of 2 of 3 points are m"),
        ("curves", r"curves.csv: it ends after 3 of the 6 rows that points.csv counts: rows of 2 of 3 points are m"),
        ("points", r"points.csv: points whose rows are missing here, while samples.csv, curves.csv hold theirs: 2;"),
    ],
)
def test_a_file_cut_in_the_middle_is_refused(folder, name, told):
    halved(folder / f"{name}.csv")
    message = refusal(folder)
    assert re.search(told, message), message
    assert message.startswith(str(folder))
    assert KILLED in message
    assert "`git restore`" in message
    assert "move its folder away" in message


def test_environments_cut_in_the_middle_are_refused(folder):
    commit(folder, 4, 5, environment="f" * 16)
    before = (folder / "environments.csv").read_bytes()
    for cut in (1, 40, len(before.splitlines(keepends=True)[-1])):
        (folder / "environments.csv").write_bytes(before[:-cut])
        told = "environments.csv: it ends after 1 of the 2 rows that points.csv names"
        told += ": those of 2 of 5 points are missing, first of line 5"
        assert re.search(f"{told}; {KILLED}", refusal(folder))


@pytest.mark.parametrize("name", ["points", "samples", "curves", "environments"])
def test_wherever_a_file_is_cut_no_more_than_the_last_point_is_set_aside(folder, tmp_path, name, quick):
    commit(folder, 4, environment="f" * 16)
    commit(folder, 5, environment="a" * 16)
    size, accepted = (folder / f"{name}.csv").stat().st_size, 0
    for left in range(0, size, 11):
        copy = tmp_path / "copies" / str(left)
        shutil.copytree(folder, copy)
        os.truncate(copy / f"{name}.csv", left)
        try:
            kept = record.load(copy)
        except UserError:
            refusal(copy)
            continue
        accepted += 1
        assert list(kept.points["point"]) == [f"{number:016x}" for number in (1, 2, 3, 4)], left
        assert commit(copy) == kept.notes
    assert 0 < accepted < size / 11 / 2


def test_of_points_without_rows_behind_the_cut_nothing_is_taken_out(folder):
    """What lost rows is not the last point, so no kill explains it."""
    commit(folder, 4, samples=0, steps=0)
    os.truncate(folder / "samples.csv", (folder / "samples.csv").stat().st_size - 3)
    assert "rows of 1 of 4 points are missing" in refusal(folder)


def test_two_files_that_were_cut_at_different_points_are_refused(folder):
    """A row of a fourth point in one file, and the third point's rows gone from another."""
    text = (folder / "samples.csv").read_text()
    commit(folder, 4)
    (folder / "points.csv").write_text("".join((folder / "points.csv").read_text().splitlines(True)[:-1]))
    (folder / "samples.csv").write_text("".join(text.splitlines(True)[:-1]))
    message = refusal(folder)
    assert "points whose rows are missing here, while curves.csv hold theirs: 1; and of the last one that is" in message


def test_a_run_that_writes_meanwhile_is_no_damage(folder, monkeypatch):
    """Points that are finished while the tables are checked, which takes long beside reading them."""
    real, more = csvfile._validated, iter([4, 5])

    def validated(name, frame, path):
        monkeypatch.setattr(csvfile, "_validated", real)
        commit(folder, *more)
        return real(name, frame, path)

    monkeypatch.setattr(csvfile, "_validated", validated)
    assert len(record.load(folder).points) == 3
    assert len(record.load(folder).points) == 5
