"""Triton programs of single tokens in mixers against float64: interpreted, and as compiled where there is a GPU."""

import dataclasses

import pytest
import torch

from tests import mixer_kernels, programs
from tests.programs import on_a_gpu

INTERPRETED, MODELS = 1e-6, 4e-6
COMPILED = {torch.bfloat16: 2e-2, torch.float16: 3e-3, torch.float32: 1e-5}
EXACT = ("S", "z", "m", "p", "q")  # kept and computed in float32 whatever the inputs


@pytest.fixture(scope="module")
def interpreted():
    """What `tests.mixer_kernels` found, in a process that had the interpreter from the start."""
    return programs.told_by("tests.mixer_kernels", 300)


@pytest.mark.parametrize("case", mixer_kernels.CASES)
def test_interpreted_programs_are_exact(interpreted, case):
    assert {name: error for name, error in interpreted[case].items() if not error <= INTERPRETED} == {}


@pytest.mark.parametrize(("name", "batch"), mixer_kernels.MODELS)
def test_a_model_steps_by_them_in_place(interpreted, name, batch):
    assert {told: error for told, error in interpreted[f"{name}: {batch}"].items() if not error <= MODELS} == {}


@on_a_gpu
@pytest.mark.parametrize("dtype", COMPILED, ids=str)
@pytest.mark.parametrize("sizes", [{}, {"D": 768}, {"D": 2048}, {"F": 256, "V": 256}, {"F": 64, "V": 108}], ids=str)
@pytest.mark.parametrize("case", mixer_kernels.CASES)
def test_compiled_programs_are_right(case, sizes, dtype):
    case, fields = mixer_kernels.CASES[case], dataclasses.fields(mixer_kernels.CASES[case])
    sizes = {name: size for name, size in sizes.items() if name in {field.name for field in fields}}
    if isinstance(case, mixer_kernels.Window) and sizes:
        sizes["H"] = 4
    found = mixer_kernels.errors(dataclasses.replace(case, **sizes), "cuda", dtype)
    allowed = {name: 1e-5 if name in EXACT else COMPILED[dtype] for name in found}
    assert {name: error for name, error in found.items() if not error <= allowed[name]} == {}
