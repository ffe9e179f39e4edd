"""Every Triton program compiles for a Hopper GPU, on a machine without one."""

import re

import pytest

from tests import programs
from tests.tree import ROOT

PROGRAMS = ROOT / "models/_kernels"


def launched():
    """Names of the programs that the code launches, `name[grid](...)`."""
    text = "".join(path.read_text(encoding="utf-8") for path in PROGRAMS.glob("*.py"))
    defined = set(re.findall(r"@triton\.jit.*\ndef (\w+)", text))
    return defined & set(re.findall(r"(\w+)\[(?:grid|\()", text))


@pytest.fixture(scope="module")
def told():
    return programs.told_by("tests.compiling", 600, interpret=False)


def test_the_compiler_refuses_none(told):
    assert told["refused"] == {}


def test_every_program_that_is_launched_was_compiled(told):
    assert len(launched()) > 20
    assert launched() - set(told["compiled"]) == set()
