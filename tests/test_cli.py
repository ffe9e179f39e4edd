"""The command line as people type it: what is printed, exit codes, and no traceback for a mistake."""

import pathlib
import subprocess
import sys
import types

import pytest

from harness import corpus, machine, measures, places, record, show, terminal
from harness import run as runner
from harness.errors import UserError
from tests import folders
from tests.commands import SMALL, called, mistake
from tests.tree import ROOT


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


# Mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("run",), ("run", "--dry-run"), ("validate",)], ids=" ".join)
def test_a_bad_file_is_told_without_a_traceback(command, tmp_path):
    """By a real process: what it prints and its exit code are all that a shell sees of it."""
    path = tmp_path / "bad.yaml"
    path.write_text(SMALL.replace("heads: 3", "heads: 5"), encoding="utf-8")
    told = mistake(*called(*command, str(path)))
    assert told.startswith(f"{path}:3: shape.heads: 5 heads do not divide a width of 48")


def test_a_python_without_the_libraries_is_told_of_the_one_that_has_them():
    ended = subprocess.run([sys.executable, "-S", "-m", "harness"], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "has no typer, which this needs; `make venv` makes" in ended.stderr
    assert ended.stderr.endswith("call .venv/bin/python -m harness\n")
    assert "Traceback" not in ended.stderr


def test_a_missing_file_names_the_nearest(refused, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert refused("run", "experiments/smok.yaml").strip().endswith("did you mean experiments/smoke.yaml?")


def test_bad_flags_are_told(small, refused):
    assert "--set repeat=3: repeat: unknown key 'repeat'" in refused("run", str(small), "--set", "repeat=3")
    assert "unknown model 'retnt'" in refused("run", str(small), "--only", "model=retnt", "--dry-run")
    assert "unknown device 'cdua'" in refused("run", str(small), "--device", "cdua")
    assert "unknown kind 'model'; allowed are models" in refused("list", "model")
    assert "No such option" in refused("run", str(small), "--frehs")


def test_a_command_that_is_not_there_is_told_with_those_that_are(refused):
    allowed = "allowed are run, report, doctor, predict, list, show, validate, gate"
    assert refused("nonsense") == f"unknown command 'nonsense'; {allowed}\n"
    assert refused("reprot", "--out", "x") == f"unknown command 'reprot'; {allowed}; did you mean 'report'?\n"
    told = refused("experiments/smoke.yaml", "--dry-run")
    assert told.endswith(f"{allowed}; to run an experiment write run and its file\n")
    assert "No such option" in refused("--frehs")


def test_validate_takes_overrides_as_run_does(small, typed, refused):
    told = "--set repeat=3: repeat: unknown key 'repeat'"
    assert told in refused("validate", small, "--set", "repeat=3")
    code, printed, _ = typed("validate", small, "--set", "models=[aft]")
    assert (code, printed.startswith(f"{small}: ok, 2 planned points; ")) == (0, True)


def test_a_folder_s_name_is_not_empty(small, refused):
    for words in (("run", str(small), "--out", ""), ("report", "--results", " "), ("report", "--out", "")):
        assert "the name of a folder is empty" in refused(*words)


def test_a_report_of_no_results_draws_nothing(tmp_path, refused, monkeypatch):
    monkeypatch.chdir(ROOT)
    told = refused("report", "--results", "resluts", "--out", str(tmp_path / "pages"))
    assert told == "resluts: there is no such folder; did you mean results?\n"
    assert not (tmp_path / "pages").exists()


def test_output_that_cannot_be_written_is_told_before_anything_runs(small, typed, monkeypatch, tmp_path):
    monkeypatch.setattr(runner, "run", lambda *_, **__: pytest.fail("it ran"))
    occupied = tmp_path / "file"
    occupied.write_text("kept", encoding="utf-8")
    for out in (occupied, occupied / "below", pathlib.Path("/proc/none")):
        code, printed, told = typed("run", small, "--out", out)
        assert (code, printed) == (2, "")
        assert told.startswith(f"--out {out}: cannot be written: ")
    assert occupied.read_text(encoding="utf-8") == "kept"


def test_trying_the_output_leaves_nothing_behind(tmp_path):
    places.try_to_write(tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []


# What the commands do --------------------------------------------------------------------------------------------


def test_run_hands_over_the_points(small, typed, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(runner, "run", lambda *given, **named: seen.append((given, named)) or runner.Ran(tmp_path, 0))
    flags = ("--out", tmp_path / "r", "--device", "cpu", "--fresh", "--set", "repeats=9", "--only", "model=aft")
    assert typed("run", small, *flags)[0] == 0
    [((asked, points, out, device), named)] = seen
    assert {point.model for point in named.pop("whole")} == {"aft", "retnet"}, "the plan of all is kept"
    assert (asked.name, asked.repeats, out, device, named) == (
        "small",
        9,
        tmp_path / "r",
        "cpu",
        {"fresh": True, "skip": True, "text": None, "any_machine": False, "seeds": [0]},
    )
    assert {(p.model, p.repeats) for p in points} == {("aft", 9)}
    assert [point.measure for point in points] == ["forms", "noop"]


def test_the_corpus_is_read_before_the_run_and_its_hash_is_in_the_points(typed, monkeypatch, tmp_path):
    text, seen = tmp_path / "text.yaml", []
    training = "training: {tokens: 1k, sequence_length: 32, batch_size: 4, learning_rate: 1e-3}\ncorpus: mine\n"
    text.write_text(SMALL.replace("[noop]", "[language]") + training, encoding="utf-8")
    ran = runner.Ran(tmp_path, 0)
    monkeypatch.setattr(runner, "run", lambda asked, points, *_, **__: seen.extend(points) or ran)
    monkeypatch.setattr(corpus, "refused", lambda name: [])
    monkeypatch.setattr(corpus, "load", lambda name: types.SimpleNamespace(sha256=f"hash of {name}", train=b"t" * 99))
    code, _, told = typed("run", text, "--out", tmp_path / "r")
    assert code == 0
    assert told.startswith("warning: 1,000 training tokens are 10.1 passes over 99 bytes")
    reading = {point.measure: point.corpus_sha256 for point in seen}
    assert reading == {"forms": None, "language": "hash of mine"}


def test_a_corpus_that_is_not_there_is_told_before_anything_runs(small, tmp_path, refused):
    more = ("--set", "corpus=./nowhere.txt", "--set", "measures=[language]", "--out", str(tmp_path / "r"))
    train = "training={tokens: 1k, sequence_length: 32, batch_size: 4, learning_rate: 1e-3}"
    for how in ((), ("--dry-run",)):
        told = refused("run", str(small), *more, "--set", train, *how)
        assert told.startswith("--set corpus=./nowhere.txt: corpus: unknown corpus './nowhere.txt'; allowed are")
    assert not (tmp_path / "r").exists()


def test_ctrl_c_says_what_is_kept(small, typed, monkeypatch, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run", interrupted)
    for rows in ((), (1,)):
        code, _, told = typed("run", small, "--out", tmp_path / "r")
        assert (code, told.strip()) == (130, "stopped: nothing had been measured yet")
        folders.commit(tmp_path / "r" / "small" / "cpu-made-up", *rows)
    code, _, told = typed("run", small, "--out", tmp_path / "r")
    kept = f"stopped: every finished point is kept in {tmp_path / 'r' / 'small'}; "
    assert (code, told.strip()) == (130, f"{kept}the same command again goes on from there")


def test_dry_run_prints_points_sizes_and_guesses_and_writes_nothing(typed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "run", lambda *_, **__: pytest.fail("it ran"))
    code, printed, _ = typed("run", ROOT / "experiments/smoke.yaml", "--dry-run", "--device", "cpu")
    assert code == 0
    for told in ("Does every model", "ffn width", "of the budget", "language", "8k tokens at 0.003", "roughly", "MiB"):
        assert told in printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", [40, 150])
def test_a_narrow_terminal_breaks_no_words(typed, monkeypatch, width):
    monkeypatch.setattr(terminal, "WIDE", width)
    _, printed, _ = typed("run", ROOT / "experiments/smoke.yaml", "--dry-run", "--device", "cpu")
    assert {"linear_attention", "transformer"} <= set(printed.replace(",", " ").split())
    assert max(map(len, printed.splitlines())) <= width
    assert ("- measure forms, model retnet" in printed) == (width == 40)


@pytest.mark.parametrize(("columns", "width"), [("40", 40), ("95", 95), ("220", 220), ("0", 150), ("many", 150)])
def test_what_is_no_terminal_is_as_wide_as_columns_says(typed, monkeypatch, committed, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    _, printed, _ = typed("list", "machines")
    assert max(map(len, printed.splitlines())) == width
    assert max(map(len, typed("show", committed / "smoke")[1].splitlines())) <= min(width, show.WIDE)


def test_validate_tells_of_each_file(small, typed, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text(SMALL.replace("aft", "atf"), encoding="utf-8")
    code, printed, told = typed("validate", small, bad)
    assert code == 2
    assert printed.startswith(f"{small}: ok, 4 planned points; ")
    assert told.startswith(f"{bad}:2: models[0]: unknown model 'atf'")
    assert typed("validate", small)[0] == 0
    code, _, told = typed("validate", small, "--results", small.with_name("nowhere"))
    assert (code, "nowhere: there " in told) == (2, True)


def test_report_draws_what_the_results_hold(typed, monkeypatch, tmp_path):
    import reports

    monkeypatch.setattr(
        record, "load_all", lambda folder, _: [types.SimpleNamespace(notes=(), name=f"set of {folder}")]
    )
    monkeypatch.setattr(reports, "build", lambda sets, out, *_: [out / f"{sets[0].name}.html"])
    (tmp_path / "experiment-old.html").write_text("of results that are gone")
    code, printed, told = typed("report", "--results", "r", "--out", tmp_path)
    assert (code, printed) == (0, f"{tmp_path / 'set of r.html'}\n")
    assert told == "of no experiment in r, left as they were: experiment-old.html\n"


def test_list_tells_of_everything_there_is(typed):
    code, printed, _ = typed("list")
    assert code == 0
    shown = "retnet", "gamma: torchscale (", "single", "token_ms", "experiments/smoke.yaml", "Does every model", "h200"
    for told in shown:
        assert told in printed
    assert all(name in printed for name in measures.names())
    code, printed, _ = typed("list", "experiments")
    assert "gamma: torchscale" not in printed
    assert "experiments/smoke.yaml" in printed


def test_a_mistake_deep_inside_is_told_like_any_other(small, typed, monkeypatch):
    def damaged(asked):
        raise UserError("results/x/points.csv:3: damaged")

    monkeypatch.setattr(machine, "resolve", damaged)
    code, printed, told = typed("run", small, "--dry-run")
    assert (code, printed, told) == (2, "", "results/x/points.csv:3: damaged\n")
