"""The Triton programs that take whole rows against float64: interpreted anywhere, compiled where there is a GPU."""

import copy as copying
import math

import pytest
import torch

import models
from models._cost import Shape
from models._layers import added
from models._norm import RMSNorm
from tests import programs, row_kernels
from tests.cases import off
from tests.programs import COMPILED, on_a_gpu

INTERPRETED = 1e-6  # in float32, of sums in another order


@pytest.fixture(scope="module")
def interpreted():
    """What `tests.row_kernels` found, in a process that had the interpreter from the start."""
    return programs.told_by("tests.row_kernels", 150)


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


@pytest.mark.parametrize("case", ["rotation", "gates", "quotients"])
def test_interpreted_passes_are_exact(interpreted, case):
    found = interpreted[case]
    assert len(found) >= 5
    assert {name: error for name, error in found.items() if not error <= INTERPRETED} == {}


def test_interpreted_rows_may_be_far_apart(interpreted):
    assert interpreted["far"] == dict.fromkeys(("gate", "d gate", "norm", "d norm", "quotient", "d quotient"), 0.0)


@pytest.mark.parametrize("case", row_kernels.NORMS)
def test_interpreted_norms_are_exact(interpreted, case):
    found = interpreted[f"norm, {case}"]
    assert {name: error for name, error in found.items() if not error <= INTERPRETED} == {}
    assert len(found) == 3 * (5 + row_kernels.NORMS[case][2]) - (1 + row_kernels.NORMS[case][2])


# On a GPU --------------------------------------------------------------------------------------------------------


@on_a_gpu
@pytest.mark.parametrize("dtype", COMPILED, ids=str)
@pytest.mark.parametrize("sizes", [*row_kernels.LOGITS.values(), (3000, 32_000), (70, 8192), (9, 50_257)], ids=str)
def test_compiled_losses_are_right(sizes, dtype):
    found = row_kernels.loss_errors(*sizes, "cuda", dtype)
    assert {name: error for name, error in found.items() if not error <= COMPILED[dtype]} == {}


@on_a_gpu
@pytest.mark.parametrize("dtype", COMPILED, ids=str)
@pytest.mark.parametrize(
    "case", [*row_kernels.NORMS.values(), (3000, 2048, False), (1501, 768, True), (700, 5120, False)], ids=str
)
def test_compiled_norms_are_right(case, dtype):
    found = row_kernels.norm_errors(*case, "cuda", dtype)
    assert {name: error for name, error in found.items() if not error <= COMPILED[dtype]} == {}


@on_a_gpu
@pytest.mark.parametrize("dtype", COMPILED, ids=str)
@pytest.mark.parametrize("errors", [row_kernels.turn_errors, row_kernels.gate_errors, row_kernels.quotient_errors])
def test_compiled_passes_are_right(errors, dtype):
    assert {name: error for name, error in errors("cuda", dtype).items() if not error <= COMPILED[dtype]} == {}


@on_a_gpu
@pytest.mark.parametrize("norm", [RMSNorm(64), torch.nn.LayerNorm(64)], ids=lambda norm: type(norm).__name__)
def test_sums_of_short_types_are_normed_by_one_program_with_the_same_result(norm, monkeypatch):
    from models._kernels import norm as kernel

    called, add_norm = [], kernel.add_norm
    monkeypatch.setattr(kernel, "add_norm", lambda *given: called.append(given) or add_norm(*given))
    norm = norm.to("cuda", torch.bfloat16)
    x, delta = torch.randn(2, 3, 5, 64, device="cuda", dtype=torch.bfloat16)
    total, y = added(x, delta, norm)
    assert len(called) == 1
    assert torch.equal(total, x + delta)
    assert off(y, norm(x + delta)) < 5e-3


@on_a_gpu
@pytest.mark.parametrize("name", models.names())
def test_a_model_on_a_gpu_learns_as_in_float64(name):
    """Loss and gradients of a whole model in bfloat16, every program in its place, within what rounding does."""
    torch.manual_seed(0)
    kind = models.load(name)
    model = kind(Shape(128, 2, 2, 96, vocabulary=300, max_length=256), kind.Options()).cuda()
    drawn = torch.randint(0, 300, (4, 201), device="cuda")
    found = {}
    for dtype in (torch.float64, torch.bfloat16):
        copy = copying.deepcopy(model).to(dtype)
        loss = copy.loss(drawn[:, :-1], drawn[:, 1:])
        loss.backward()
        found[dtype] = loss, torch.cat([parameter.grad.flatten() for parameter in copy.parameters()])
    (loss, gradient), (right, exact) = found[torch.bfloat16], found[torch.float64]
    assert off(loss, right) < 5e-3
    assert off(gradient, exact) < 5e-2
