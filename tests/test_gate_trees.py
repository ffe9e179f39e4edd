"""Checking revisions out: what is refused, what a head is, and that no worktree is left behind, whatever happens."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from harness.errors import UserError
from harness.gate import trees
from tests.gating import commit, git
from tests.sweeping import until
from tests.tree import ROOT


@pytest.fixture
def repository(tmp_path):
    """Two commits of one file, and a change that is not committed."""
    folder = tmp_path / "it"
    (folder / "models").mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    for text in ("first", "second"):
        (folder / "models/one.py").write_text(text, encoding="utf-8")
        commit(folder, text)
    (folder / "models/one.py").write_text("third", encoding="utf-8")
    return folder


def worktrees(folder):
    return git(folder, "worktree", "list").splitlines()


def held(tree):
    return (tree.path / "models/one.py").read_text(encoding="utf-8")


def test_a_head_that_is_not_named_is_the_checkout_as_it_stands(repository):
    with trees.checked_out(repository, "HEAD~1", None) as (base, head):
        assert (held(base), held(head)) == ("first", "third")
        assert (head.path, head.dirty, base.dirty) == (repository, True, False)
        assert head.told == f"the working tree ({git(repository, 'rev-parse', 'HEAD')[:10]} and uncommitted changes)"
        assert base.commit == git(repository, "rev-parse", "HEAD~1")
    assert held(head) == "third", "the checkout itself is not touched"


def test_a_head_that_is_named_is_that_commit(repository):
    with trees.checked_out(repository, "HEAD~1", "main") as (base, head):
        assert (held(base), held(head)) == ("first", "second")
        assert head.path != repository
    assert not base.path.exists()
    assert not head.path.exists()


class Crash(Exception):
    pass


@pytest.mark.parametrize("end", [Crash, KeyboardInterrupt, SystemExit])
def test_no_worktree_is_left_whatever_ends_the_gate(repository, end):
    folders = []

    def gate():
        with trees.checked_out(repository, "HEAD~1", "HEAD") as both:
            folders.extend(tree.path for tree in both)
            assert len(worktrees(repository)) == 3
            (folders[0] / "models/new.py").write_text("written by a test", encoding="utf-8")
            raise end

    with pytest.raises(end):
        gate()
    assert len(worktrees(repository)) == 1
    assert not folders[0].parent.exists()
    assert git(repository, "branch", "--list").split() == ["*", "main"]


HANG = """
import sys, time
from harness.gate import trees
import pathlib
with trees.checked_out(pathlib.Path(sys.argv[1]), "HEAD~1", None):
    print("there", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_gate_left_is_removed_by_the_next(repository):
    asked = [sys.executable, "-c", HANG, str(repository)]
    with subprocess.Popen(asked, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "there\n"
        process.send_signal(signal.SIGKILL)
    left = pathlib.Path(worktrees(repository)[1].split()[0])
    assert left.is_dir()
    with trees.checked_out(repository, "HEAD~1", None):
        assert not left.parent.exists()
        assert len(worktrees(repository)) == 2
    assert len(worktrees(repository)) == 1


def test_a_running_gate_beside_it_is_let_be(repository):
    with (
        trees.checked_out(repository, "HEAD~1", None) as (base, _),
        trees.checked_out(repository, "HEAD~1", None) as (other, _),
    ):
        assert held(base) == held(other) == "first"


def test_a_second_ctrl_c_does_not_stop_the_tidying_up(repository):
    asked = [sys.executable, "-c", HANG, str(repository)]
    with subprocess.Popen(asked, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout.readline() == "there\n"
        folder = pathlib.Path(worktrees(repository)[1].split()[0]).parent
        until(lambda: process.poll() is not None or process.send_signal(signal.SIGINT), 30)
    assert len(worktrees(repository)) == 1
    assert not folder.exists()


@pytest.mark.parametrize(
    ("base", "head", "told"),
    [
        ("nope", None, "--base nope: this repository has no such commit; name a commit, a branch or a tag"),
        ("", None, "--base : this repository has no such commit"),
        ("HEAD", "", "--head : this repository has no such commit"),
        ("HEAD", "mian", "--head mian: this repository has no such commit; .*did you mean 'main'?"),
        ("HEAD~9", None, "--base HEAD~9: "),
        ("--help", None, "--base --help: "),
    ],
)
def test_an_unknown_revision_is_refused(repository, base, head, told):
    with pytest.raises(UserError, match=told), trees.checked_out(repository, base, head):
        pytest.fail("it was checked out")
    assert len(worktrees(repository)) == 1


def test_a_shallow_clone_says_how_to_get_the_rest(repository, tmp_path):
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), str(shallow))
    with pytest.raises(UserError, match=r"git fetch --unshallow"), trees.checked_out(shallow, "HEAD~1", None):
        pytest.fail("it was checked out")


def test_a_folder_that_is_no_checkout_is_refused(tmp_path, repository):
    for folder in (tmp_path, repository / "models"):
        with pytest.raises(UserError, match="this is not a git checkout"), trees.checked_out(folder, "HEAD", None):
            pytest.fail("it was checked out")


def test_variables_that_git_sets_for_hooks_do_not_mislead(repository, monkeypatch):
    monkeypatch.setenv("GIT_DIR", os.fspath(ROOT / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", "nowhere")
    with trees.checked_out(repository, "main~1", None) as (base, _):
        assert held(base) == "first"


def test_a_commit_holds_for_itself_and_what_is_older(repository):
    first, second = git(repository, "rev-parse", "HEAD~1"), git(repository, "rev-parse", "HEAD")
    assert trees.holds_for(repository, first, first) is True
    assert trees.holds_for(repository, first, second) is True
    assert trees.holds_for(repository, second, first) is False
    assert trees.holds_for(repository, second, "abcdef12") is None
