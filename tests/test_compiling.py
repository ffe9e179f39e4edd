"""Every Triton program compiles for a Hopper GPU, on a machine without one."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.tree import ROOT

PROGRAMS = ROOT / "models/_kernels"


def launched():
    """Names of the programs that the code launches, `name[grid](...)`."""
    text = "".join(path.read_text(encoding="utf-8") for path in PROGRAMS.glob("*.py"))
    defined = set(re.findall(r"@triton\.jit.*\ndef (\w+)", text))
    return defined & set(re.findall(r"(\w+)\[(?:grid|\()", text))


@pytest.fixture(scope="module")
def told():
    pytest.importorskip("triton", reason="Triton is for Linux")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    run = subprocess.run(
        [sys.executable, "-m", "tests.compiling"],
        cwd=ROOT,
        env=environment | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


def test_the_compiler_refuses_none(told):
    assert told["refused"] == {}


def test_every_program_that_is_launched_was_compiled(told):
    assert len(launched()) > 20
    assert launched() - set(told["compiled"]) == set()
