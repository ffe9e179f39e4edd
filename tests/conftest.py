"""What every test shares: examples that hypothesis draws are the same in every run, and each test is seeded.

One thread: the sizes are tiny, and threads that wait for each other on a busy machine take a hundred times as long.
"""

import gc
import os
import pathlib
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest

from tests import checked

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything loads torch, for this process and those it starts

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=12)
hypothesis.settings.load_profile("repeatable")

checked.leave_programs_as_written()  # before any is imported


@pytest.fixture(scope="module", autouse=True)
def _left_alone() -> None:
    """What is there already is no garbage of these tests. Stopwatches collect before they start, and looking through
    all that other tests have loaded took most of a second each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    import torch

    torch.manual_seed(0)


@pytest.fixture
def launches_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up times, which are of any length, are of launches wherever no graph was replayed."""
    from reports import launches

    monkeypatch.setattr(launches, "HIDDEN_MS", {})


@pytest.fixture
def only_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model is the tiny one of these tests."""
    import models
    from tests import tiny

    monkeypatch.setattr(models, "load", lambda name: tiny.Model)


@pytest.fixture(scope="session")
def environment() -> dict[str, Any]:
    """What this machine is, read once."""
    from harness import machine, worker

    return worker.call(machine.environment, "cpu")


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, environment: dict[str, Any]) -> Callable[..., Any]:
    """Runs points with fake measures, see `tests.sweeping`."""
    from tests import sweeping

    return sweeping.runner(monkeypatch, tmp_path, environment)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line in this process; gives its exit code and what it printed."""
    from tests import commands

    return commands.runner(monkeypatch, capsys)


@pytest.fixture
def refused(typed: Callable[..., tuple[int, str, str]]) -> Callable[..., str]:
    """Runs a command that is to be refused; gives the message."""
    from tests import commands

    return lambda *words: commands.mistake(*typed(*words))


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Energy counters, and quick work: ten watts, in steps of a hundredth of a joule, from 0 again at 4 joules."""
    from harness import telemetry
    from harness.measures import energy, self_test

    told = {"zones": lambda: [(round(time.monotonic() * 10, 2) % 4.0, 4.0)]}
    monkeypatch.setattr(telemetry, "_joules", lambda device: told["zones"]())
    monkeypatch.setattr(energy, "WINDOW_SECONDS", 0.06)
    monkeypatch.setattr(self_test, "SIZE", {"cpu": 64})
    return told


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The results as git has them: what a reader's own runs add must make no test fail."""
    from tests.tree import ROOT

    folder = tmp_path_factory.mktemp("committed")
    try:
        names = subprocess.run(["git", "ls-files", "-z", "results"], cwd=ROOT, capture_output=True, check=True).stdout
        asked = ["git", "checkout-index", "-z", "--stdin", f"--prefix={folder}/"]
        subprocess.run(asked, cwd=ROOT, input=names, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: there are no committed results to compare with")
    return folder / "results"


@pytest.fixture(scope="session")
def whole(committed: pathlib.Path) -> list[Any]:
    """All of them, read once and not to be changed."""
    from harness import record

    return record.load_all(committed)


@pytest.fixture(scope="session")
def predicted(committed: pathlib.Path, whole: list[Any]) -> Any:
    """What was measured in them beside what is predicted: `accuracy.load`."""
    from harness import accuracy, record

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "load_all", lambda results, damaged: whole)
        return accuracy.load(committed)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A small results folder, not to be changed."""
    from tests.folders import filled

    return filled(tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(tmp_path: pathlib.Path, made: pathlib.Path) -> pathlib.Path:
    """A copy of it, to be broken and mended."""
    return shutil.copytree(made, tmp_path / "results" / "tried" / "cpu-made-up")
