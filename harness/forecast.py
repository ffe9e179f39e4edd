"""`python -m harness predict`: from what the command line asks to tables of times, bounds and memory."""

import dataclasses
import math
import pathlib
import sys
from typing import TYPE_CHECKING, Any

from rich.table import Table

import models
from harness import accuracy, cost, document, ending, foresight, hardware, plugins, point, quantity, sizes
from harness.errors import UserError, listed, named, unknown
from harness.hardware import Machine
from harness.job import Job
from harness.quantity import tell_bytes, tell_count
from harness.schema import DTYPES
from harness.terminal import console, table
from reports import plurals

if TYPE_CHECKING:
    import typer

# As an experiment has them; a batch is that of all devices, of which there may be far more than anybody joins.
MOST = point.MOST | {"length": point.MOST["sequence_length"]}
MOST |= {"batch": 2**24, "devices": 2**20, "tensor-parallel": 2**20}
LEAST = {"vocabulary": 2}
MEMORY = ("weights", "gradients", "moments", "activations", "state", "workspace")
NOTE = (
    "Times of one optimiser step, of one batch of prompts and of one decode step; floor: what no kernel can go below.\n"
    "Each part counts as compute or as memory, whichever takes it longer.\n"
    "Assumed: plain operators, one launched after the other, or in 16 bits, where the machine runs them, the programs\n"
    "of models/_kernels. Rates and shares: {source}"
)

COMPARED = (
    "Each row is predicted at the rates that its own environment measured. One number comes from rows such as these:\n"
    "the time of a launch, in harness/machines/, from decode steps."
)


@dataclasses.dataclass(frozen=True)
class Request:
    """The command line as it was typed: numbers are still text, such as 6.7B or 1M."""

    models: list[str]
    numbers: dict[str, str | None]  # by flag without dashes
    dtype: str
    form: str | None
    machine: str | None  # None: what describes this machine
    given: list[str]  # --set
    recompute: bool = False
    autocast: bool = False
    graph: bool = False


def tell(request: Request) -> None:
    """Prints the tables. Raises UserError for whatever does not fit together, before anything is printed."""
    jobs = {name: job(request, name) for name in _checked(request)}
    machine = _machine(request.machine)
    found = {name: cost.phases(asked, machine) for name, asked in jobs.items()}
    if told := foresight.of_shapes((name, asked.shape) for name, asked in jobs.items()):
        print(told, file=sys.stderr)
    out = console()
    for made in (_sizes(jobs), _times(found), _memory(found, machine)):
        out.print(made, "")
    out.print(NOTE.format(source=f"{machine.title}. {machine.source}"))


def compared(results: pathlib.Path) -> int:
    """Prints predicted over measured for every finished point of the results that can be predicted, and what is wrong
    with those that are damaged. Returns the exit code."""
    damaged: dict[pathlib.Path, UserError] = {}
    told = accuracy.summary(accuracy.load(results, damaged))
    units = accuracy.units()
    made = table("Predicted over measured", "device", "metric", "unit", "model", "points", "median", "least", "most")
    for line in told.to_dict("records"):
        numbers = (f"{line[name]:.2f}" for name in ("median", "least", "most"))
        made.add_row(
            line["device"], line["metric"], units[line["metric"]], line["model"], str(line["points"]), *numbers
        )
    out = console()
    out.print(made, "")
    out.print(COMPARED)
    return ending.damaged(damaged.values())


