"""Shapes are checked in processes of their own too, and Triton's programs are left as they are written."""

import pytest

from tests import programs

RIGHT = "from models import _retention\nimport torch\nq = torch.zeros(1, 2, 3, 4)\n"


@pytest.mark.parametrize("interpret", [True, False])
def test_a_wrong_shape_ends_the_process(tmp_path, monkeypatch, interpret):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "right.py").write_text(RIGHT + "_retention.recurrent(q, q, q)\nprint('[1]')")
    assert programs.told_by("right", 60, interpret) == [1]
    (tmp_path / "wrong.py").write_text(RIGHT + "_retention.recurrent(q, q[:, :1], q)\nprint('[1]')")
    with pytest.raises(AssertionError, match=r"TypeCheckError.*recurrent"):
        programs.told_by("wrong", 60, interpret)


def test_a_program_is_what_stands_in_its_file():
    skinny = pytest.importorskip("models._kernels._skinny", reason="Triton is for Linux", exc_type=ImportError)
    for program in (skinny.largest, skinny.one, skinny._normal):  # of many options and of none
        assert program.fn.__globals__ is vars(skinny), program
        assert not hasattr(program.fn, "__wrapped__")


def test_what_launches_a_program_is_checked():
    skinny = pytest.importorskip("models._kernels.skinny", reason="Triton is for Linux", exc_type=ImportError)
    assert hasattr(skinny.likeliest, "__wrapped__")
