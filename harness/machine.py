"""The machine: which devices it has, what it is called, how fast it is, and what tells it from every other machine."""

import contextlib
import functools
import os
import pathlib
import platform
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psutil

from harness import cache, telemetry
from harness.child import ROOT, cores, use_cores
from harness.errors import UserError, unknown
from harness.peaks import peaks
from harness.point import DEVICES, digest
from reports import plurals

NO_NAME = r"\((?:R|TM|C)\)|@.*|\bCPU\b|\b\d+-Core Processor\b"  # what processors' names hold besides
SOURCES = ("models", "harness", "experiments")  # a tree is dirty where something in these differs from its commit
SAME_MACHINE = (  # what else must be equal before one machine's results stand for another's
    *("device_name", "cpu", "cores", "threads", "memory_bytes", "device_memory_bytes", "operating_system", "python"),
    *("torch", "blas", "cuda", "driver", "triton", "governor", "power_limit_watts"),
)


def resolve(asked: str) -> str:
    """cpu, cuda or mps; `auto` takes the fastest there is. Raises UserError for a device that is not there."""
    if asked not in ("auto", *DEVICES):
        raise UserError("--device: " + unknown("device", asked, ("auto", *DEVICES)))
    there = _devices()
    if asked == "auto":
        return there[-1]
    if asked not in there:
        told = f"there is no {asked} device on this machine; there is {', '.join(there)}"
        raise UserError(f"--device {asked}: {told}; use --device {there[-1]}")
    return asked


def need_cuda(what: str) -> None:
    """Raises UserError where this machine has no such device, on which `what` are found."""
    if "cuda" not in _devices():
        told = f"there is no CUDA device on this machine, and {what} are found on one"
        raise UserError(f"{told}; run this where one is")


def _devices() -> list[str]:
    import torch

    there = {"cpu": True, "mps": torch.backends.mps.is_available(), "cuda": torch.cuda.is_available()}
    return [name for name, found in there.items() if found]


def slug(environment: dict[str, Any], device: str) -> str:
    """The folder of this device's results, such as `nvidia-h200` or `cpu-intel-xeon-processor-2-cores`."""
    name = re.sub(NO_NAME, " ", environment["device_name"], flags=re.IGNORECASE)
    words = [name] if device == "cuda" else [device, name]
    if device == "cpu":
        words.append(plurals.counted(environment["cores"], "core"))
    return re.sub(r"[^a-z0-9]+", "-", " ".join(words).lower()).strip("-")


def named(device: str) -> Iterator[dict[str, Any]]:
    """What the folder of `device` is named after and what tells its machine, of its row; nothing is measured for it."""
    row = _found_here(device, use_cores())
    yield {name: row[name] for name in ("device_name", "cores", "machine")}


def environment(device: str) -> Iterator[dict[str, Any]]:
    """The row of environments.csv for `device`, as this process finds it: run it where the points are run."""
    threads, reached = use_cores(), peaks(device)  # before the clocks are read: a device at rest turns them down
    row = {**_found_here(device, threads), **commit(), **reached}
    yield {"environment": digest([row, time.time()]), **row}


def _found_here(device: str, threads: int) -> dict[str, Any]:
    """What the machine says of itself, and the name that follows from it."""
    import torch

    row: dict[str, Any] = {
        "device_name": cpu_name(),
        "cpu": cpu_name(),
        "cores": cores(),
        "threads": threads,
        "memory_bytes": psutil.virtual_memory().total,
        "operating_system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "blas": _found(r"BLAS_INFO=(\w+)", torch.__config__.show()) or "unknown",
        "cuda": torch.version.cuda,
        "triton": version("triton"),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "clock_mhz": telemetry.cpu_mhz(),
    }
    if device == "cuda":
        row |= _cuda()
    return row | {"machine": digest({"host": _host(), **{name: row.get(name) for name in SAME_MACHINE}})}


def _cuda() -> dict[str, Any]:
    """What CUDA's device says of itself, and what its driver adds where nvidia-ml-py is installed."""
    import torch

    told = torch.cuda.get_device_properties(0)
    row: dict[str, Any] = {"device_name": told.name, "device_memory_bytes": told.total_memory, "clock_mhz": None}
    if (found := telemetry.nvml()) is None:
        return row
    pynvml, handle = found
    asked: dict[str, Callable[[], Any]] = {
        "driver": lambda: str(pynvml.nvmlSystemGetDriverVersion()),
        "clock_mhz": lambda: float(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM)),
        "power_limit_watts": lambda: pynvml.nvmlDeviceGetPowerManagementLimit(handle) / 1000,
    }
    for name, ask in asked.items():
        try:
            row[name] = ask()
        except pynvml.NVMLError:  # this device does not say
            continue
    return row


@functools.cache
def cpu_name() -> str:
    """What the processor calls itself."""
    if sys.platform == "darwin":
        name = _output("sysctl", "-n", "machdep.cpu.brand_string")
    else:
        name = _found(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo") or "")
    return name or platform.processor() or platform.machine() or "unknown"


def _host() -> str:
    """A random name that this user's cache keeps for this machine; images and containers share every other identity."""
    kept = cache.folder() / "machine-id"
    try:
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            own = kept.with_name(f".machine-id-{uuid.uuid4().hex}")
            own.write_text(uuid.uuid4().hex, encoding="ascii")
            with contextlib.suppress(FileExistsError):  # of runs that start together the first one names the machine
                os.link(own, kept)
            own.unlink()
        return kept.read_text(encoding="ascii")
    except OSError:  # no cache can be kept
        return digest([platform.node(), uuid.getnode()])


def commit() -> dict[str, str | None]:
    """The commit of the harness, where its folder is a git checkout, and whether `SOURCES` differ from it."""
    if _output("git", "-C", str(ROOT), "rev-parse", "--show-toplevel") != str(ROOT):
        return {"commit": None, "dirty": None}
    changed = _output("git", "-C", str(ROOT), "status", "--porcelain", "--", *SOURCES)
    commit = _output("git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", "HEAD")
    return {"commit": commit or None, "dirty": "true" if changed else "false"}


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def version(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _read(path: str) -> str | None:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def _found(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1].strip() if found else None
