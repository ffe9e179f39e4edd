"""What the hardware says of itself while it works: clock, power, temperature, throttling, energy; and the system, of
who else computes. Nothing is guessed.

On CUDA the driver tells, through nvidia-ml-py where it is installed. On the CPU Linux tells: cpufreq, thermal sensors,
thermal_throttle, and energy through powercap (Intel's and AMD's RAPL), which many systems let only root read.
"""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable
from typing import Any

import psutil

from harness import timing
from harness.measures import NotApplicable

CPUS, POWERCAP = pathlib.Path("/sys/devices/system/cpu"), pathlib.Path("/sys/class/powercap")
REASONS = {  # bits of NVML's clock event reasons that slow a device down; idling and clocks set by the owner do not
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "software thermal",
    0x40: "hardware thermal",
    0x80: "power brake",
}


@dataclasses.dataclass(frozen=True)
class Circumstances:
    """Under which a point was timed; None where nothing tells. One goes to points.csv with each point that was, joined
    by `after` where there were several timings of it."""

    timing_ended: str | None = None  # one of `timing.ENDED`
    calls_per_sample: int | None = None
    warm_calls: int | None = None
    graph: bool | None = None  # whether a CUDA graph was replayed; None off CUDA
    clock_mhz: float | None = None  # this and what follows right after the last sample, the device still warm
    power_watts: float | None = None
    temperature_celsius: float | None = None
    throttled: str | None = None  # 'no', or what slowed it down; on CUDA before the first sample or after the last
    others_share: float | None = None  # of the processors' time from before the warm-up to after the last sample

    def after(self, before: "Circumstances | None") -> "Circumstances":
        """Of two timings of one point, this one the last: the worse end, a graph where both had one, what slowed either
        down, and the larger share of others. Calls and gauges stay those of the last."""
        if before is None:
            return self
        ends = [each for each in (before.timing_ended, self.timing_ended) if each is not None]
        shares = [each for each in (before.others_share, self.others_share) if each is not None]
        return dataclasses.replace(
            self,
            timing_ended=max(ends, key=timing.ENDED.index, default=None),
            graph=before.graph and self.graph,
            throttled=_both(before.throttled, self.throttled),
            others_share=max(shares, default=None),
        )


class Gauges:
    """The gauges of one device, made before what is timed, read after it; other ones than `cpu` and `cuda` have none.

    Who else computes is read on every device: work is launched by the host.
    """

    def __init__(self, device: str):
        self.device = device
        self._used = _used()
        self._throttled = _cpu_throttles() if device == "cpu" else None
        self._reasons = _cuda_reasons() if device == "cuda" else None

    def read(self) -> dict[str, Any]:
        """The fields of `Circumstances` that hardware and system tell."""
        others = {"others_share": _others_share(self._used, _used())}
        if self.device == "cuda":
            return others | _cuda_gauges(self._reasons)
        if self.device != "cpu":
            return others
        now = _cpu_throttles()
        throttled = None if now is None or self._throttled is None else "thermal" if now > self._throttled else "no"
        return others | {"clock_mhz": cpu_mhz(), "temperature_celsius": _cpu_celsius(), "throttled": throttled}


class EnergyMeter:
    """Joules that the device used since the meter was made or last read; the whole device, whoever used it.

    Raises NotApplicable where nothing counts them.
    """

    def __init__(self, device: str):
        self.device = device
        self._before = self._counters()

    def read(self) -> float:
        now = self._counters()
        pairs = zip(now, self._before, strict=True)
        self._before = now
        return sum(joules - start + (wrap if joules < start else 0.0) for (joules, wrap), (start, _) in pairs)

    def _counters(self) -> list[tuple[float, float]]:
        if now := _joules(self.device):
            return now
        raise NotApplicable(f"nothing on this machine counts the energy of {self.device}{_why(self.device)}")


def _joules(device: str) -> list[tuple[float, float]] | None:
    """Each counter's joules, and at how many it starts again from 0; None where one of them does not tell."""
    if device == "cuda":
        told = nvml()
        millijoules = told and _asked(lambda: told[0].nvmlDeviceGetTotalEnergyConsumption(told[1]))
        return [(millijoules / 1000, 0.0)] if millijoules else None
    if device != "cpu":
        return None
    pairs = [(_number(zone / "energy_uj"), _number(zone / "max_energy_range_uj")) for zone in _packages()]
    counted = [(joules / 1e6, wrap / 1e6) for joules, wrap in pairs if joules is not None and wrap is not None]
    return counted if len(counted) == len(pairs) else None  # half of the processors would be half of the joules


