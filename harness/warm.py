"""What every process of a point would load and compute for itself, once in the server that they are forked from.

Nothing here may ask a device for anything: where a process has used CUDA, those that are forked from it cannot. Nothing
here fails: what another version of a library has no longer is loaded by each process, later.

Objects that the server holds are frozen: no process looks through them for garbage, which would take tenths of a second
and, as it writes to them, copy a third of their memory. Importing this file elsewhere does nothing.
"""

import contextlib
import gc
import importlib
import importlib.util
import pathlib
import pkgutil
import sys

SERVER = "multiprocessing.forkserver"  # stands in the command of such a server
DRIVERS = ("/dev/nvidiactl", "/dev/dxg")  # NVIDIA's, on Linux and on Windows' Linux; looking for them is no use of CUDA
LATE = ("numpy.ma",)  # loaded by the first median
COMPILER = ("triton.compiler.code_generator",)  # loaded by the first program that is compiled
KEYS = ("triton.runtime.cache", "triton.compiler.compiler")  # where `triton_key` is, or was


def up() -> None:
    """Loads what points need here, and has garbage collectors leave alone what is there now."""
    for name in LATE:
        _loaded(name)
    with contextlib.suppress(Exception):
        if programs_run():
            programs()
    gc.freeze()


def programs_run() -> bool:
    """Whether points of this machine may be computed by Triton programs."""
    import torch

    with_cuda = torch.version.cuda is not None and importlib.util.find_spec("triton") is not None
    return with_cuda and any(pathlib.Path(path).exists() for path in DRIVERS)


def programs() -> None:
    """Loads every program and the compiler, and has Triton hash its files, which it does once in a process."""
    from models import _kernels

    for found in pkgutil.iter_modules(_kernels.__path__):
        _loaded(f"{_kernels.__name__}.{found.name}")
    for name in COMPILER:
        _loaded(name)
    for name in KEYS:
        key = getattr(_loaded(name), "triton_key", None)
        with contextlib.suppress(Exception):
            if key is not None:
                key()


def _loaded(name: str) -> object:
    """A module, or None where it cannot be imported."""
    with contextlib.suppress(Exception):
        return importlib.import_module(name)
    return None


if SERVER in " ".join(sys.orig_argv):
    up()
