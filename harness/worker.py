"""Each point in a process of its own: a crash, a hang or memory that runs out takes that point and nothing else.

On Linux processes are forked from a server that has torch loaded and has computed nothing, so that a point costs
hundredths of a second; elsewhere each starts afresh. `harness.warm` is what else it loads.
"""

import contextlib
import dataclasses
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import pathlib
import re
import signal
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import psutil

from harness import child
from harness.errors import UserError
from harness.measures import Measure, Progress, Sample
from harness.point import Point
from harness.telemetry import Circumstances

POLL_SECONDS = 0.05  # how often resident memory is read; rare enough not to disturb what is timed
PRELOAD = ["harness.child", "harness.bench", "harness.warm"]  # with the second torch; the last freezes what is there
LEAVE_SECONDS = 5  # for a process that is done to give back what it held
OUTPUT_CHARACTERS = 4000  # of what a point printed, from the end
RETRIES, RETRY_SECONDS = 2, 1.0  # after a failure of the system, each pause longer than the one before
OF_THE_SYSTEM = (  # what the reason of such a failure holds
    *("signal SIGKILL", "signal SIGTERM", "signal SIGHUP", "signal SIGBUS"),  # from outside; a mapped file is gone
    *("busy or unavailable", "uncorrectable ECC", "fallen off the bus", "driver shutting down", "not yet initialized"),
    *("process could not be started", "Too many open files"),
    *("Resource temporarily unavailable", "Stale file handle", "Input/output error"),
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of one point. `rows` are what it sent before it ended, well or badly."""

    status: str
    reason: str
    seconds: float | None  # from the start of its process to its end; None where it had none
    rows: tuple[Any, ...] = ()
    output: str = ""  # what it printed, the end of it
    lines: int = 0  # how many it printed
    attempts: int | None = None  # how often it was started
    passing: bool = False  # whether the system failed and not the point, so that it may work another time
    kind: str = ""  # this and the next as in child.End
    what: str = ""

    @property
    def samples(self) -> list[Sample]:
        return [row for row in self.rows if isinstance(row, Sample)]

    @property
    def curve(self) -> list[Progress]:
        return [row for row in self.rows if isinstance(row, Progress)]

    @property
    def circumstances(self) -> Circumstances:
        return next((row for row in self.rows if isinstance(row, Circumstances)), Circumstances())


def run(point: Point, measure: Measure) -> Outcome:
    """Computes one point within its limits. Whatever happens to it is told by the outcome, never raised.

    Where the system failed and not the point it is started again, `RETRIES` times at most.
    """
    resident = point.limit_bytes if point.device == "cpu" else None
    for attempt in range(1, RETRIES + 2):
        if attempt > 1:
            time.sleep(RETRY_SECONDS * (attempt - 1))
        outcome = start(child.measured, (point, measure), point.limit_seconds, resident)
        if not outcome.passing:
            break
    return dataclasses.replace(outcome, attempts=attempt)


def call(work: Callable[..., Iterable[Any]], *arguments: Any) -> Any:
    """The one item that `work` yields, computed as a point is. Raises UserError where that fails."""
    outcome = start(work, arguments, limit_seconds=300.0, limit_bytes=None)
    if outcome.status != "ok":
        raise UserError(f"cannot use this machine: {outcome.reason}\n{outcome.output}".rstrip())
    return outcome.rows[0]


def start(
    work: Callable[..., Iterable[Any]],
    arguments: tuple[Any, ...],
    limit_seconds: float | None,
    limit_bytes: int | None,
) -> Outcome:
    """Runs `work(*arguments)`, an importable function, in a process that is gone when this returns or raises."""
    began, kills = time.monotonic(), _oom_kills()
    context = _context()
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.NamedTemporaryFile(prefix="point-", suffix=".txt") as output, receiver:
        process = context.Process(target=child.main, args=(sender, output.name, work, arguments))
        try:
            with _main_left_out():
                process.start()
        except (OSError, EOFError) as error:  # no process is left to start, or the server was killed
            told = f"its process could not be started: {type(error).__name__} {error}".rstrip()
            return Outcome("error", told, None, passing=True)
        finally:
            sender.close()
        rows: list[Any] = []
        try:
            end = _follow(process, receiver, rows, began, limit_seconds, limit_bytes)
            process.join(LEAVE_SECONDS)
        finally:
            process.kill()
            process.join()
        printed = output.read().decode("utf-8", "replace")
        if end is None:
            end = _death(process.exitcode, printed, _oom_kills() > kills)
        process.close()
    seconds, printed = time.monotonic() - began, printed.strip()
    how: dict[str, Any] = {"output": printed[-OUTPUT_CHARACTERS:].strip(), "lines": len(printed.splitlines())}
    how |= {"passing": passes(end.status, end.reason), **dataclasses.asdict(end)}
    return Outcome(seconds=seconds, rows=tuple(rows), **how)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP, unless ignored, raise KeyboardInterrupt within: it can be brought to an end."""
    before = {name: signal.getsignal(name) for name in child.ENDING}
    for name, told in before.items():
        if told is not signal.SIG_IGN:
            signal.signal(name, signal.default_int_handler)
    try:
        yield
    finally:
        for name, told in before.items():
            signal.signal(name, told)


def _follow(
    process: Any,
    receiver: Connection,
    rows: list[Any],
    began: float,
    limit_seconds: float | None,
    limit_bytes: int | None,
) -> child.End | None:
    """Gathers rows until the process says how it ended, passes a limit, or is gone without a word (None)."""
    watched = psutil.Process(process.pid) if limit_bytes is not None and psutil.pid_exists(process.pid) else None
    while True:
        left = float("inf") if limit_seconds is None else began + limit_seconds - time.monotonic()
        if left <= 0:
            process.kill()
            return child.End("timeout", f"took longer than {limit_seconds:g} s")
        if watched is not None and (resident := _resident_bytes(watched)) > (limit_bytes or 0):
            process.kill()
            return child.End("oom", f"{_gib(resident)} resident, more than the limit of {_gib(limit_bytes or 0)}")
        pause = min(left, POLL_SECONDS if watched is not None else 3600.0)
        if not receiver.poll(pause):
            continue
        try:
            message = receiver.recv()
        except EOFError:
            process.join()
            return None
        if isinstance(message, child.End):
            return message
        rows.append(message)


def _context() -> Any:
    """How processes start here; the first call starts the server that loads torch."""
    if not sys.platform.startswith("linux"):
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(child.ROOT), *([before] if before else [])])
    multiprocessing.resource_tracker.ensure_running()  # starting it would unblock what is blocked next
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        multiprocessing.forkserver.ensure_running()  # inherits the path, as it is told no other way, and ignores Ctrl-C
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


