"""AFT's windows by Triton against float64: by Triton's interpreter on any machine, as compiled where there is a GPU."""

import dataclasses

import pytest
import torch

import models
from models._cost import Shape
from tests import banded_kernels, programs
from tests.banded_kernels import Case
from tests.cases import off
from tests.programs import COMPILED, on_a_gpu

INTERPRETED = 2e-6
LARGE = {
    "large": Case(B=2, T=2000, H=4, D=512, W=32),
    "whole blocks": Case(B=2, T=2048, H=4, D=512, W=32, L=128),
    "long": Case(B=1, T=9000, H=3, D=192, W=32, rise=0.01),
    "long, a state": Case(B=1, T=3000, H=3, D=192, W=32, seen=40),
}


def beyond(found, limit):
    return {name: error for name, error in found.items() if not error <= limit}


@pytest.fixture(scope="module")
def interpreted():
    """What `tests.banded_kernels` found, in a process that had the interpreter from the start."""
    return programs.told_by("tests.banded_kernels", 170)


@pytest.mark.parametrize("case", banded_kernels.CASES)
def test_interpreted_programs_are_exact(interpreted, case):
    found = interpreted[case]
    assert len(found) >= 4
    assert beyond(found, INTERPRETED) == {}


@pytest.mark.parametrize("L", [0, 8, 40])
def test_a_segment_that_the_programs_cannot_walk_is_refused(L):
    banded = pytest.importorskip("models._kernels.banded", reason="Triton is for Linux", exc_type=ImportError)
    k = torch.randn(1, 20, 6)
    with pytest.raises(ValueError, match=f"L is {L}; it must be a multiple of 16"):
        banded.banded(k, k, torch.randn(2, 12), L=L)


def test_a_window_that_no_block_holds_is_refused():
    banded = pytest.importorskip("models._kernels.banded", reason="Triton is for Linux", exc_type=ImportError)
    k = torch.randn(1, 20, 6)
    with pytest.raises(ValueError, match="the window is 65; it must be at most 64"):
        banded.banded(k, k, torch.randn(2, 65))


def test_an_oracle_of_other_biases_is_told_apart():
    """The errors that are asserted on are errors: biases that are half a percent larger are seen in all of them."""
    case = Case()
    given = [x.detach().double().requires_grad_() for x in banded_kernels.inputs(case, "cpu", torch.float64)]
    wrong = [*given[:2], (given[2] + 5e-3 * given[2]).detach().requires_grad_()]
    right, other = (banded_kernels.results(case, each, "recurrent") for each in (given, wrong))
    found = {name: off(other[name], right[name]) for name in right}
    assert beyond(found, INTERPRETED).keys() == {"y", "dk", "dv", "dw"}


# On a GPU --------------------------------------------------------------------------------------------------------


@on_a_gpu
@pytest.mark.parametrize("dtype", COMPILED, ids=str)
@pytest.mark.parametrize("name", [*banded_kernels.CASES, *LARGE])
def test_compiled_programs_are_right(name, dtype):
    case = (banded_kernels.CASES | LARGE)[name]
    if dtype == torch.float16 and (case.seen is not None or case.padded):
        pytest.skip("no number of float16 is as low as that of padding")
    limit = 1e-4 if dtype == torch.float32 and name in LARGE else COMPILED[dtype]
    found = banded_kernels.errors(case, "cuda", dtype)
    assert beyond(found, limit) == {}


@on_a_gpu
def test_results_repeat_bit_for_bit():
    case = LARGE["large"]
    given = banded_kernels.inputs(case, "cuda", torch.bfloat16)
    first, again = (banded_kernels.results(case, given, "chunkwise") for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


@on_a_gpu
def test_what_the_programs_take_is_computed_by_them(monkeypatch):
    from models._kernels import banded

    called, kept = [], banded.banded
    monkeypatch.setattr(banded, "banded", lambda k, *rest: called.append(k.dtype) or kept(k, *rest))
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        case = Case(W=32)
        given = banded_kernels.inputs(case, "cuda", dtype)
        for form in ("chunkwise", "parallel", "recurrent"):
            banded_kernels.averages(case, given, form)
        with torch.no_grad():
            banded_kernels.averages(dataclasses.replace(case, seen=9), given, "chunkwise")
        banded_kernels.averages(dataclasses.replace(case, seen=9), given, "chunkwise")  # with gradients to a state
    assert called == [torch.float32] * 2 + [torch.bfloat16] * 2


@on_a_gpu
def test_a_model_is_the_same_by_both_implementations():
    """Logits, also of a padded sequence and of one that goes on from a state, and every gradient, in float32."""
    model, outcomes = models.load("aft"), []
    shape = Shape(width=130, layers=2, heads=2, ffn_width=300, vocabulary=50)
    tokens = torch.randint(0, 50, (3, 700), generator=torch.Generator().manual_seed(0)).cuda()
    for implementation in ("auto", "torch"):
        torch.manual_seed(1)
        built = model(shape, model.Options(implementation=implementation))
        for parameter in built.parameters():
            parameter.data.add_(0.1 * torch.randn_like(parameter))
        built = built.cuda()
        with torch.no_grad():
            logits, state = built.prefill(tokens[:, :300], padding=torch.tensor([0, 20, 299]).cuda())
            more, _ = built.prefill(tokens[:, 300:], state=state)
        loss = built.loss(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        gradients = [parameter.grad for parameter in built.parameters()]
        outcomes.append([logits[0], logits[1, 20:], more, loss, *gradients])
    assert max(off(a, b) for a, b in zip(*outcomes, strict=True)) < 1e-4
