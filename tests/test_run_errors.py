"""Points that end in an error, which is no result: they are rows, they are counted, and the run says so in its exit."""

import dataclasses
import pathlib
import re
import subprocess

import pytest

from harness import cli, ending
from harness import run as runner
from harness.point import Training
from tests.commands import SMALL
from tests.fakes import point
from tests.tree import ROOT

COUNTED = r"\n(\d) of (\d points?) ended in an error: see the lines above\n$"


@pytest.fixture
def seen(monkeypatch):
    """What runs return."""
    kept, real = [], runner.run

    def kept_too(*given, **named):
        kept.append(real(*given, **named))
        return kept[-1]

    monkeypatch.setattr(runner, "run", kept_too)
    return kept


@pytest.mark.parametrize(
    ("measures", "wanted"),
    [
        (["raises", "good", "exits", "invents"], ("3", "4 points")),
        (["raises"], ("1", "1 point")),
        (["good", "declines", "hogs", "hangs"], None),
    ],
)
def test_a_run_counts_its_points_that_ended_in_an_error_and_no_results(sweep, seen, measures, wanted):
    limits = {"hogs": {"limit_bytes": 2**29}, "hangs": {"limit_seconds": 0.3}}
    points = [point(measure=name, **limits.get(name, {})) for name in measures]
    results, told = sweep(*points)
    found = re.search(COUNTED, told)
    assert (found and found.groups()) == wanted
    assert seen[0].errors == (int(wanted[0]) if wanted else 0) == (results.points["status"] == "error").sum()
    assert len(results.points) == len(measures), "every one is a row"
    _, told = sweep(*points)
    assert not re.search(COUNTED, told), "of this run: those were done before"
    kept = re.search(
        r"\n(\d errors? (?:is|are)) kept from before; `--fresh --only \.\.\.` runs (it|them) again\n$", told
    )
    assert (kept and kept.groups()) == {"3": ("3 errors are", "them"), "1": ("1 error is", "it")}.get(
        (wanted or "0")[0]
    )
    assert seen[1].errors == seen[0].errors, "the same command again is not green for being run again"


def test_forms_that_disagree_count_and_so_does_what_is_not_run_for_them(sweep, seen):
    sweep(point(measure="forms", label="broken"), point(label="broken"))
    assert seen[0].errors == 2


@pytest.mark.parametrize(
    ("asked", "line", "whole"),
    [
        ({"measure": "forms", "label": "broken"}, "FormsDisagree: state differs by 0.5 (", True),
        ({"measure": "miscounts"}, "Miscounted: it states 2 parameters and has 3 (", True),
        ({"measure": "raises"}, "RuntimeError: two lines (", False),
    ],
)
def test_verdicts_of_the_harness_are_a_line_and_what_a_plug_in_raises_has_its_traceback(sweep, asked, line, whole):
    _, told = sweep(point(**asked))
    assert line in told
    assert ("Traceback" not in told) == whole


def test_a_rate_that_diverges_is_a_result(sweep, seen):
    settings = Training(16, 4, 1e-3, tokens=500)
    results, told = sweep(point(measure="diverges", training=dataclasses.replace(settings, learning_rate=10.0)))
    assert list(results.points["status"]) == ["error"]
    assert (seen[0].errors, "ended in an error" in told) == (0, False)
    _, told = sweep(point(measure="diverges", training=dataclasses.replace(settings, learning_rate=10.0)))
    assert (seen[1].errors, "kept from before" in told) == (0, False), "nor is its row one"


def test_errors_of_a_run_and_those_kept_are_told_apart(sweep, seen):
    """A value that no training gave, and one that a training may not give, are no rate that diverged."""
    settings = Training(16, 4, 1e-3, tokens=500)
    broken = [point(measure="slips"), point(measure="invents", training=settings)]
    sweep(*broken)
    _, told = sweep(*broken, point(measure="raises"), point())
    assert told.endswith(
        "\n1 of 2 points ended in an error: see the lines above\n"
        "2 errors are kept from before; `--fresh --only ...` runs them again\n"
    )
    assert [ran.errors for ran in seen] == [2, 3]


@pytest.mark.parametrize(("errors", "code"), [(0, 0), (2, 1)])
def test_run_exits_with_1_where_points_ended_in_an_error(typed, monkeypatch, tmp_path, errors, code):
    file = tmp_path / "small.yaml"
    file.write_text(SMALL, encoding="utf-8")
    monkeypatch.setattr(runner, "run", lambda *_, **__: runner.Ran(tmp_path, errors))
    assert typed("run", file, "--out", tmp_path / "r") == (code, "", "")
    assert "Exits with 1" in " ".join(str(cli.run.__doc__).split())


# What stands after a run -------------------------------------------------------------------------------------------


def made(tmp_path: pathlib.Path, code: int) -> "subprocess.CompletedProcess[str]":
    """What the recipe of `make run` does where its run ends with this code, by a shell and without make."""
    (recipe,) = re.findall(r"^run: venv\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "asked: $3"\ntest "$3" != run || exit {code}\n', encoding="utf-8")
    python.chmod(0o755)
    script = recipe.replace("\\\n", "").replace("\t@", "").replace("$(PY)", str(python)).replace("$(CURDIR)", ".")
    return subprocess.run(["sh", "-ec", script.replace("$$", "$")], cwd=tmp_path, capture_output=True, text=True)


@pytest.mark.parametrize(("code", "drawn"), [(0, True), (1, True), (2, False), (130, False)])
def test_make_run_draws_the_report_after_errors_and_tells_of_them(tmp_path, code, drawn):
    """Not after a mistake or an interruption, where there is nothing new."""
    ran = made(tmp_path, code)
    assert (ran.returncode, ran.stderr) == (code, "")
    assert ("asked: report" in ran.stdout, "Look at" in ran.stdout) == (drawn, drawn)


def test_what_is_stopped_tells_what_is_kept_and_exits_with_130(tmp_path, capsys):
    def stopped():
        raise KeyboardInterrupt

    assert ending.of_run(stopped, tmp_path, fresh=False) == 130
    assert capsys.readouterr().err == "\nstopped: nothing had been measured yet\n"
