"""The Triton programs that take whole rows against float64: interpreted anywhere, compiled where there is a GPU."""

import json
import math
import os
import subprocess
import sys

import pytest

from tests import row_kernels
from tests.test_kernels import COMPILED, INTERPRETED, on_a_gpu
from tests.tree import ROOT


@pytest.fixture(scope="module")
def interpreted():
    """What `tests.row_kernels` found, in a process that had the interpreter from the start."""
    pytest.importorskip("triton", reason="Triton is for Linux")
    environment = os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    asked = [sys.executable, "-m", "tests.row_kernels"]
    run = subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("sizes", row_kernels.LOGITS)
def test_interpreted_losses_are_exact(interpreted, sizes):
    found = interpreted[f"loss, {sizes}"]
    assert {name: error for name, error in found.items() if not error <= INTERPRETED} == {}
    assert found.keys() == {"losses", "gradient"}


def test_a_target_that_is_none_is_no_number(interpreted):
    first, above, below, last = interpreted["without a target"]
    assert first == last == pytest.approx(math.log(7))
    assert math.isnan(above)
    assert math.isnan(below)


@on_a_gpu
@pytest.mark.parametrize("dtype", COMPILED, ids=str)
@pytest.mark.parametrize("sizes", [*row_kernels.LOGITS.values(), (3000, 32_000), (70, 8192), (9, 50_257)], ids=str)
def test_compiled_losses_are_right(sizes, dtype):
    found = row_kernels.loss_errors(*sizes, "cuda", dtype)
    assert {name: error for name, error in found.items() if not error <= COMPILED[dtype]} == {}
