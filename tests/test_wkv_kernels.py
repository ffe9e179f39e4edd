"""WKV's Triton programs against float64: by Triton's interpreter on any machine, as compiled where there is a GPU."""

import pytest
import torch

import models
from models import _wkv
from models._cost import Shape
from tests import programs, wkv_kernels
from tests.cases import off
from tests.programs import COMPILED, on_a_gpu

INTERPRETED = 2e-6
ROUNDED = 1e-4  # in float32 over thousands of tokens: the maximum, some 50, is rounded at each, and so is a power of 2
CANCELS = {"dm": 10}  # the difference of two gradients: looser by this factor, as it is in float32 for torch's own
LARGE = {
    "large": wkv_kernels.Case(B=4, T=3000, C=768),
    "one segment of many tokens": wkv_kernels.Case(B=4, T=3000, C=768, L=3008, slow=1e-2),
    "segments of many blocks": wkv_kernels.Case(B=2, T=1023, C=130, L=256, slow=1e-3),
}


def beyond(found, limit):
    return {name: error for name, error in found.items() if not error <= limit * CANCELS.get(name, 1)}


@pytest.fixture(scope="module")
def interpreted():
    """What `tests.wkv_kernels` found, in a process that had the interpreter from the start."""
    return programs.told_by("tests.wkv_kernels", 170)


@pytest.mark.parametrize("case", [*wkv_kernels.CASES, "token shift"])
def test_interpreted_programs_are_exact(interpreted, case):
    found = interpreted[case]
    assert len(found) >= 4
    assert beyond(found, INTERPRETED) == {}


@pytest.mark.parametrize("L", [0, 8, 24])
def test_a_segment_that_the_programs_cannot_walk_is_refused(L):
    wkv = pytest.importorskip("models._kernels.wkv", reason="Triton is for Linux", exc_type=ImportError)
    k = torch.randn(1, 20, 3)
    with pytest.raises(ValueError, match=f"L is {L}; it must be a multiple of 16"):
        wkv.wkv(k, k, k[0, 0], k[0, 0], _wkv.empty(1, 3, k), L)


def test_an_oracle_of_another_decay_is_told_apart():
    """The errors that are asserted on are errors: half a percent less memory in each channel is seen in all of them."""
    case = wkv_kernels.Case(T=60)
    given = wkv_kernels.inputs(case, "cpu", torch.float64)
    right, unit = wkv_kernels.oracle(case, given)
    given[2] = (given[2] - 5e-3).detach().requires_grad_()

    def run(*arguments):
        return _wkv.wkv(*arguments, "recurrent")

    wrong = wkv_kernels.results(run, case, given, unit)
    found = {name: off(a, b) for name, a, b in zip(wkv_kernels.NAMES, wrong, right, strict=True)}
    assert beyond(found, INTERPRETED).keys() == set(wkv_kernels.NAMES)


@pytest.mark.parametrize("form", ["scan", "chunkwise"])
def test_without_a_gpu_both_implementations_are_torchs(form):
    k, v, w, u, *state = wkv_kernels.inputs(wkv_kernels.Case(), "cpu", torch.float32)
    auto, plain = (_wkv.wkv(k, v, w, u, tuple(state), form, name) for name in _wkv.IMPLEMENTATIONS)
    assert torch.equal(auto[0], plain[0])
    assert all(map(torch.equal, auto[1], plain[1]))


# On a GPU --------------------------------------------------------------------------------------------------------


@on_a_gpu
@pytest.mark.parametrize("dtype", COMPILED, ids=str)
@pytest.mark.parametrize("name", [*wkv_kernels.CASES, *LARGE])
def test_compiled_programs_are_right(name, dtype):
    case = (wkv_kernels.CASES | LARGE)[name]
    if case.padded and dtype == torch.float16:
        pytest.skip("no number of float16 is as low as that of padding")
    limit = ROUNDED if dtype == torch.float32 else COMPILED[dtype]
    assert beyond(wkv_kernels.errors(case, "cuda", dtype), limit) == {}


@on_a_gpu
@pytest.mark.parametrize("dtype", COMPILED, ids=str)
@pytest.mark.parametrize("D", [768, 2049])
def test_compiled_token_shift_is_right(dtype, D):
    assert beyond(wkv_kernels.shift_errors("cuda", dtype, D), COMPILED[dtype]) == {}


@on_a_gpu
def test_results_repeat_bit_for_bit():
    from models._kernels import wkv

    case = LARGE["large"]
    given = wkv_kernels.inputs(case, "cuda", torch.bfloat16)
    unit = torch.zeros_like(given[4])
    first, again = (wkv_kernels.results(lambda *a: wkv.wkv(*a), case, given, unit) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@on_a_gpu
def test_what_the_programs_take_is_computed_by_them(monkeypatch):
    from models._kernels import wkv

    called, kept = [], wkv.wkv
    monkeypatch.setattr(wkv, "wkv", lambda k, *rest: called.append(k.dtype) or kept(k, *rest))
    for dtype in (*COMPILED, torch.float64):
        k, v, w, u, *state = wkv_kernels.inputs(wkv_kernels.Case(), "cuda", dtype)
        state = _wkv.empty(*state[0].shape, k)
        for form in ("scan", "chunkwise"):
            _wkv.wkv(k, v, w, u, state, form)
        _wkv.wkv(k, v, w, u, state, "recurrent")
        _wkv.wkv(k, v, w, u, state, "scan", "torch")
    assert called == [dtype for dtype in COMPILED for _ in range(2)]


@on_a_gpu
@pytest.mark.parametrize(("name", "changed"), [("rwkv", {}), ("aft", {"variant": "simple"})])
def test_models_are_the_same_by_both_implementations(name, changed):
    """Logits, also of a padded sequence and of one that goes on from a state, and every gradient, in float32."""
    model, outcomes = models.load(name), []
    shape = Shape(width=130, layers=2, heads=2, ffn_width=300, vocabulary=50)
    tokens = torch.randint(0, 50, (3, 700), generator=torch.Generator().manual_seed(0)).cuda()
    for implementation in _wkv.IMPLEMENTATIONS:
        torch.manual_seed(1)
        built = model(shape, model.Options(implementation=implementation, **changed))
        for parameter in built.parameters():
            parameter.data.add_(0.1 * torch.randn_like(parameter))
        built = built.cuda()
        logits, state = built.prefill(tokens[:, :300], padding=torch.tensor([0, 20, 299]).cuda())
        more, _ = built.prefill(tokens[:, 300:], state=state)
        (logits[:, -1].pow(2).sum() + more.pow(2).sum()).backward()
        outcomes.append([logits[0], logits[1, 20:], more, *(parameter.grad for parameter in built.parameters())])
    assert max(off(a, b) for a, b in zip(*outcomes, strict=True)) < 1e-4