@contextlib.contextmanager
def _main_left_out() -> Iterator[None]:
    """A process that starts within does not import the program that runs the sweep, which costs time and memory."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _death(code: int | None, printed: str, by_system: bool) -> child.End:
    """What a process that ended without a word died of."""
    if code is None or code >= 0:
        return child.End("error", f"its process ended with exit code {code} before it was done")
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    if name == "SIGKILL" and by_system:
        return child.End("oom", "killed by the system, which ran out of memory")
    place = child.innermost([":".join(found) for found in re.findall(r'^  File "(.+?)", line (\d+)', printed, re.M)])
    return child.End("error", f"killed by signal {name}" + (f" at {place}" if place else ""))


def passes(status: str, reason: str) -> bool:
    """Whether an end tells of the system and not of the point, which may work another time."""
    return status == "error" and any(words.lower() in reason.lower() for words in OF_THE_SYSTEM)


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:  # it has just ended; the pipe tells how
        return 0


def _oom_kills() -> int:
    """How many processes Linux has killed for want of memory; 0 where it does not say."""
    try:
        told = pathlib.Path("/proc/vmstat").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"^oom_kill (\d+)$", told, re.MULTILINE)
    return int(found[1]) if found else 0


def _gib(count: float) -> str:
    return f"{count / 2**30:.2f} GiB"
