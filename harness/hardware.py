"""Described machines: one YAML file each in harness/machines/, found by listing; or one as a results row measured it.

Rates are of one device. What is published stands in the file, what of it is reached beside it, each with its source.
"""

import functools
import math
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field

from harness import document, misfits, quantity
from harness.errors import UserError, listed, refuse, shown, unknown
from harness.point import DEVICES
from harness.schema import DTYPES, SOME, Flag, Part, Text, one_of
from reports import plurals

FOLDER = pathlib.Path(__file__).parent / "machines"
MEASURED = "measured"  # no file: this machine's own rates
ONE_RATE = "give at least one rate, such as {float32: 2e12}"


def _to(most: float) -> BeforeValidator:
    """A number above 0: far enough below and above what devices do for no prediction to become infinite."""

    def check(given: Any) -> float:
        value = quantity.number(given)
        if not 1 / most <= value <= most:
            allowed = f"above 0: {1 / most:g} to {most:g}"
            raise ValueError(f"{shown(given)} is out of range; allowed is {allowed}")
        return value

    return BeforeValidator(check)


def _share(given: Any) -> float:
    value = quantity.number(given)
    if not 0 < value <= 1:
        raise ValueError(f"{shown(given)} is out of range; allowed is above 0, at most 1")
    return value


def _dtypes(given: dict[str, float]) -> dict[str, float]:
    if not given:
        raise ValueError(f"it is empty; {ONE_RATE}")
    for name in given:
        if name not in DTYPES:
            raise ValueError(unknown("dtype", name, DTYPES))
    return given


Rate = Annotated[float, _to(1e24)]
Seconds = Annotated[float, _to(1e12)]
Share = Annotated[float, BeforeValidator(_share)]
Whole = Annotated[int, BeforeValidator(quantity.count), Field(ge=1)]
Bytes = Annotated[int, BeforeValidator(quantity.size_bytes), Field(ge=1)]


class Link(Part):
    """Between devices, for each of them."""

    bytes_per_second: Rate  # one way
    seconds: Seconds  # until a message of no length arrives


class Achieved(Part):
    """What well-fed code reaches of the published rates."""

    flops: Share
    bytes: Share


class Machine(Part):
    """One device, and how it is joined to others of its kind. Products have a rate for each number format."""

    title: Text
    source: Text  # where the figures come from
    device: Annotated[Text, one_of("device", lambda: DEVICES)]
    programs: Flag = False  # those of models/_kernels run on it
    called: Annotated[list[Text], SOME] | None = None  # how the names begin that such devices have
    cores: Whole | None = None  # of a processor, that the rates are of
    memory: Bytes
    workspace: Bytes = 0  # of memory, that a process's libraries hold beside its tensors
    flops_per_second: Annotated[dict[str, Rate], AfterValidator(_dtypes), Field(description=ONE_RATE)]  # dense
    bytes_per_second: Rate
    achieved: Achieved
    launch_seconds: Seconds  # of one operator, from Python
    graph_launch_seconds: Seconds  # of one operator within a captured graph
    node_devices: Whole = 1  # joined by `link`; beyond them by `network`
    link: Link | None = None
    network: Link | None = None

    def flops(self, dtype: str) -> float:
        """Reached FLOP/s of products. Raises UserError for a number format whose rate is not stated."""
        if dtype not in self.flops_per_second:
            raise UserError(f"{self.title} states no rate for {dtype}; it does for {listed(self.flops_per_second)}")
        return self.flops_per_second[dtype] * self.achieved.flops

    @property
    def bandwidth(self) -> float:
        """Reached bytes per second of memory."""
        return self.bytes_per_second * self.achieved.bytes


