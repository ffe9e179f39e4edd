"""A table whose last line lacks its newline: kept where its last cell tells that it is whole, else taken out as cut."""

import os

import pytest

import models
from harness import csvfile, line_ends, options, record
from tests.folders import commit, contents


@pytest.fixture
def flagged(tmp_path):
    """Three points whose last column is a flag of the model."""
    folder = tmp_path / "results" / "tried" / "cpu-made-up"
    commit(folder, 1, 2, 3, options={"gate": True})
    return folder


def cut(folder, name, characters):
    path = folder / f"{name}.csv"
    os.truncate(path, path.stat().st_size - characters)


def test_a_row_that_lacks_its_newline_alone_is_kept_and_gets_it(flagged):
    before = contents(flagged)
    cut(flagged, "points", 1)
    kept = record.load(flagged)
    assert (len(kept.points), kept.notes) == (3, ())
    assert contents(flagged) != before, "reading changes nothing"
    assert commit(flagged) == ()
    assert contents(flagged) == before
    cut(flagged, "points", 1)
    commit(flagged, 4, options={"gate": False})
    assert list(record.load(flagged).points["option.gate"]) == ["true", "true", "true", "false"]


def test_blank_lines_before_it_do_no_harm(flagged):
    before = contents(flagged)
    *lines, last = (flagged / "points.csv").read_text().splitlines(True)
    (flagged / "points.csv").write_text("".join(lines) + "\n" + last.removesuffix("\n"))
    assert commit(flagged) == ()
    assert contents(flagged) == before


@pytest.mark.parametrize("characters", [2, 3, 5, 6, 9, 60])
def test_a_row_that_lacks_more_is_taken_out(flagged, characters):
    cut(flagged, "points", characters)
    assert len(record.load(flagged).points) == 2
    assert any("points.csv:4: the last line was written by half" in note for note in commit(flagged))
    assert len(record.load(flagged).points) == 2


@pytest.mark.parametrize("name", ["samples", "curves"])
def test_a_number_may_lack_digits_and_is_taken_out(flagged, name):
    cut(flagged, name, 1)
    assert len(record.load(flagged).points) == 2
    assert any(f"{name}.csv:7: the last line was written by half" in note for note in commit(flagged))


HEADER = ["model", "status", "option.window"]


@pytest.mark.parametrize(
    ("name", "header", "line", "whole"),
    [
        ("environments", ["cpu", "dirty"], "x,false", True),
        ("environments", ["cpu", "dirty"], "x,true\r", True),
        ("environments", ["cpu", "dirty"], "x,fals", False),
        ("environments", ["cpu", "dirty"], "x,", False),
        ("environments", ["cpu", "dirty"], '"x,false', False),
        ("environments", ["cpu", "dirty"], "x", False),
        ("points", HEADER, "retnet,ok,", True),  # it has no such option, so nothing can follow
        ("points", HEADER, "aft,ok,", False),
        ("points", HEADER, "aft,ok,3", False),
        ("points", HEADER, "gone,ok,", False),  # nobody knows what it had
        ("points", HEADER, "retnet,,", False),
        ("points", HEADER, "retnet,fine,", False),
        ("points", ["model", "status", "option.recompute"], "retnet,ok,", False),  # of every model
        ("points", ["model", "status", "others_share"], "retnet,ok,0.25", False),
        ("points", ["model", "status", "others_share"], "retnet,ok,", False),
        ("samples", ["metric", "value"], "token_ms,1.5", False),
    ],
)
def test_what_a_last_cell_tells(name, header, line, whole):
    assert line_ends.is_whole(name, header, line.removesuffix("\r")) is whole


def test_every_option_is_found_where_models_state_it():
    known = {name: set(options.of(name)) for name in models.names()}
    told = {}
    for model in known:
        for option in set().union(*known.values()):
            header = ["model", "status", f"option.{option}"]
            line = csvfile.line(header, {"model": model, "status": "ok"})
            told[model, option] = line_ends.is_whole("points", header, line)
    assert not [(model, option) for (model, option), whole in told.items() if whole and option in known[model]]
    assert any(told.values())