def _why(device: str) -> str:
    if device == "cpu" and _packages():
        return f"; its counters in {POWERCAP} are for root alone"
    return "; on Linux powercap does, on CUDA the driver through nvidia-ml-py"


@functools.cache
def nvml() -> tuple[Any, Any] | None:
    """nvidia-ml-py and its handle of torch's first CUDA device; None where either is missing."""
    import torch

    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(0).uuid}")
    except pynvml.NVMLError:
        return None


@dataclasses.dataclass(frozen=True)
class Used:
    """Seconds of all processors since the system started, and those of them that this process used."""

    there: float
    busy: float  # what a hypervisor took away included
    own: float


def _used() -> Used:
    told, own = psutil.cpu_times(), time.process_time()
    there = sum(told) - getattr(told, "guest", 0.0) - getattr(told, "guest_nice", 0.0)  # user and nice have these
    return Used(there, there - told.idle - getattr(told, "iowait", 0.0), own)


def _others_share(before: Used, after: Used) -> float | None:
    """Of what there was between the two, what others used; None where the system's clock, of 10 ms, saw nothing."""
    there = after.there - before.there
    if there <= 0:
        return None
    return min(1.0, max(0.0, (after.busy - before.busy - (after.own - before.own)) / there))


def cpu_mhz() -> float | None:
    clock = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
    return clock.current if clock and clock.current else None


def _cuda_reasons() -> int | None:
    """NVML's reasons for a lower clock, at this moment."""
    told = nvml()
    return told and _asked(lambda: told[0].nvmlDeviceGetCurrentClocksEventReasons(told[1]))


def _cuda_gauges(before: int | None) -> dict[str, Any]:
    told = nvml()
    if told is None:
        return {}
    library, device = told
    now = _cuda_reasons()
    reasons = None if now is None or before is None else now | before
    milliwatts = _asked(lambda: library.nvmlDeviceGetPowerUsage(device))
    celsius = _asked(lambda: library.nvmlDeviceGetTemperature(device, library.NVML_TEMPERATURE_GPU))
    clock = _asked(lambda: library.nvmlDeviceGetClockInfo(device, library.NVML_CLOCK_SM))
    slowed = None if reasons is None else ", ".join(word for bit, word in REASONS.items() if reasons & bit) or "no"
    return {
        "clock_mhz": None if clock is None else float(clock),
        "power_watts": None if milliwatts is None else milliwatts / 1000,
        "temperature_celsius": None if celsius is None else float(celsius),
        "throttled": slowed,
    }


def _both(before: str | None, now: str | None) -> str | None:
    """What slowed a device down at two times; unknown where nothing did at one, and the other is not told."""
    slowed = [word for told in (before, now) if told not in (None, "no") for word in told.split(", ")]
    if slowed:
        return ", ".join(dict.fromkeys(slowed))
    return None if None in (before, now) else "no"


def _asked(ask: Callable[[], Any]) -> Any:
    """What the driver answers, None where this device does not say."""
    library = nvml()
    assert library is not None, "only where the driver can be asked"
    try:
        return ask()
    except (library[0].NVMLError, AttributeError):
        return None


def _cpu_throttles() -> int | None:
    """How often the processor's cores were slowed down for heat; None where it is not told."""
    counts = [_number(path) for path in CPUS.glob("cpu[0-9]*/thermal_throttle/core_throttle_count")]
    return None if not counts or None in counts else int(sum(counts))  # type: ignore[arg-type]


def _cpu_celsius() -> float | None:
    """Of the hottest core."""
    sensors = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    found = [reading.current for name in ("coretemp", "k10temp", "cpu_thermal") for reading in sensors.get(name, [])]
    return max(found, default=None)


def _packages() -> list[pathlib.Path]:
    """RAPL's zones of whole processors; zones within them would count twice."""
    return [zone for zone in sorted(POWERCAP.glob("*-rapl:*")) if zone.name.count(":") == 1]


def _number(path: pathlib.Path) -> float | None:
    try:
        return float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
