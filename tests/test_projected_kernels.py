"""The Triton program of a projection and a step: by Triton's interpreter, and as compiled where there is a GPU."""

import dataclasses

import pytest
import torch

from tests import programs, projected_kernels
from tests.programs import COMPILED, on_a_gpu

SHORT = [torch.bfloat16, torch.float16]


@pytest.fixture(scope="module")
def interpreted():
    """What `tests.projected_kernels` found, in a process that had the interpreter from the start."""
    return programs.told_by("tests.projected_kernels", 120)


@pytest.mark.parametrize("case", projected_kernels.CASES)
def test_an_interpreted_program_is_as_the_two(interpreted, case):
    assert interpreted[case].keys() == {"total", "y", "o", "state", "left"}
    assert {name: error for name, error in interpreted[case].items() if not error <= 1e-6} == {}


@pytest.mark.parametrize(
    ("sizes", "outputs"),
    [((2048, 256, 432), 16), ((2048, 128, 432), 16), ((512, 128, 216), 8), ((768, 96, 96), 32), ((64, 32, 54), 0),
     ((2560, 256, 432), 0), ((1024, 4096, 4096), 0)],
    ids=str,
)  # fmt: skip
def test_a_program_has_outputs_of_one_head_alone(sizes, outputs):
    projected = pytest.importorskip("models._kernels.projected", reason="Triton is for Linux", exc_type=ImportError)
    assert projected.outputs(*sizes) == outputs


@on_a_gpu
@pytest.mark.parametrize("dtype", SHORT, ids=str)
@pytest.mark.parametrize("sizes", [(512, 128, 216), (2048, 256, 432), (768, 96, 96), (2048, 64, 512)], ids=str)
@pytest.mark.parametrize("case", projected_kernels.CASES)
def test_the_compiled_program_is_as_the_two(case, sizes, dtype):
    """Over many steps, as who waits for whom differs from one to the next."""
    case = dataclasses.replace(projected_kernels.CASES[case], D=sizes[0], K=sizes[1], V=sizes[2])
    found = projected_kernels.errors(case, "cuda", dtype, steps=200)
    assert found.pop("y") <= COMPILED[dtype]
    assert {name: error for name, error in found.items() if not error <= 1e-5} == {}, "the same sums, in another order"
