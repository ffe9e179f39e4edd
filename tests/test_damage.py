"""Results folders that were cut off, edited by hand, or cannot be written: mended or refused, and nothing is lost."""

import csv
import itertools
import os
import re
import shutil
import subprocess
import sys

import pytest

from harness import csvfile, record, writer
from harness.errors import UserError
from harness.tables import VERSION
from harness.writer import Writer
from tests.folders import ENVIRONMENT, FILES, commit, contents, row, sample
from tests.tree import ROOT

# Interrupted writes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["points", "samples", "curves"])
def test_a_file_cut_off_anywhere_in_its_last_point_is_mended(folder, tmp_path, name, monkeypatch):
    """Whole points are left, with all their rows; what was cut is named and kept aside; what was lost can run again."""
    monkeypatch.setattr(csvfile, "_validated", lambda name, frame, path: frame)  # slow, and no part of this
    monkeypatch.setattr(os, "fsync", lambda file: None)
    before = contents(folder)
    lines = before[f"{name}.csv"].splitlines(keepends=True)
    first = lines[: -1 if name == "points" else -2]
    for size in range(sum(map(len, first)), sum(map(len, lines))):
        copy = tmp_path / "copies" / str(size)
        shutil.copytree(folder, copy)
        os.truncate(copy / f"{name}.csv", size)
        kept = record.load(copy)
        assert len(kept.points) == 2
        assert len(kept.samples) == len(kept.curves) == 4
        assert kept.notes, f"nothing is said of a cut at {size}"
        assert all(str(copy) in note for note in kept.notes)
        assert commit(copy, 3) == kept.notes
        after = contents(copy)
        assert {file: text for file, text in after.items() if not file.endswith(".cut")} == before


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_last_point_whose_environment_was_cut_off_can_run_again(folder, cut):
    whole = contents(folder)
    commit(folder, 4, environment="f" * 16)
    before = contents(folder)
    os.truncate(folder / "environments.csv", len(before["environments.csv"]) - cut)
    kept = record.load(folder)
    assert list(kept.points["point"]) == [f"{number:016x}" for number in (1, 2, 3)]
    assert any("environments.csv:3: the last line was written by half" in note for note in kept.notes)
    assert commit(folder) == kept.notes
    after = contents(folder)
    assert {file: text for file, text in after.items() if not file.endswith(".cut")} == whole
    assert before["environments.csv"].startswith(after["environments.csv"] + after["environments.csv.cut"][:-1])
    assert after["points.csv"] + after["points.csv.cut"] == before["points.csv"]
    commit(folder, 4, environment="f" * 16)
    assert {file: text for file, text in contents(folder).items() if not file.endswith(".cut")} == before


def test_rows_of_a_point_that_was_not_finished_are_taken_out_and_kept_aside(folder):
    before = contents(folder)
    with (folder / "samples.csv").open("a") as file:
        file.write(f"{VERSION},000000000000000a,decode,token_ms,ms,0,,,1.5\n{VERSION},000000000000000a,dec")
    assert record.load(folder).notes == (
        f"{folder}/samples.csv: line 8 of a point that was not written whole",
        f"{folder}/samples.csv:9: the last line was written by half",
    )
    assert len(commit(folder)) == 2
    after = contents(folder)
    assert after.pop("samples.csv.cut").decode().splitlines() == [
        f"{VERSION},000000000000000a,decode,token_ms,ms,0,,,1.5",
        f"{VERSION},000000000000000a,dec",
    ]
    assert after == before
    assert commit(folder) == ()


# Damage ----------------------------------------------------------------------------------------------------------


def without(column):
    def edit(text):
        table = list(csv.reader(text.splitlines()))
        at = table[0].index(column)
        return "".join(",".join(f'"{cell}"' for i, cell in enumerate(line) if i != at) + "\n" for line in table)

    return edit


def without_line(number):
    return lambda text: "".join(line for i, line in enumerate(text.splitlines(True), 1) if i != number)


