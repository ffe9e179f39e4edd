"""The two trees that are compared: git worktrees of revisions, or the checkout itself as it stands.

Worktrees lie in a temporary folder whose name holds the process id of its gate. They are removed when their context
ends, however it ends; those of a gate that was killed outright are removed by the next one.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

import psutil

from harness import child
from harness.errors import UserError, nearest
from harness.machine import SOURCES

PREFIX = "throughput-gate-"
SECONDS = 120.0  # for one call of git
HERE = "the working tree"


@dataclasses.dataclass(frozen=True)
class Tree:
    """One side of the comparison."""

    path: pathlib.Path
    asked: str  # as the user named it
    commit: str
    dirty: bool = False  # whether files below `SOURCES` differ from the commit's

    @property
    def told(self) -> str:
        return f"{self.asked} ({self.commit[:10]}{' and uncommitted changes' if self.dirty else ''})"


@contextlib.contextmanager
def checked_out(root: pathlib.Path, base: str, head: str | None) -> Iterator[tuple[Tree, Tree]]:
    """Both trees; the checkout `root` itself stands for a head of None. Raises UserError where one cannot be had."""
    _check(root)
    commits = {
        flag: resolve(root, revision, flag)
        for flag, revision in (("base", base), ("head", head))
        if revision is not None
    }
    _remove_dead(root)
    with _interruptible_once():
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")).resolve()
        made = {flag: folder / flag for flag in commits}
        try:
            for flag, commit in commits.items():
                _git(root, "worktree", "add", "--quiet", "--detach", str(made[flag]), commit)
            yield Tree(made["base"], base, commits["base"]), _head(root, head, commits, made)
        finally:
            _remove(root, made.values())
            shutil.rmtree(folder, ignore_errors=True)


def resolve(root: pathlib.Path, revision: str, flag: str) -> str:
    """The commit that a revision names. Raises UserError where it names none."""
    found = _asked(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found:
        return found
    known = _asked(root, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags", "refs/remotes")
    guess = nearest(revision, known.split())
    hint = f"; did you mean {guess!r}?" if guess else ""
    shallow = _asked(root, "rev-parse", "--is-shallow-repository") == "true"
    fetch = "; this clone is shallow: `git fetch --unshallow` brings the rest" if shallow else ""
    fix = "name a commit, a branch or a tag, such as HEAD~1 or main"
    raise UserError(f"--{flag} {revision}: this repository has no such commit; {fix}{hint}{fetch}")


def holds_for(root: pathlib.Path, base: str, commit: str) -> bool | None:
    """Whether the commit `base` is `commit` or an ancestor of it; None where the repository does not have `commit`."""
    found = _asked(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
    if not found:
        return None
    return _run(root, "merge-base", "--is-ancestor", base, found).returncode == 0


def _check(root: pathlib.Path) -> None:
    top = _asked(root, "rev-parse", "--show-toplevel")
    if not top or pathlib.Path(top).resolve() != root.resolve():
        fix = "clone the repository with git and run the gate in the clone"
        raise UserError(f"{root}: this is not a git checkout, so there are no two revisions to compare; {fix}")


def _head(root: pathlib.Path, head: str | None, commits: dict[str, str], made: dict[str, pathlib.Path]) -> Tree:
    if head is not None:
        return Tree(made["head"], head, commits["head"])
    changed = _asked(root, "status", "--porcelain", "--untracked-files=all", "--", *SOURCES)
    return Tree(root, HERE, resolve(root, "HEAD", "head"), bool(changed))


def _remove(root: pathlib.Path, folders: Any) -> None:
    for folder in folders:
        _run(root, "worktree", "remove", "--force", "--force", str(folder))
        shutil.rmtree(folder, ignore_errors=True)
    _run(root, "worktree", "prune")


def _remove_dead(root: pathlib.Path) -> None:
    """What gates left behind that were killed before they could tidy up."""
    for line in _asked(root, "worktree", "list", "--porcelain").splitlines():
        path = pathlib.Path(line.removeprefix("worktree "))
        found = re.fullmatch(rf"{PREFIX}(\d+)-.*", path.parent.name)
        if line.startswith("worktree ") and found and not psutil.pid_exists(int(found[1])):
            _remove(root, [path])
            shutil.rmtree(path.parent, ignore_errors=True)
    _run(root, "worktree", "prune")


@contextlib.contextmanager
def _interruptible_once() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP, unless ignored, end what is within; a second one does not stop the tidying up."""
    signals = [each for each in child.ENDING if signal.getsignal(each) is not signal.SIG_IGN]

    def interrupt(*_: Any) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _git(root: pathlib.Path, *words: str) -> None:
    ran = _run(root, *words)
    if ran.returncode:
        raise UserError(f"git {' '.join(words[:2])} failed: {' '.join(ran.stderr.split())}")


def _asked(root: pathlib.Path, *words: str) -> str:
    """What git answers; empty where it has no answer."""
    ran = _run(root, *words)
    return ran.stdout.strip() if ran.returncode == 0 else ""


def clean() -> dict[str, str]:
    """The environment without variables such as GIT_DIR, which git sets for hooks and which name one repository."""
    return {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}


def _run(root: pathlib.Path, *words: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, env=clean(), timeout=SECONDS
        )
    except FileNotFoundError:
        raise UserError("there is no git on this machine; install it, for the gate checks revisions out") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"git {' '.join(words[:2])} did not end within {SECONDS:g} s") from None
