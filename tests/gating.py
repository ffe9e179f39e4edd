"""What the tests of the gate share: surveys that are made up, sides that take as long as they are told, a git copy."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from harness.gate import survey
from harness.gate.cases import Case
from tests.tree import ROOT

IDENTITY = ("-c", "user.name=a test", "-c", "user.email=a@test.invalid", "-c", "commit.gpgsign=false")
TINY = """# Does the gate see what was planted?
models: [retnet, transformer, linear_attention, rwkv, aft]
shape: {width: 24, layers: 1, heads: 3, ffn_width: 20, max_length: 130}
measures: [{name: prefill, batch_size: 2, sequence_length: 19}]
repeats: 3
precision: 1
limits: {seconds: 20}
"""


def row(model: str = "retnet", measure: str = "decode", **changed: Any) -> dict[str, Any]:
    """A row of a survey."""
    told: dict[str, Any] = dict.fromkeys(survey.FACTORS)
    sizes = {"batch_size": 3, "sequence_length": 17, "width": 24, "layers": 2, "heads": 4, "dtype": "float32"}
    names = {"measure": measure, "model": model, "label": model, "metric": "token_ms", "code": "c" * 16}
    return told | sizes | names | {"point": {"limit_seconds": 5.0}} | changed


def lines(*rows: dict[str, Any], **exact: Any) -> list[dict[str, Any]]:
    """A survey of these rows, each with the same exact values."""
    told = [{"protocol": 1}, *({"row": each} for each in rows)]
    return told + [{"exact": {"parameters": 100, **exact}, "of": i} for i in range(len(rows))]


def case(key: str = "decode retnet 3x17", **changed: Any) -> Case:
    return Case(key, row(), row(**changed))


def sides(milliseconds: Callable[[str, str, int], Any], order: list[Any] | None = None) -> Any:
    """Rounds in which a side of a point takes what `milliseconds(side, key, how often before)` says.

    A text instead of a number is the reason of a failure. `order` gathers who was measured when, None between rounds.
    """
    counts: dict[tuple[str, str], int] = {}

    @contextlib.contextmanager
    def visit() -> Iterator[Any]:
        def measure(side: str, case: Case) -> dict[str, Any]:
            seen = counts[side, case.key] = counts.get((side, case.key), -1) + 1
            if order is not None:
                order.append((side, case.key))
            told = milliseconds(side, case.key, seen)
            if isinstance(told, str):
                return {"status": "error", "reason": told, "samples": []}
            return {"status": "ok", "reason": "", "samples": [told, told * 1.5, told * 0.5]}

        yield measure
        if order is not None:
            order.append(None)

    return visit


# A repository of one's own -------------------------------------------------------------------------------------------


def repository(folder: pathlib.Path, experiment: str = TINY) -> pathlib.Path:
    """A git checkout of this project's code as it stands, with one small experiment, committed."""
    for room in ("models", "harness"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "experiments").mkdir()
    (folder / "experiments/tiny.yaml").write_text(experiment, encoding="utf-8")
    (folder / ".gitignore").write_text("__pycache__/\n", encoding="utf-8")
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "All of it")
    return folder


def commit(folder: pathlib.Path, subject: str) -> None:
    git(folder, "add", "--all")
    git(folder, *IDENTITY, "commit", "--quiet", "--allow-empty", "--message", subject)


def git(folder: pathlib.Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True).stdout.strip()


def plant(folder: pathlib.Path, file: str, before: str, after: str) -> None:
    """Changes one place of a file."""
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert text.count(before) >= 1, f"{file} no longer holds {before!r}"
    path.write_text(text.replace(before, after), encoding="utf-8")


def started(folder: pathlib.Path, *words: object, **also: Any) -> "subprocess.Popen[str]":
    """A real `python -m harness gate` in a copy, of the copy's own code."""
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "GITHUB_STEP_SUMMARY")}
    asked = [sys.executable, "-m", "harness", "gate", *map(str, words)]
    env = clean | {"PYTHONPATH": str(folder)}
    return subprocess.Popen(
        asked, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, **also
    )


def gate(folder: pathlib.Path, *words: object) -> tuple[int, Any]:
    """A real `python -m harness gate experiments/tiny.yaml`; its exit code, and what it wrote as JSON."""
    process = started(folder, "experiments/tiny.yaml", "--json", "-", *words)
    printed, told = process.communicate(timeout=170)
    assert len(git(folder, "worktree", "list").splitlines()) == 1, "a worktree was left behind"
    assert "Traceback" not in told
    return process.returncode, json.loads(printed) if printed else told
