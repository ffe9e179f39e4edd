"""Linear attention's running sums by Triton against float64: by Triton's interpreter, and as compiled on a GPU."""

import pytest
import torch

import models
from models import _sums
from models._cost import Shape
from tests import programs, totals_kernels
from tests.cases import off
from tests.programs import COMPILED, on_a_gpu

INTERPRETED = 1e-6
SUMMED = 1e-5  # of what is summed and kept in float32 on a GPU, whatever the inputs
LARGE = {
    "large": totals_kernels.Case(B=4, T=3000, H=8, F=64),
    "wide heads": totals_kernels.Case(B=2, T=2048, H=2, F=512),
    "one segment of many tokens": totals_kernels.Case(T=3000, H=5, F=108, L=3008),
    "one long sequence": totals_kernels.Case(T=16384, H=3, F=96),
}


@pytest.fixture(scope="module")
def interpreted():
    """What `tests.totals_kernels` found, in a process that had the interpreter from the start."""
    return programs.told_by("tests.totals_kernels", 170)


@pytest.mark.parametrize("case", totals_kernels.CASES)
def test_interpreted_programs_are_exact(interpreted, case):
    found = interpreted[case]
    assert len(found) >= 4
    assert {name: error for name, error in found.items() if not error <= INTERPRETED} == {}


@pytest.mark.parametrize("L", [0, 8, 24])
def test_a_segment_that_the_programs_cannot_walk_is_refused(L):
    totals = pytest.importorskip("models._kernels.totals", reason="Triton is for Linux", exc_type=ImportError)
    q = torch.rand(1, 20, 3, 8)
    with pytest.raises(ValueError, match=f"L is {L}; it must be a multiple of 16"):
        totals.totals(q, q, L=L)


def test_an_oracle_of_other_features_is_told_apart():
    """The errors that are asserted on are errors: half a percent more of every feature is seen in all of them."""
    case = totals_kernels.Case()
    given, back = totals_kernels.inputs(case, "cpu", torch.float64)
    right = totals_kernels.oracle(case, given, back)
    wrong = totals_kernels.oracle(case, [given[0] * 1.005, given[1] * 1.005, given[2]], back)
    assert right.keys() == {"total", "z", "dq", "dk", "dz"}
    assert min(off(wrong[name], right[name]) for name in right) > 1e-3


# What needs no program -------------------------------------------------------------------------------------------


def test_without_a_gpu_both_implementations_are_torchs():
    given, _ = totals_kernels.inputs(totals_kernels.Case(), "cpu", torch.float32)
    auto, plain = (totals_kernels.right(*given, True, name) for name in ("auto", "torch"))
    assert all(map(torch.equal, auto, plain))


@pytest.mark.parametrize("implementation", ["auto", "torch"])
def test_only_the_chunkwise_form_and_the_operation_may_take_the_programs(monkeypatch, implementation):
    asked, kept = [], _sums.totals
    monkeypatch.setattr(_sums, "totals", lambda *given: asked.append(given[4]) or kept(*given))
    kind, shape = models.load("linear_attention"), Shape(width=24, layers=1, heads=2, ffn_width=32, vocabulary=11)
    options = kind.Options(implementation=implementation)
    for form in ("parallel", "recurrent", "chunkwise"):
        kind(shape, options)(torch.zeros(2, 5, dtype=torch.long), form)
    run, given = kind.operation(shape, options, 2, 5, torch.empty(0))
    run(*given)
    assert asked == ["torch", "torch", implementation, implementation]


# On a GPU --------------------------------------------------------------------------------------------------------


@on_a_gpu
@pytest.mark.parametrize("dtype", COMPILED, ids=str)
@pytest.mark.parametrize("name", [*totals_kernels.CASES, *LARGE])
def test_compiled_programs_are_right(name, dtype):
    found = totals_kernels.errors((totals_kernels.CASES | LARGE)[name], "cuda", dtype)
    allowed = {each: COMPILED[dtype] if each.startswith(("dq", "dk")) else SUMMED for each in found}
    assert {each: error for each, error in found.items() if not error <= allowed[each]} == {}


@on_a_gpu
def test_results_repeat_bit_for_bit():
    from models._kernels import totals

    case = LARGE["large"]
    given, back = totals_kernels.inputs(case, "cuda", torch.bfloat16)
    first, again = (totals_kernels.results(totals.totals, case, given, back) for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)


@on_a_gpu
def test_what_the_programs_take_is_computed_by_them(monkeypatch):
    from models._kernels import totals

    called, kept = [], totals.totals
    monkeypatch.setattr(totals, "totals", lambda q, *rest: called.append(q.dtype) or kept(q, *rest))
    for dtype in (*COMPILED, torch.float64):
        given, _ = totals_kernels.inputs(totals_kernels.Case(), "cuda", dtype)
        for implementation in ("auto", "torch"):
            totals_kernels.right(*given, True, implementation)
    assert called == list(COMPILED)


@on_a_gpu
def test_a_model_is_the_same_by_both_implementations():
    """Logits, also of a padded sequence and of one that goes on from a state, and every gradient, in float32."""
    model, outcomes = models.load("linear_attention"), []
    shape = Shape(width=132, layers=2, heads=2, ffn_width=300, vocabulary=50)
    tokens = torch.randint(0, 50, (3, 700), generator=torch.Generator().manual_seed(0)).cuda()
    for implementation in ("auto", "torch"):
        torch.manual_seed(1)
        built = model(shape, model.Options(implementation=implementation)).cuda()
        logits, state = built.prefill(tokens[:, :300], padding=torch.tensor([0, 20, 299]).cuda())
        more, _ = built.prefill(tokens[:, 300:], state=state)
        (logits[:, -1].pow(2).sum() + more.pow(2).sum()).backward()
        outcomes.append([logits[0], logits[1, 20:], more, *(parameter.grad for parameter in built.parameters())])
    assert max(off(a, b) for a, b in zip(*outcomes, strict=True)) < 1e-4
