"""The gate's side of the programs that run inside a tree: starting them there, and their lines.

A tree runs its own `survey.py` and `visitor.py`, which fit its own code; where it has none that speaks this protocol,
those of this checkout are lent to it. A program is gone when its context ends, with all that it started.
"""

import contextlib
import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from harness.gate import trees
from harness.gate.survey import PROTOCOL

HERE = pathlib.Path(__file__).parent
START_SECONDS = 120.0  # to load torch on a busy machine
SURVEY_SECONDS = 600.0
POINT_SECONDS = 300.0  # for a point that has no limit of its own
SPARE_SECONDS = 30.0  # beyond a point's own limit
OUTPUT_CHARACTERS = 500  # of what a program printed, from the end


class Broken(Exception):
    """A program that runs in a tree ended, hung or said what it should not; the text says which."""


def program(tree: pathlib.Path, name: str) -> pathlib.Path:
    """The tree's own `survey` or `visitor`, or this checkout's."""
    own = tree / "harness" / "gate" / f"{name}.py"
    try:
        speaks = f"\nPROTOCOL = {PROTOCOL}\n" in own.read_text(encoding="utf-8")
    except OSError:
        speaks = False
    return own if speaks else HERE / f"{name}.py"


class Lines:
    """A program that runs in a tree: what is written to it, and the lines that it answers with."""

    def __init__(self, process: "subprocess.Popen[str]", printed: Any):
        self.process, self.printed = process, printed
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, asked: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Its answer. Raises Broken where none comes in time."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()
        except OSError:
            raise Broken(self._last_words()) from None
        told = self.next(seconds)
        if told is None:
            raise Broken(self._last_words())
        return told

    def next(self, seconds: float) -> dict[str, Any] | None:
        """The next line; None where it has ended well. Raises Broken where it did not, or hangs."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise Broken(f"no answer within {seconds:g} s") from None
        if line is None:
            if self.process.wait() == 0:
                return None
            raise Broken(self._last_words())
        found: dict[str, Any] = json.loads(line)
        return found

    def _read(self) -> None:
        """Until there is no more; nobody else closes what is read here, which would end it in a traceback."""
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(None)

    def _last_words(self) -> str:
        """How it ended, and the end of what it printed, once it has."""
        code = self.process.wait()
        self.printed.seek(0)
        last = self.printed.read().decode("utf-8", "replace")[-OUTPUT_CHARACTERS:].strip()
        return " ".join(f"its process ended with exit code {code}: {last}".split())


@contextlib.contextmanager
def running(tree: pathlib.Path, name: str, *arguments: str) -> Iterator[Lines]:
    """One of the two programs, inside `tree`."""
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            [sys.executable, "-P", str(program(tree, name)), *arguments],
            cwd=tree,
            env=trees.clean() | {"PYTHONPATH": str(tree)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is the gate's alone, which ends them all
        )
        try:
            yield Lines(process, printed)
        finally:
            _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    """With its forkserver, and what that still computes."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with contextlib.suppress(OSError):
        assert process.stdin is not None
        process.stdin.close()


def surveyed(places: list[pathlib.Path], file: pathlib.Path, device: str) -> list[list[dict[str, Any]]]:
    """The lines of each tree's survey, all at once; a last line {"broken": reason} where one ended before its end."""
    with contextlib.ExitStack() as all_of_them:
        programs = [all_of_them.enter_context(running(tree, "survey", str(file), device)) for tree in places]
        return [list(_survey(lines)) for lines in programs]


def _survey(lines: Lines) -> Iterator[dict[str, Any]]:
    try:
        while (line := lines.next(SURVEY_SECONDS)) is not None:
            yield line
    except Broken as error:
        yield {"broken": str(error)}


class Visit:
    """One round in one tree: a visitor that is there when it is first needed."""

    def __init__(self, lines: Lines):
        self.lines = lines
        self.broken = ""

    def wait(self) -> None:
        """Until it is ready to measure, and idle."""
        try:
            self.lines.next(START_SECONDS)
        except Broken as error:
            self.broken = str(error)

    def measure(self, row: dict[str, Any]) -> dict[str, Any]:
        """Status, reason and samples in ms of one row of the tree's survey."""
        if self.broken:
            return {"status": "error", "reason": self.broken, "samples": []}
        limit = row["point"].get("limit_seconds") or POINT_SECONDS
        try:
            return self.lines.ask({"point": row["point"], "metric": row["metric"]}, limit + SPARE_SECONDS)
        except Broken as error:
            self.broken = str(error)
            return {"status": "error", "reason": self.broken, "samples": []}
