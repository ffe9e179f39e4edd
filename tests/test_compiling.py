"""Every Triton program compiles for a Hopper GPU, on a machine without one."""

import re

import pytest

from tests import programs
from tests.tree import ROOT

PROGRAMS = ROOT / "models/_kernels"
pytestmark = pytest.mark.timeout(600)  # with nothing in Triton's cache yet


def launched():
    """The programs that the code launches, `name[grid](...)` where they stand or `_file.name[grid](...)`: file.name."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in PROGRAMS.glob("*.py")}
    defined = {
        f"{file}.{name}"
        for file, text in texts.items()
        for name in re.findall(r"@(?:triton|gluon)\.jit.*\ndef (\w+)", text)
    }
    called = set()
    for file, text in texts.items():
        for module, name in re.findall(r"(?:\b(\w+)\.)?(\w+)\[(?:grid|\()", text):
            called.add(f"{module or file}.{name}")
    return defined & called


@pytest.fixture(scope="module")
def told():
    return programs.told_by("tests.compiling", 600, interpret=False)


def test_the_compiler_refuses_none(told):
    assert told["refused"] == {}


def test_every_program_that_is_launched_was_compiled(told):
    assert len(launched()) > 30
    assert launched() - set(told["compiled"]) == set()
