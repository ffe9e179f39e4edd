"""Inside the process of one point: it computes, sends each row to its parent as it comes, and says how it ended."""

import contextlib
import dataclasses
import faulthandler
import math
import os
import pathlib
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any

from harness import values
from harness.measures import DIVERGED, Failure, Measure, NotApplicable, Progress, Sample
from harness.point import Point
from harness.telemetry import Circumstances

ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
ROOT = pathlib.Path(__file__).parent.parent
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")  # in torch's RuntimeErrors
ADVICE = "If reserved but unallocated memory"  # what torch goes on with, once it has said what was asked for


@dataclasses.dataclass(frozen=True)
class End:
    """The last thing that a process sends; `reason` is empty where the status is ok."""

    status: str
    reason: str = ""
    kind: str = ""  # of a `Failure`
    what: str = ""  # the reason of one that has a kind, without the name of the error and its place


class BadValue(Failure):
    """A measure gave a value that is no finite number, that its unit does not allow, or that it does not declare."""

    def __init__(self, what: str, kind: str = ""):
        super().__init__(what)
        self.kind = kind


def main(connection: Connection, output: str, work: Callable[..., Iterable[Any]], arguments: tuple[Any, ...]) -> None:
    """Runs `work(*arguments)`, whose items are the rows. What it prints goes to the file `output`."""
    for name in ENDING:  # Ctrl-C and SIGHUP may reach the whole group; the parent decides
        signal.signal(name, signal.SIG_DFL if name is signal.SIGTERM else signal.SIG_IGN)
    try:
        _print_to(output)
    except FileNotFoundError:  # the sweep was stopped while this process started
        os._exit(1)
    _offer_to_the_oom_killer()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        use_cores()
        for row in work(*arguments):
            connection.send(row)
        end = End("ok")
    except NotApplicable as error:
        end = End("not_applicable", _line(error))
    except BaseException as error:
        end = End("oom" if is_out_of_memory(error) else "error", told(error))
        if isinstance(error, Failure) and error.kind:
            end = dataclasses.replace(end, kind=error.kind, what=_line(error))
        says_it_all = isinstance(error, Failure) and (error.verdict or error.kind == DIVERGED)  # grids are to have such
        if end.status == "error" and not says_it_all:
            traceback.print_exc()
    connection.send(end)


def measured(point: Point, measure: Measure) -> Iterator[Sample | Progress | Circumstances]:
    """The rows of one point. Raises BadValue where a value is not finite: a diverged model has no other number. So it
    does where none of its unit can be so, which no table takes."""
    from harness.bench import Bench

    if point.device == "cuda" and point.limit_bytes is not None:
        import torch

        torch.cuda.set_per_process_memory_fraction(min(1.0, point.limit_bytes / torch.cuda.mem_get_info()[1]))
    bench = Bench(point)
    for row in measure.run(point, bench):
        if isinstance(row, Sample) and row.metric not in measure.metrics:
            raise BadValue(f"the measure does not declare the metric {row.metric!r}")
        value, what = (row.value, row.metric) if isinstance(row, Sample) else (row.loss, f"the loss at step {row.step}")
        unit = measure.metrics[row.metric].unit if isinstance(row, Sample) else "nats/token"
        if not math.isfinite(value):
            raise BadValue(f"{what} is {value}", DIVERGED if unit in ("bits/byte", "nats/token") else "")
        if wanted := values.expected(unit, value):
            raise BadValue(f"{what} is {value}, expected {wanted}")
        yield row
    if bench.circumstances is not None:
        yield bench.circumstances


def cores() -> int:
    """Processor cores that this process may use: those of its affinity, within the quota of its container."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = pathlib.Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(allowed, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no cgroup v2, or the quota is 'max'
        return allowed


def use_cores() -> int:
    """Has torch compute with all cores that this process may use, or as many as OMP_NUM_THREADS says; returns which."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(torch.get_num_threads(), cores()))
    return torch.get_num_threads()


def told(error: BaseException) -> str:
    """One line: type, message, and the last place in this project's sources that it came through."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    place = innermost([f"{frame.filename}:{frame.lineno}" for frame in frames])
    if isinstance(error, SyntaxError) and error.filename:  # the file that does not parse is no frame
        place = innermost([f"{error.filename}:{error.lineno}"])
    return f"{type(error).__name__}: {_line(error)}" + (f" ({place})" if place else "")


def innermost(places: list[str]) -> str:
    """Of places `file:line`, innermost first, the first one in this project's sources, or else the first one."""
    ours = [place for place in places if place.startswith(str(ROOT)) and "site-packages" not in place]
    return [*ours, *places, ""][0].removeprefix(f"{ROOT}{os.sep}")


def _line(error: BaseException) -> str:
    return " ".join(str(error).partition(ADVICE)[0].split())[:500]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device or the system had no more memory to give."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)


def _print_to(path: str) -> None:
    """Sends what this process prints, a native crash's last words included, to a file."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    faulthandler.enable(file=2, all_threads=False)


def _offer_to_the_oom_killer() -> None:
    """Where the system itself runs out of memory, Linux ends this process first and not the sweep."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _end_with_parent() -> None:
    """A killed sweep leaves nothing computing behind."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