DAMAGE = {
    "a missing column": ("points", without("status"), r"points.csv:1: column 'status' is missing"),
    "a renamed column": (
        "samples",
        lambda text: text.replace("metric", "metrics", 1),
        r"samples.csv:1: column 'metric' is missing, column 'metrics' is unknown \(nearest: 'metric'\)",
    ),
    "a column twice": ("curves", lambda text: text.replace("tokens", "step", 1), r"column 'step' stands there twice"),
    "a foreign version": (
        "points",
        lambda text: re.sub(f"^{VERSION},0", "7,0", without("status")(text).replace('"', ""), flags=re.M),
        rf"points.csv:2: column schema: found version '7' .*; this program reads and writes version {VERSION}",
    ),
    "a short line": (
        "samples",
        lambda text: text.replace(",token_ms", "", 1),
        r"samples.csv:2: 8 cells, but .* names 9",
    ),
    "an open quote": (
        "samples",
        lambda text: text.replace("token_ms", '"token_ms', 1),
        r"samples.csv:2: .*no line of CSV",
    ),
    "an empty line": ("curves", lambda text: text.replace("\n", "\n\n", 2), r"curves.csv:2: 0 cells, but .* names 6"),
    "a word for a number": (
        "samples",
        lambda text: text.replace("0.333", "x.333", 1),
        r"samples.csv:2: column value: found 'x.333\d+', expected a number",
    ),
    "half a number": (
        "points",
        lambda text: text.replace(",24,", ",24.5,", 1),
        r"points.csv:2: column width: found '24.5'",
    ),
    "a foreign status": (
        "points",
        lambda text: text.replace(",ok,", ",okay,"),
        r"points.csv:2: column status: found 'okay', expected one of ok, oom, timeout, error, skipped, not_app",
    ),
    "a negative size": ("points", lambda text: text.replace(",24,", ",-24,", 1), r"found -24, expected at least 1"),
    "a missing value": (
        "samples",
        lambda text: text.replace("decode", "", 1),
        r"samples.csv:2: column measure: found nothing",
    ),
    "a point twice": (
        "points",
        lambda text: text + text.splitlines(True)[-1],
        r"expected a row that stands here only once",
    ),
    "a line removed": (
        "samples",
        without_line(4),
        r"samples.csv:5: found a row of point 0+3, expected one of 0+2 \(points.*:3\)",
    ),
    "a line added": (
        "samples",
        lambda text: text + text.splitlines(True)[-1],
        r"samples.csv:8: one row more of point 0+3",
    ),
    "an environment removed": ("environments", without_line(2), r"environments.csv: it holds no row, but points.csv "),
    "half an environment": ("environments", lambda text: text[:-5], r"environments.csv: it holds no row, but points"),
    "another environment": ("environments", lambda text: text.replace("ee", "ff"), r"environments.csv: .* 0 of the 1 "),
    "bytes that are no text": ("points", None, r"points.csv: byte \d+ is not UTF-8 text"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_and_nothing_is_changed(folder, damage):
    name, edit, message = DAMAGE[damage]
    path = folder / f"{name}.csv"
    path.write_bytes(path.read_bytes() + b"\xff\xfe\n" if edit is None else edit(path.read_text()).encode())
    before = contents(folder)
    for use in (record.load, Writer):
        with pytest.raises(UserError) as told:
            use(folder)
        assert re.search(message, str(told.value)), str(told.value)
        assert str(folder) in str(told.value)
        assert str(told.value).endswith("move its folder away, or `run` with --out")
    assert contents(folder) == before


def test_line_ends_of_another_system_do_no_harm(folder):
    before = record.load(folder)
    for name in FILES:
        path = folder / f"{name}.csv"
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    commit(folder, 4, options={"gate": True})
    after = record.load(folder)
    assert after.points.loc[:2, before.points.columns].equals(before.points)
    assert list(after.points["option.gate"])[3] == "true"


# Places that cannot be written ------------------------------------------------------------------------------------


def test_a_second_run_into_the_same_folder_is_refused(folder):
    with Writer(folder), pytest.raises(UserError, match=f"another run, process {os.getpid()}, writes there"):
        Writer(folder)
    assert commit(folder) == ()


def test_a_killed_run_holds_no_lock(folder):
    script = "import os, pathlib, sys; from harness.writer import Writer; Writer(pathlib.Path(sys.argv[1])); os.abort()"
    ran = subprocess.run([sys.executable, "-c", script, str(folder)], cwd=ROOT)
    assert ran.returncode < 0
    assert (folder / writer.LOCK).exists()
    commit(folder, 4)
    assert len(record.load(folder).points) == 4
    assert not (folder / writer.LOCK).exists()


def test_a_full_disk_loses_nothing(folder, monkeypatch):
    """The disk is full after any number of bytes of a point: all of it is taken back, and it can be written later."""
    before, write = contents(folder), os.write
    with Writer(folder) as held:
        for room in (0, 1, 40, 100, 200, 400):
            left = iter([room])

            def full(file, data, left=left):
                if room := next(left, 0):
                    return write(file, data[:room])
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(os, "write", full)
            with pytest.raises(UserError, match="cannot be written: No space left on device"):
                held.commit(row(4), {}, [sample(4, 0)], [], ENVIRONMENT)
            monkeypatch.setattr(os, "write", write)
        held.commit(row(4), {}, [sample(4, 0)], [], ENVIRONMENT)
    assert len(record.load(folder).points) == 4
    assert all(contents(folder)[name].startswith(text) for name, text in before.items())


def test_an_interrupt_while_writing_takes_the_point_back(folder, monkeypatch):
    before, calls, sync = contents(folder), itertools.count(), os.fsync

    def interrupted(file):
        if next(calls) == 1:
            raise KeyboardInterrupt
        sync(file)

    with Writer(folder) as held:
        monkeypatch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            held.commit(row(4), {}, [sample(4, 0)], [], ENVIRONMENT)
        monkeypatch.undo()
    assert contents(folder) == before


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"file/tried: cannot be written: Not a directory"):
        Writer(tmp_path / "file" / "tried")
    assert (tmp_path / "file").read_text() == "not a folder"
