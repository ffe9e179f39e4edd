"""Sweeps of fake measures with real processes, into a folder of the test."""

import dataclasses
import io
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import psutil
import pytest
from rich.console import Console

from harness import measures, record, run, worker
from harness import sweep as sweeps
from harness.point import Point
from tests.fakes import Fake, point
from tests.folders import SETTINGS


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What a run needs of one."""

    name: str = "tried"
    question: str = "Is it so?"
    seeds: tuple[int, ...] = (0,)

    def dump(self) -> str:
        return SETTINGS.replace("Is it so?", self.question).replace("seeds: [0]", f"seeds: {list(self.seeds)}")


def code_hash(model: str, measure: str) -> str:
    """The same whatever the sources are."""
    return "0" * 16


def runner(monkeypatch: pytest.MonkeyPatch, folder: pathlib.Path, environment: dict[str, Any]) -> Callable[..., Any]:
    """A function that runs points with fake measures below `folder`; it gives the results, and what was printed."""
    monkeypatch.setattr(measures, "load", Fake)
    monkeypatch.setattr(measures, "names", lambda: ["counts", "good", "forms", "lengths"])
    monkeypatch.setattr(sweeps, "code_hash", code_hash)
    monkeypatch.setattr(worker, "call", lambda work, device: environment)

    def sweep(
        *points: Any,
        fresh: bool = False,
        seeds: tuple[int, ...] = (0,),
        out: pathlib.Path = folder,
        skip: bool = True,
        any_machine: bool = False,
        kept: Sequence[int] | None = None,
        whole: list[Point] | None = None,
    ) -> Any:
        console, asked = Console(file=io.StringIO(), width=200), Experiment(seeds=seeds)
        made = run.run(asked, list(points), out, "cpu", fresh, console, skip, None, any_machine, kept, whole)
        return record.load(made.folder), console.file.getvalue()

    return sweep


def counted(path: pathlib.Path, count: int = 3, **changed: Any) -> list[Point]:
    """Points that leave their seed in a file each time that they run."""
    return [point(measure="counts", seed=i, corpus=str(path), **changed) for i in range(count)]


def statuses(results: record.ResultSet) -> list[tuple[str, str]]:
    return list(zip(results.points["measure"], results.points["status"], strict=True))


def until(done: Callable[[], Any], seconds: float = 60.0) -> None:
    """Waits; fails where it never happens."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all have ended, be it that nobody has asked how: whom an orphan is left to may be slow to."""
    return not any(map(_computes, processes))


def _computes(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
