"""Runs a module with the shapes in signatures checked, as pytest checks them, in a process that is not pytest's.

TRITON_INTERPRET=1 python -m tests.checked tests.decode_kernels
"""

import functools
import importlib.util
import inspect
import re
import runpy
import sys
from collections.abc import Callable
from typing import Any

import jaxtyping

from tests.tree import project


def leave_programs_as_written() -> None:
    """Triton reads a program's source and looks its names up where the function was made: for a function wrapped by
    the checks that is a file of jaxtyping's, where they are not."""
    if importlib.util.find_spec("triton") is None:
        return
    import triton
    from triton.experimental import gluon

    for home in (triton, gluon):
        home.jit = functools.partial(_as_written, home.jit)
    _interpret_one_language()


def _as_written(kept: Callable[..., Any], program: Callable[..., Any] | None = None, **how: Any) -> Any:
    return functools.partial(_as_written, kept, **how) if program is None else kept(inspect.unwrap(program), **how)


def _interpret_one_language() -> None:
    """For the interpreter Triton replaces its language by numpy's operations when a program starts, and again whenever
    it calls a function, where all is replaced already: looking through the language for that took half of the time."""
    from triton import language
    from triton.runtime import interpreter

    kept, core = interpreter._patch_lang, language.core

    def replaced(program: Callable[..., Any]) -> Any:
        homes = [home for home in program.__globals__.values() if home is language or home is core]
        left = [language.tensor.__add__, *(home.load for home in homes)]
        return kept(program) if any(map(core.is_builtin, left)) or not homes else None

    interpreter._patch_lang = replaced


def main(module: str) -> None:
    options = project()["tool"]["pytest"]["ini_options"]["addopts"]
    *packages, checker = re.findall(r"--jaxtyping-packages=(\S+)", options)[0].split(",")
    leave_programs_as_written()
    jaxtyping.install_import_hook(packages, checker)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1])
