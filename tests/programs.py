"""What tests of Triton programs share: a process of their own for the interpreter or the compiler, and limits."""

import json
import os
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
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])