def names() -> list[str]:
    """The machines there are, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@functools.cache
def load(name: str) -> Machine:
    """One described machine. Raises UserError for an unknown name and, with every line, for a file that is wrong."""
    if name not in names():
        raise UserError("--machine: " + unknown("machine", name, [*names(), MEASURED]))
    return read(FOLDER / f"{name}.yaml")


def read(path: pathlib.Path) -> Machine:
    """Reads and checks one file. Raises UserError, with every line, for one that is wrong."""
    data, places = document.parse(document.text(path, "a machine is one YAML file"), str(path))
    if not isinstance(data, dict):
        raise UserError(f"{path}:1: a machine is a mapping; its keys are {listed(Machine.model_fields)}")
    try:
        return Machine.model_validate(data)
    except pydantic.ValidationError as error:
        refuse(misfits.problems(error, Machine, document.Document(str(path), "", data, places)))
        raise AssertionError("a validation error without a problem") from error


def fitting(device: str, name: str = "", cores: int | None = None) -> Machine:
    """The file of a device with that name; else the slowest of its kind, and of its maker, which names begin with,
    where there is one; a processor's rates are scaled by its cores."""
    kind = [load(each) for each in names() if load(each).device == device]
    maker = name.split()[:1]
    kind = [each for each in kind if any(called.split()[:1] == maker for called in each.called or ())] or kind
    exact = [each for each in kind if name.startswith(tuple(each.called or ()))]
    found = exact[0] if exact else min(kind, key=lambda each: each.bytes_per_second)
    return found if found.cores is None or cores is None else _scaled(found, cores)


def _scaled(machine: Machine, cores: int) -> Machine:
    """The same with other cores: products as many times faster, memory by the square root, for cores share it."""
    times = cores / (machine.cores or cores)
    rates = {dtype: rate * times for dtype, rate in machine.flops_per_second.items()}
    bandwidth = machine.bytes_per_second * math.sqrt(times)
    return machine.model_copy(update={"flops_per_second": rates, "bytes_per_second": bandwidth, "cores": cores})


def measured(row: Mapping[str, Any], device: str) -> Machine:
    """A machine as a row of environments.csv measured it; what no row measures is that of the file that fits."""
    told = {key: value for key, value in row.items() if value is not None and value == value}
    base = fitting(device, str(told.get("device_name", "")), told.get("cores"))
    rates = {"float32": told.get("peak_flops"), **{d: told.get(f"peak_flops_{d}") for d in ("bfloat16", "float16")}}
    update: dict[str, Any] = {
        "title": str(told.get("device_name", base.title)),
        "source": "measured: matrix products and a copy",
        "flops_per_second": base.flops_per_second | {dtype: float(rate) for dtype, rate in rates.items() if rate},
        "bytes_per_second": float(told.get("peak_bytes_per_second") or base.bytes_per_second),
        "achieved": Achieved(flops=1, bytes=1),
        "memory": int(told.get("device_memory_bytes") or told.get("memory_bytes") or base.memory),
    }
    return base.model_copy(update=update)


@functools.cache
def here(device: str) -> Machine:
    """What describes a device of this machine, by its name alone: nothing is measured, no device is opened."""
    from harness.child import cores

    return fitting(device, _name(device), cores())


@functools.cache
def another(device: str) -> str:
    """What a device of this machine is where the file that describes it is of another; empty where it is of such, and
    where a GPU does not tell."""
    from harness.child import cores

    name, there = _name(device), cores()
    described = fitting(device, name)
    if not name or (name.startswith(tuple(described.called or ())) and described.cores in (None, there)):
        return ""
    return name if described.cores is None else f"{name}, {plurals.counted(there, 'core')}"


def _name(device: str) -> str:
    """What a device of this machine calls itself; no device is opened for it."""
    from harness.machine import cpu_name

    return _driver_name() if device == "cuda" else cpu_name()


def _driver_name() -> str:
    """What the driver calls the first device; empty where nvidia-ml-py or a driver is missing."""
    try:
        import pynvml
    except ImportError:
        return ""
    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0)))
    except pynvml.NVMLError:
        return ""


def measured_here(device: str) -> Machine:
    """This machine as it is measured now, in about a second on a quiet one."""
    from harness import machine

    return measured(next(machine.environment(device)), device)
