"""Compiles every Triton program for a Hopper GPU without one: the interpreter takes what the compiler refuses.

    python -m tests.compiling     as JSON: how often each program was compiled, and what was refused

Programs are launched as the other cases launch them, in bfloat16, on a driver that is none: nothing runs, so what comes
back is whatever was in memory, and is not looked at.
"""

import contextlib
import importlib
import json
import pkgutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver, jit

from models import _kernels
from tests.cases import each

DTYPE = torch.bfloat16
ROLES = ("_specialised", "_paired", "_gathered")  # whose programs differ more: all launches
SHARED = 227 * 1024  # bytes that a program may have on such a GPU
MOST = 5  # launches of one program: one to four seconds each where they differ


class NoDriver:
    """As much of a driver as compiling asks for."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int = 0) -> int:
        return device


def cases() -> dict[str, list[Callable[[], Any]]]:
    """Every launch that the cases of the other files make, those that share most of their programs together, and those
    that take longest first."""
    from models._kernels import plans
    from tests import (
        attend_kernels,
        banded_kernels,
        decode_kernels,
        mixer_kernels,
        retention_kernels,
        row_kernels,
        step_kernels,
        totals_kernels,
        wkv_kernels,
    )

    tables = [
        (decode_kernels.read_errors, decode_kernels.READS),
        (decode_kernels.write_errors, decode_kernels.WRITES),
        (step_kernels.step_errors, step_kernels.STEPS),
        *((module.errors, module.CASES) for module in (attend_kernels, mixer_kernels)),
    ]
    rest = [partial(errors, case, "cpu", DTYPE) for errors, table in tables for case in table.values()]
    rest += [partial(row_kernels.norm_errors, *case, dtype=DTYPE) for case in row_kernels.NORMS.values()]
    rest += [partial(row_kernels.loss_errors, *case, dtype=DTYPE) for case in row_kernels.LOGITS.values()]
    passes = row_kernels.turn_errors, row_kernels.gate_errors, row_kernels.quotient_errors, wkv_kernels.shift_errors
    choices = decode_kernels.likeliest_errors, decode_kernels.angle_errors, decode_kernels.row_errors
    rest += [partial(made, "cpu", DTYPE) for made in (*passes, *choices)]
    rest.append(step_kernels.rounding_errors)
    rest += [partial(step_kernels.rounded_errors, case) for case in step_kernels.ROUNDED.values()]
    Case = retention_kernels.Case
    found: dict[str, list[Callable[[], Any]]] = {}
    for K, V in ((256, 432), *reversed(plans.SPECIALISED)):
        specialised = (  # several walks, states kept on the way, and as models are trained
            Case(H=1, T=600, K=K, V=V, L=256),
            Case(H=1, T=1100, K=K, V=V),
            Case(H=1, T=600, K=K, V=V, learned=False, state=False, final=False),
        )
        found[f"K {K}, V {V}"] = [partial(retention_kernels.errors, case, "cpu", DTYPE) for case in specialised]
    for module in (banded_kernels, wkv_kernels, retention_kernels, totals_kernels):
        found[module.__name__] = [partial(module.errors, case, "cpu", DTYPE) for case in module.CASES.values()]
    return found | {"rest": rest}


def main() -> dict[str, dict[str, Any]]:
    driver.set_active(NoDriver())
    for found in pkgutil.iter_modules(_kernels.__path__):
        module = importlib.import_module(f"models._kernels.{found.name}")
        if hasattr(module, "early"):
            module.early = lambda device: (True, {"launch_pdl": True})
        if hasattr(module, "specialised"):
            module.specialised = lambda device: True
    told = each({name: partial(launched, launches) for name, launches in cases().items()}).values()
    refused = {name: reason for _, some in told for name, reason in some.items()}
    return {"compiled": dict(sum((compiled for compiled, _ in told), Counter())), "refused": refused}


def launched(launches: list[Callable[[], Any]]) -> tuple[Counter[str], dict[str, str]]:
    """How often each program was compiled, and what was refused."""
    compiled: Counter[str] = Counter()
    refused: dict[str, str] = {}
    run = jit.JITFunction.run

    def compile_only(self: Any, *given: Any, grid: Any, warmup: bool, **how: Any) -> None:
        name = f"{self.fn.__module__.rpartition('.')[2]}.{self.fn.__name__}"  # two files may have one of a name
        if compiled[name] == MOST and name.partition(".")[0] not in ROLES:
            return
        try:
            program = run(self, *given, grid=grid, warmup=True, **how)
            compiled[name] += 1
            if program.metadata.shared > SHARED:
                refused[name] = f"takes {program.metadata.shared:,} bytes of shared memory of {SHARED:,}"
        except Exception as error:  # whatever the compiler raises is what is looked for
            refused[name] = repr(error)[:500]

    with mock.patch.object(jit.JITFunction, "run", compile_only):
        for launch in launches:
            with contextlib.suppress(Exception):  # of numbers that nothing computed
                launch()
    return compiled, refused


if __name__ == "__main__":
    print(json.dumps(main()))
