"""Shapes are checked in processes of their own too, which share work, and Triton's programs are left as written."""

import pytest

from tests import programs

RIGHT = "from models import _retention\nimport torch\nq = torch.zeros(1, 2, 3, 4)\n"
SHARED = """
import json, os
from triton import language
from models._kernels import skinny
from tests.cases import each
from tests.decode_kernels import likeliest_errors
first = os.getpid()
work = {"elsewhere": lambda: os.getpid() != first, "two": lambda: 2, "program": likeliest_errors}
told = list(each(work).items())
likeliest_errors()
told.append(language.core.is_builtin(language.load))
try:
    each({"right": lambda: 1, "wrong": lambda: 1 / 0})
except ZeroDivisionError as error:
    told.append(str(error))
print(json.dumps(told))
"""


@pytest.mark.parametrize("interpret", [True, False])
def test_a_wrong_shape_ends_the_process(tmp_path, monkeypatch, interpret):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "right.py").write_text(RIGHT + "_retention.recurrent(q, q, q)\nprint('[1]')")
    assert programs.told_by("right", 60, interpret) == [1]
    (tmp_path / "wrong.py").write_text(RIGHT + "_retention.recurrent(q, q[:, :1], q)\nprint('[1]')")
    with pytest.raises(AssertionError, match=r"TypeCheckError.*recurrent"):
        programs.told_by("wrong", 60, interpret)


def test_work_is_done_by_other_processes_whose_errors_are_told(tmp_path, monkeypatch):
    """And after a program Triton's language is again what it was."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "shared.py").write_text(SHARED)
    *done, put_back, reason = programs.told_by("shared", 60)
    assert done == [["elsewhere", True], ["two", 2], ["program", {"token": 0, "position": 0}]]
    assert put_back
    assert reason == "division by zero"


def test_a_program_is_what_stands_in_its_file():
    skinny = pytest.importorskip("models._kernels._skinny", reason="Triton is for Linux", exc_type=ImportError)
    for program in (skinny.largest, skinny.one, skinny._normal):  # of many options and of none
        assert program.fn.__globals__ is vars(skinny), program
        assert not hasattr(program.fn, "__wrapped__")


def test_what_launches_a_program_is_checked():
    skinny = pytest.importorskip("models._kernels.skinny", reason="Triton is for Linux", exc_type=ImportError)
    assert hasattr(skinny.likeliest, "__wrapped__")
