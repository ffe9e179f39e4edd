"""What tests of Triton programs share: a process of their own for the interpreter or the compiler, and limits."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
import torch

from tests.tree import ROOT

COMPILED = {torch.bfloat16: 1e-2, torch.float16: 2e-3, torch.float32: 1e-5}  # relative errors on a GPU
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def told_by(module: str, seconds: int, interpret: bool = True) -> Any:
    """What `python -m <module>` prints as JSON, with the interpreter from the start or without it, and no GPU. Shapes
    are checked there as they are here."""
    pytest.importorskip("triton", reason="Triton is for Linux")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"CUDA_VISIBLE_DEVICES": ""} | ({"TRITON_INTERPRET": "1"} if interpret else {})
    command = [sys.executable, "-m", "tests.checked", module]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    run = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **pipes)
    try:
        printed, told = run.communicate(timeout=seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)  # with the processes that it started
    assert run.returncode == 0, told[-3000:]
    return json.loads(printed.splitlines()[-1])
