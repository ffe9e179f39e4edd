"""The Triton programs of decoding against float64: by Triton's interpreter, and as compiled where there is a GPU."""

import dataclasses
import itertools

import pytest
import torch

from tests import decode_kernels, programs, step_kernels
from tests.programs import COMPILED, on_a_gpu

INTERPRETED = 1e-6
NAMES = [
    *(f"read, {name}" for name in decode_kernels.READS),
    *(f"write, {name}" for name in decode_kernels.WRITES),
    *step_kernels.STEPS,
    "far out",
]


@pytest.fixture(scope="module")
def interpreted():
    """What `tests.decode_kernels` found, in a process that had the interpreter from the start."""
    return programs.told_by("tests.decode_kernels", 300)


@pytest.mark.parametrize("case", NAMES)
def test_interpreted_programs_are_exact(interpreted, case):
    assert {name: error for name, error in interpreted[case].items() if not error <= INTERPRETED} == {}


def test_an_interpreted_step_rounds_as_torch_does(interpreted):
    assert len(interpreted["rounding"]) == 12
    assert set(interpreted["rounding"].values()) == {0.0}


@pytest.mark.parametrize("case", step_kernels.ROUNDED)
def test_an_interpreted_state_in_passes_is_right(interpreted, case):
    """To a neighbour: within a step of 2^-8 of the exact one."""
    found = interpreted[f"rounded, {case}"]
    assert found["o"] <= INTERPRETED, "read before it is rounded"
    assert 1e-4 < found["state"] < 2**-8


def test_interpreted_choices_are_the_first_of_the_largest(interpreted):
    assert interpreted["likeliest"] == {"token": 0, "position": 0}


def test_interpreted_lookups_are_those_of_their_tokens(interpreted):
    assert interpreted["rows"] == {"known": 0, "unknown": 0}


@pytest.mark.parametrize(
    ("most", "N", "wanted"), [(16, 256, 2), (16, 32000, 16), (64, 512, 4), (2, 11008, 2), (0, 5000, 1), (8, 100, 1)]
)
def test_no_multiprocessor_is_left_without_outputs_where_there_are_some(most, N, wanted):
    skinny = pytest.importorskip("models._kernels.skinny", reason="Triton is for Linux", exc_type=ImportError)
    assert skinny.share(most, N, 132) == wanted
    assert wanted in (1, most) or N // wanted >= 132 // 2, "a power of two is at most twice what it should be"


@pytest.mark.parametrize("crowded", [False, True])
@pytest.mark.parametrize("K", [16, 200, 1024, 5464])
def test_products_of_a_few_rows_are_cut_to_what_a_program_may_hold(K, crowded):
    skinny = pytest.importorskip("models._kernels.skinny", reason="Triton is for Linux", exc_type=ImportError)
    for B, S, rows, item in itertools.product([2, 17, skinny.MOST], [1, 3], [64, 128], [2, 4]):
        BB, BK, ahead, stages = skinny.cut(B, K, S, rows, item, crowded)
        assert BB >= B
        assert ahead % BK == 0
        assert ahead * S <= K + BK, "no more than every part has"
        assert ahead * (BB + rows) <= skinny.AHEAD // (1 + crowded)
        assert stages == 2 or stages * (BB + rows) * BK * item <= skinny.SHARED


@on_a_gpu
@pytest.mark.parametrize("dtype", COMPILED, ids=str)
def test_compiled_choices_are_the_first_of_the_largest(dtype):
    assert decode_kernels.likeliest_errors("cuda", dtype) == {"token": 0, "position": 0}


@on_a_gpu
@pytest.mark.parametrize("dtype", COMPILED, ids=str)
def test_compiled_lookups_are_those_of_their_tokens(dtype):
    assert decode_kernels.row_errors("cuda", dtype) == {"known": 0, "unknown": 0}


@on_a_gpu
def test_compiled_rotations_far_out_are_right():
    assert max(decode_kernels.angle_errors("cuda").values()) < 1e-6


@on_a_gpu
@pytest.mark.parametrize("dtype", COMPILED, ids=str)
@pytest.mark.parametrize("size", [120, 768, 3072])
@pytest.mark.parametrize("case", [*decode_kernels.READS.values(), *decode_kernels.WRITES.values()], ids=str)
def test_compiled_maps_are_right(case, size, dtype):
    if isinstance(case, decode_kernels.Read):
        found = decode_kernels.read_errors(dataclasses.replace(case, D=size, N=1000), "cuda", dtype)
    else:
        found = decode_kernels.write_errors(dataclasses.replace(case, K=size, D=1000), "cuda", dtype)
    assert {name: error for name, error in found.items() if not error <= COMPILED[dtype]} == {}


@on_a_gpu
@pytest.mark.parametrize("dtype", COMPILED, ids=str)
@pytest.mark.parametrize("sizes", [(32, 40), (256, 512), (64, 108)], ids=str)
@pytest.mark.parametrize("case", step_kernels.STEPS)
def test_compiled_steps_are_right(case, sizes, dtype):
    case = dataclasses.replace(step_kernels.STEPS[case], K=sizes[0], V=sizes[1])
    found = step_kernels.step_errors(case, "cuda", dtype)
    assert {name: error for name, error in found.items() if not error <= 1e-5} == {}, "all of it is in float32"


@on_a_gpu
@pytest.mark.parametrize("case", [step_kernels.Step(B=8, K=128, V=256), step_kernels.Step(B=300, K=192, V=300)])
def test_a_state_in_bfloat16_is_rounded_up_or_down(case):
    """To a neighbour: within a step of 2^-8 of the exact one; and evenly, so that the mean is right."""
    found = step_kernels.step_errors(case, "cuda", torch.bfloat16, torch.bfloat16)
    assert found["o"] <= 1e-5, "read before it is rounded"
    assert 1e-3 < found["state"] < 2**-8


@on_a_gpu
def test_a_compiled_step_rounds_as_torch_does():
    assert set(step_kernels.rounding_errors("cuda").values()) == {0.0}
