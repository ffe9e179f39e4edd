"""The command line as people type it: in a process of its own, or in this one, which has torch loaded already."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.tree import ROOT

SMALL = """# Does the command line work?
models: [aft, retnet]
shape: {width: 48, layers: 2, heads: 3}
measures: [noop]
"""
Ended = tuple[int, str, str]  # exit code, standard output, standard error


def called(*words: str) -> Ended:
    """A real `python -m harness`."""
    asked = [sys.executable, "-m", "harness", *words]
    ended = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
    return ended.returncode, ended.stdout, ended.stderr


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """A function that runs the same here."""
    from harness import cli, foresight

    monkeypatch.setattr(foresight, "of_load", lambda: None)
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        assert isinstance(code, int | None)
        return code or 0, *capsys.readouterr()

    return run


def mistake(code: int, printed: str, told: str) -> str:
    """The message of a command that ended with exit code 2, a few lines and no traceback."""
    assert (code, printed) == (2, ""), told
    assert "Traceback" not in told
    assert 1 <= len(told.splitlines()) <= 12
    return told