def refuse_beside_results(typed: "typer.Context") -> None:
    """Raises UserError where a flag would be without effect, for rows have their own sizes and machines."""
    sources = {each.opts[0]: typed.get_parameter_source(each.name or "") for each in typed.command.params}
    given = [flag for flag, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if others := [flag for flag in given if flag != "--results"]:
        told = "each row is predicted at its own sizes, on its own machine"
        raise UserError(f"--results: {told}; leave out {listed(others)}")


def job(request: Request, name: str) -> Job:
    """One model's job. Raises UserError, naming the flag, for what is not allowed."""
    whole = {flag: _count(flag, text) for flag, text in request.numbers.items()}
    length, batch, devices, parts = (whole[flag] or 1 for flag in ("length", "batch", "devices", "tensor-parallel"))
    given = _options(request)
    if request.recompute and "recompute" in given:
        raise UserError("--recompute and --set recompute=... say the same; leave one out")
    chosen = sizes.resolve(name, given)
    size = {key: whole[key] for key in ("parameters", "layers", "width", "heads")}
    vocabulary = whole["vocabulary"] or sizes.VOCABULARY
    shape = sizes.shape(sizes.Asked(**size, vocabulary=vocabulary, max_length=length + 1), name, chosen)
    kind = models.load(name)
    if request.form is not None and request.form not in kind.available_forms(chosen):
        raise UserError(f"--form: {name}: {unknown('form', request.form, kind.available_forms(chosen))}")
    switches = {key: getattr(request, key) for key in ("recompute", "autocast", "graph")}
    made = Job(
        kind, shape, chosen, batch, length, request.dtype, request.form, **switches,
        devices=devices, tensor_parallel=parts,
    )  # fmt: skip
    _check_devices(name, made)
    return made


def _check_devices(name: str, made: Job) -> None:
    parts, heads = made.tensor_parallel, made.shape.heads
    if made.devices % parts:
        told = listed(n for n in range(1, made.devices + 1) if made.devices % n == 0)
        there = plurals.counted(made.devices, "device")
        raise UserError(f"--tensor-parallel {parts} does not divide {there}; allowed are {told}")
    if heads % parts:
        told = listed(n for n in range(1, heads + 1) if heads % n == 0)
        raise UserError(f"--tensor-parallel {parts} does not divide {name}'s {heads} heads; allowed are {told}")
    if made.batch % made.replicas:
        both = math.gcd(heads, made.devices)
        fits = [n for n in range(1, both + 1) if both % n == 0 and made.batch % (made.devices // n) == 0]
        fix = f"make it a multiple, or --tensor-parallel one of {listed(fits)}" if fits else "make it a multiple"
        raise UserError(f"--batch {made.batch} does not divide among {made.replicas} replicas; {fix}")


def _checked(request: Request) -> list[str]:
    for name in request.models:
        if name not in models.names():
            raise UserError(unknown("model", name, models.names()))
    if not request.models:
        raise UserError(f"no model is given; name some of {listed(models.names())}, or give --results DIR")
    plugins.check_named("model", dict.fromkeys(request.models))
    if request.dtype not in DTYPES:
        raise UserError("--dtype: " + unknown("dtype", request.dtype, DTYPES))
    sizes.check_options(request.models, _options(request))
    return list(dict.fromkeys(request.models))


def _options(request: Request) -> dict[str, Any]:
    found = {}
    for text in request.given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"--set {named(text)}: write it as key=value, such as --set preset=paper")
        if not value.strip():
            raise UserError(f"--set {text}: there is no value; write --set {key}=null where you mean none")
        found[key], _ = document.parse(value, "", f"--set {named(text)}")
    return found


def _count(flag: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        value = quantity.count(text)
    except ValueError as error:
        raise UserError(f"--{flag}: {error}") from None
    least = LEAST.get(flag, 1)
    if not least <= value <= MOST[flag]:
        raise UserError(f"--{flag}: {text} is out of range; allowed is {least} to {MOST[flag]:,}")
    return value


def _machine(name: str | None) -> Machine:
    from harness import machine

    if name is None:
        return hardware.here(machine.resolve("auto"))
    return hardware.measured_here(machine.resolve("auto")) if name == hardware.MEASURED else hardware.load(name)


def _sizes(jobs: dict[str, Job]) -> Table:
    made = table("Sizes", "model", "parameters", "layers", "width", "heads", "ffn width", "form", "options")
    for name, asked in jobs.items():
        shape, default = asked.shape, asked.kind.Options()
        fields = [field.name for field in dataclasses.fields(asked.options)]
        changed = (f for f in fields if getattr(asked.options, f) != getattr(default, f))
        told = " ".join(f"{field}={getattr(asked.options, field)}" for field in changed)
        numbers = map(str, (shape.layers, shape.width, shape.heads, shape.ffn_width))
        made.add_row(name, tell_count(asked.parameters), *numbers, asked.form_used, told)
    return made


def _times(found: dict[str, list[cost.Phase]]) -> Table:
    columns = ("phase", "model", "time", "floor", *cost.CAUSES, "bound by", "tokens/s")
    made = table("Times", *columns)
    for name, phase in _by_phase(found):
        parts = (tell_time(phase.causes[cause]) for cause in cost.CAUSES)
        rate = f"{phase.tokens_per_second:,.0f}" if phase.tokens_per_second >= 10 else f"{phase.tokens_per_second:.3g}"
        times = (tell_time(phase.seconds), tell_time(phase.floor_seconds))
        made.add_row(phase.title, name, *times, *parts, phase.bound, rate)
    return made


def _memory(found: dict[str, list[cost.Phase]], machine: Machine) -> Table:
    made = table("Memory of each device", "phase", "model", *MEMORY, "in all", f"fits {tell_bytes(machine.memory)}")
    for name, phase in _by_phase(found):
        parts = (tell_bytes(phase.memory[part]) if part in phase.memory else "" for part in MEMORY)
        fits = "yes" if phase.memory_bytes <= machine.memory else "no"
        made.add_row(phase.title, name, *parts, tell_bytes(phase.memory_bytes), fits)
    return made


def _by_phase(found: dict[str, list[cost.Phase]]) -> list[tuple[str, cost.Phase]]:
    """Models side by side within each phase."""
    rows = zip(*([(name, phase) for phase in phases] for name, phases in found.items()), strict=True)
    return [pair for row in rows for pair in row]


def tell_time(seconds: float) -> str:
    """12.3 s, 4.06 ms, 0.5 µs; 0 for nothing."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return "0" if seconds < 1e-9 else f"{seconds / 1e-6:.2g} µs"
