"""The gate's command line: what it refuses, and that Ctrl-C leaves nothing behind."""

import inspect
import io
import pathlib
import signal

import psutil
import pytest
from rich.console import Console

from harness import cli
from harness.errors import UserError
from harness.gate import command
from harness.gate.rules import Rules
from tests.gating import git, repository, started
from tests.sweeping import gone, until
from tests.tree import ROOT


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """A copy in which nothing is planted."""
    return repository(tmp_path_factory.mktemp("gate") / "copy")


def test_what_is_not_asked_for_is_what_the_rules_say():
    told = {name: each.default for name, each in inspect.signature(cli.gate).parameters.items()}
    assert Rules(command.limit(told["limit"]), told["pairs"], told["most_pairs"]) == Rules()


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"base": "nope"}, "--base nope: this repository has no such commit; name a commit, a branch or a tag"),
        ({"only": ["model=retnt"]}, "--only model=retnt: unknown model 'retnt'; allowed are aft"),
        ({"rules": Rules(pairs=3)}, "--pairs 3: this is out of range; allowed is at least 5"),
        (
            {"rules": Rules(pairs=7, most=6)},
            "--most-pairs 6: this is out of range; allowed is at least as many as --p",
        ),
        (
            {"seconds": 10.0},
            "--seconds 10: this is out of range; allowed is 30, within which one point gets 5 pairs, to 8",
        ),
        (
            {"rules": Rules(pairs=13)},
            "--seconds 60: this is out of range; allowed is 62, within which one point gets 13",
        ),
        ({"seconds": float("nan")}, "--seconds nan: this is out of range; allowed is 30"),
        ({"seconds": float("inf")}, "--seconds inf: this is out of range; allowed is 30, within"),
        ({"threads": 0}, "--threads 0: this is out of range; allowed is 1 to"),
        ({"threads": 5000}, "--threads 5000: this is out of range; allowed is 1 to"),
        ({"accepted": pathlib.Path("nowhere.yaml")}, "--accepted nowhere.yaml: there is no such file"),
        ({"accepted": ROOT}, f"--accepted {ROOT}: this is a folder; name a file in it, such as {ROOT}/accepted_slow"),
        ({"accepted": ROOT / "CITATION.cff"}, "allowed is one key, `accepted:`, with a list"),
        ({"file": "tny.yaml"}, "tny.yaml: there is no such file; did you mean"),
    ],
)
def test_bad_usage_is_told(still, changed, wanted):
    """In this process, which has torch loaded; the command line turns each of these into exit code 2.

    All of it comes before the first line, which says what is compared: what follows takes its time.
    """
    told = {"base": "HEAD", "head": None, "only": [], "rules": Rules(), "seconds": 60.0, "device": "cpu"}
    told |= {"threads": 1, "changed": False, "accepted": None} | changed
    told["file"] = still / "experiments" / changed.get("file", "tiny.yaml")
    printed = io.StringIO()
    with pytest.raises(UserError) as error:
        command.gate(command.Asked(**told), Console(file=printed), still)
    assert wanted in str(error.value)
    assert printed.getvalue() == ""
    assert len(git(still, "worktree", "list").splitlines()) == 1


@pytest.mark.parametrize("given", ["50", "0", "-3%", "ten", "", "nan", "20000%"])
def test_what_is_no_limit_is_refused(given):
    with pytest.raises(UserError, match="write the slowdown that passes as 10%"):
        command.limit(given)


@pytest.mark.parametrize(("given", "limit"), [("10%", 0.1), ("0.1", 0.1), (" 7.5 % ", 0.075), ("150%", 1.5), ("1", 1)])
def test_a_limit_is_a_percentage_or_a_share(given, limit):
    assert command.limit(given) == pytest.approx(limit)


def test_a_fault_of_the_gate_is_no_regression(monkeypatch, capsys):
    monkeypatch.setattr(command, "gate", lambda asked, console: {}["cases"])
    with pytest.raises(SystemExit) as ended:
        command.decided(None, None)
    assert ended.value.code == 3
    assert "KeyError: 'cases'" in capsys.readouterr().err


def test_a_folder_without_git_is_bad_usage_and_the_command_line_says_so_without_a_traceback(tmp_path):
    bare = repository(tmp_path / "bare")
    (bare / ".git").rename(tmp_path / "elsewhere")
    for words, wanted in (
        (("--base", "HEAD"), f"{bare}: this is not a git checkout"),
        (("--base", "HEAD", "--limit", "50"), "--limit 50: this is no limit"),
        (("--base", "HEAD", "--json", ""), "--json .: this is a folder; name a file in it"),
        (("--base", "HEAD", "--json", "/proc/none/x.json"), "--json /proc/none/x.json: cannot be written"),
        ((), "Missing option '--base'"),
    ):
        process = started(bare, "experiments/tiny.yaml", *words)
        printed, told = process.communicate(timeout=120)
        assert (process.returncode, printed) == (2, ""), told
        assert wanted in " ".join(told.split())
        assert "Traceback" not in told


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_leaves_no_worktree_and_no_process(still, how):
    process = started(still, "experiments/tiny.yaml", "--base", "HEAD", start_new_session=True)
    try:
        until(lambda: len(children(process.pid)) >= 2, 60)
        left = children(process.pid)
        process.send_signal(how)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert told.strip() == "stopped: nothing was decided; the worktrees are removed"
    assert len(git(still, "worktree", "list").splitlines()) == 1
    until(lambda: gone(left), 10)


def children(pid):
    """What the gate has started in its trees."""
    try:
        return [each for each in psutil.Process(pid).children(recursive=True) if "python" in each.name()]
    except psutil.Error:
        return []
