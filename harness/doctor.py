"""What this machine is, what will disturb a measurement on it, and how noisy it is: `python -m harness doctor`.

The noise is that of the same work against itself (A/A): pairs of visits in ABBA order to two workloads that differ in
nothing but their name, timed by the harness's own stopwatch. What differs between them is what a comparison on this
machine cannot tell from a real difference.
"""

import dataclasses
import math
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
from rich.console import Console

from harness import cache, machine, places, telemetry, terminal, timing, worker
from harness.errors import UserError, relative
from harness.quantity import tell_bytes
from reports import busy, plurals

AA_SECONDS = 50.0  # of comparing, so that all is done within a minute
LEAST_SECONDS, MOST_SECONDS = 1, 240  # the most within what a process may take
VISIT_SECONDS = 0.4
LEAST_CORES = 2
LITTLE_MEMORY, LITTLE_DISK = 2 * 2**30, 2**30  # bytes that are free
CALM, NOISY = 0.02, 0.05  # relative differences of equal work, at the 95% quantile


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `advice` is empty where it disturbs nothing."""

    what: str
    found: str
    advice: str = ""


@dataclasses.dataclass(frozen=True)
class Noise:
    """Of equal work: log-ratios of neighbouring visits."""

    ratios: list[float]

    @property
    def bias(self) -> float:
        """The median relative difference between the two names of the same work."""
        return math.exp(statistics.median(self.ratios)) - 1

    @property
    def spread(self) -> float:
        """What 95% of the pairs stay within, as a relative difference."""
        ordered = sorted(abs(ratio) for ratio in self.ratios)
        return math.exp(ordered[min(len(ordered) - 1, math.ceil(0.95 * len(ordered)) - 1)]) - 1


def examine(device: str, seconds: float = AA_SECONDS, console: Console | None = None) -> list[Finding]:
    """Prints what was found, and returns it. Runs in a process as points do, on `device`.

    Raises UserError for more seconds, or fewer, than can be compared.
    """
    if not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        told = f"this is out of range; allowed is {LEAST_SECONDS} to {MOST_SECONDS}"
        raise UserError(f"--seconds {seconds:g}: {told}")
    console = console or terminal.console()
    environment = worker.call(machine.environment, device)
    found = [*identity(environment, device), *disturbances(environment, device)]
    noise = Noise(worker.call(compare_with_itself, device, seconds))
    found.append(judged(noise))
    table = terminal.table("", "what", "found", "what to do")
    for finding in found:
        table.add_row(finding.what, finding.found, finding.advice)
    console.print(table)
    disturbing = [finding for finding in found if finding.advice]
    console.print(
        f"{len(disturbing)} of {len(found)} may disturb a measurement." if disturbing else "Nothing disturbs."
    )
    return found


def identity(environment: dict[str, Any], device: str) -> Iterator[Finding]:
    """What the machine is."""
    yield Finding("results go to", f"results/<experiment>/{machine.slug(environment, device)}")
    yield Finding("device", f"{environment['device_name']}, torch {environment['torch']}")
    peaks = [("peak_flops", "float32"), ("peak_flops_bfloat16", "bfloat16")]
    told = [f"{environment[name] / 1e9:,.0f} GFLOP/s {word}" for name, word in peaks if environment.get(name)]
    yield Finding("matrix products", ", ".join(told) or "not measured")
    yield Finding("memory bandwidth", f"{environment['peak_bytes_per_second'] / 1e9:,.1f} GB/s, of a copy")


def disturbances(environment: dict[str, Any], device: str) -> Iterator[Finding]:
    """What is known to make times vary."""
    yield cores(environment["cores"], environment["threads"])
    yield load(psutil.cpu_percent(interval=1.0) / 100, psutil.cpu_count() or 1)
    yield governor(environment.get("governor"))
    yield battery(psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None)
    yield memory(psutil.virtual_memory().available, psutil.swap_memory().used)
    yield disk("disk of the results", pathlib.Path("results"), "free some, or name a folder elsewhere with --out")
    yield disk("disk of the cache", cache.folder(), "free some, or name a folder elsewhere as XDG_CACHE_HOME")
    yield throttling(telemetry.Gauges(device).read())


def cores(usable: int, threads: int) -> Finding:
    told = f"{usable} usable, torch computes with {threads}"
    if usable < LEAST_CORES:
        return Finding("cores", told, "with one core the system itself disturbs every sample: use more repeats")
    if threads > usable:
        return Finding("cores", told, "more threads than cores wait for each other: lower OMP_NUM_THREADS")
    return Finding("cores", told)


def load(used: float, count: int) -> Finding:
    """`used` of all cores; as little as the pages pass over is passed over here."""
    told = f"{used:.0%} of {plurals.counted(count, 'core')} busy"
    if used > busy.SHARE:
        top = ", ".join(_busiest())
        return Finding("other load", told, f"close what computes{f': {top}' if top else ''}")
    return Finding("other load", told)


def governor(name: str | None) -> Finding:
    if name is None:
        return Finding("clock governor", "not told")
    if name != "performance":
        return Finding("clock governor", name, "set it to performance: sudo cpupower frequency-set -g performance")
    return Finding("clock governor", name)


def battery(told: Any) -> Finding:
    if told is None:
        return Finding("power", "no battery")
    if not told.power_plugged:
        return Finding("power", f"battery, {told.percent:.0f}%", "plug it in: laptops slow down on battery")
    return Finding("power", "plugged in")


def memory(available: int, swapped: int) -> Finding:
    told = f"{tell_bytes(available)} free, {tell_bytes(swapped)} swapped out"
    return Finding("memory", told, "free some: what is swapped is slow" if available < LITTLE_MEMORY else "")


def disk(what: str, folder: pathlib.Path, advice: str) -> Finding:
    """Of the disk that a folder is on, or will be."""
    try:
        free = psutil.disk_usage(str(places.nearest(folder))).free
    except OSError as error:
        return Finding(what, f"{relative(folder)}: {error.strerror}", advice)
    return Finding(what, f"{tell_bytes(free)} free for {relative(folder)}", advice if free < LITTLE_DISK else "")


def throttling(gauges: dict[str, Any]) -> Finding:
    units = (("clock_mhz", "MHz"), ("power_watts", "W"), ("temperature_celsius", "°C"))
    told = [f"{gauges[name]:.0f} {unit}" for name, unit in units if gauges.get(name) is not None]
    slowed = gauges.get("throttled")
    told.append(f"throttled: {slowed}" if slowed else "throttling not told")
    return Finding(
        "clock and heat", ", ".join(told), "cool it, or raise its limits" if slowed not in (None, "no") else ""
    )


def judged(noise: Noise) -> Finding:
    pairs = plurals.counted(len(noise.ratios), "pair")
    told = f"{noise.bias:+.2%} between equal work, 95% of {pairs} within {noise.spread:.1%}"
    if noise.spread <= CALM:
        return Finding("noise (A/A)", told)
    if noise.spread <= NOISY:
        return Finding("noise (A/A)", told, "differences below 5% need more repeats than the default")
    return Finding("noise (A/A)", told, "noisy: trust ratios of neighbouring points, and medians of many repeats")


def compare_with_itself(device: str, seconds: float) -> Iterator[list[float]]:
    """Log-ratios of B over A in each pair of visits, in ABBA order; the two are the same work. For `worker.call`."""
    import torch

    size = 384 if device == "cpu" else 2048
    x = torch.randn(size, size, device=device)

    def work() -> None:
        torch.softmax(x @ x, -1)

    timing.warm_up(work, device, math.inf)
    end = time.monotonic() + seconds
    ratios: list[float] = []
    while time.monotonic() < end or not ratios:
        first, second = _visit(work, device), _visit(work, device)
        ratios.append(math.log(second / first) * (-1) ** len(ratios))  # A B, then B A
    yield ratios


def _visit(work: Callable[[], Any], device: str) -> float:
    """The median seconds of one call over a short while."""
    timed = timing.measure(work, device, 5, 0.01, time.monotonic() + VISIT_SECONDS)
    return statistics.median(timed.seconds)


def _busiest() -> list[str]:
    """The names of the three other processes that use the processor most."""
    processes = [process for process in psutil.process_iter(["name"]) if process.pid != psutil.Process().pid]
    for process in processes:
        _share(process)  # from now on
    time.sleep(0.3)
    told = [(_share(process), process.info["name"]) for process in processes]
    told.sort(key=lambda pair: pair[0], reverse=True)
    return [f"{name} ({share:.0f}%)" for share, name in told[:3] if share > 5]


def _share(process: psutil.Process) -> float:
    """Per cent of a core since it was asked last; 0 of a process that is gone."""
    try:
        return process.cpu_percent(interval=None)
    except psutil.Error:
        return 0.0
