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
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver, jit

from models import _kernels

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


def cases() -> list[Callable[[], Any]]:
    """Every launch that the cases of the other files make."""
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

    with_cases = attend_kernels, banded_kernels, mixer_kernels, retention_kernels, totals_kernels
    tables = [
        (decode_kernels.read_errors, decode_kernels.READS),
        (decode_kernels.write_errors, decode_kernels.WRITES),
        (step_kernels.step_errors, step_kernels.STEPS),
        *((module.errors, module.CASES) for module in (*with_cases, wkv_kernels)),
    ]
    found: list[Callable[[], Any]] = [
        lambda errors=errors, case=case: errors(case, "cpu", DTYPE)
        for errors, table in tables
        for case in table.values()
    ]
    found += [lambda case=case: row_kernels.norm_errors(*case, dtype=DTYPE) for case in row_kernels.NORMS.values()]
    found += [lambda case=case: row_kernels.loss_errors(*case, dtype=DTYPE) for case in row_kernels.LOGITS.values()]
    passes = row_kernels.turn_errors, row_kernels.gate_errors, row_kernels.quotient_errors, wkv_kernels.shift_errors
    choices = decode_kernels.likeliest_errors, decode_kernels.angle_errors
    found += [lambda made=made: made("cpu", DTYPE) for made in (*passes, *choices)]
    found.append(step_kernels.rounding_errors)
    found += [lambda case=case: step_kernels.rounded_errors(case) for case in step_kernels.ROUNDED.values()]
    Case = retention_kernels.Case
    for K, V in (*plans.SPECIALISED, (256, 432)):  # several walks, states kept on the way, and as models are trained
        for case in (
            Case(H=1, T=600, K=K, V=V, L=256),
            Case(H=1, T=1100, K=K, V=V),
            Case(H=1, T=600, K=K, V=V, learned=False, state=False, final=False),
        ):
            found.append(lambda case=case: retention_kernels.errors(case, "cpu", DTYPE))
    return found


def main() -> dict[str, dict[str, Any]]:
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

    jit.JITFunction.run = compile_only
    driver.set_active(NoDriver())
    for found in pkgutil.iter_modules(_kernels.__path__):
        module = importlib.import_module(f"models._kernels.{found.name}")
        if hasattr(module, "early"):
            module.early = lambda device: (True, {"launch_pdl": True})
        if hasattr(module, "specialised"):
            module.specialised = lambda device: True
    for launch in cases():
        with contextlib.suppress(Exception):  # of numbers that nothing computed
            launch()
    return {"compiled": dict(compiled), "refused": refused}


if __name__ == "__main__":
    print(json.dumps(main()))
