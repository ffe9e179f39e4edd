"""Products with the parts of one weight: torch's own off the GPU, and the same gradients from those of a GPU."""

import pytest
import torch
from torch.nn import functional as F

from models import _projection
from tests.cases import off, poisoned
from tests.programs import on_a_gpu

PARTS, D = [7, 5, 11], 24


def given(dtype=torch.float64, device="cpu", parts=PARTS):
    made = torch.Generator().manual_seed(4)
    shapes = [(3, 13, D), (sum(parts), D), *((3, 13, part) for part in parts)]
    x, weight, *back = (torch.randn(shape, generator=made).to(device, dtype) for shape in shapes)
    return [x.requires_grad_(), weight.requires_grad_()], back


def in_one(x, weight, parts):
    return F.linear(x, weight).split(parts, -1)


def ours(x, weight, parts):
    return _projection._Projected.apply(x, weight, parts)


def results(run, inputs, back, parts=PARTS):
    """Products, and the gradients of both inputs, which come in the memory of heads before tokens."""
    out = run(*inputs, parts)
    back = [dy.transpose(0, 1).contiguous().transpose(0, 1) for dy in back]
    return [*out, *torch.autograd.grad(out, inputs, back)]


@pytest.mark.parametrize("run", [_projection.projected, ours])
def test_products_and_gradients_are_those_of_one_product(run):
    inputs, back = given()
    got, right = results(run, inputs, back), results(in_one, inputs, back)
    assert max(map(off, got, right)) < 1e-14
    assert [each.shape for each in got] == [each.shape for each in right]
    assert all(part.is_contiguous() for part in got[: len(PARTS)])
    assert torch.autograd.gradcheck(lambda *inputs: run(*inputs, PARTS), [inputs[0][:1, :4], inputs[1]])


def test_without_gradients_parts_are_views_of_one_product():
    (x, weight), _ = given(torch.float32)
    with torch.no_grad():
        got, right = _projection.projected(x, weight, PARTS), in_one(x, weight, PARTS)
    assert all(map(torch.equal, got, right))
    assert len({part.untyped_storage().data_ptr() for part in got}) == 1


def test_a_lost_part_would_be_seen():
    inputs, back = given()
    right = results(in_one, inputs, back)
    wrong = results(ours, inputs, [*back[:2], 0 * back[2]])
    assert min(map(off, wrong[3:], right[3:])) > 0.1


def test_what_memory_holds_before_is_not_read():
    inputs, back = given()
    with poisoned():
        assert torch.empty(3).isnan().all()
        assert all(each.isfinite().all() for each in results(ours, inputs, back))


@pytest.mark.parametrize("wanted", [0, 1])
def test_one_gradient_is_made_alone(wanted):
    inputs, back = given()
    right = results(in_one, inputs, back)[len(PARTS) + wanted]
    alone = [x if n == wanted else x.detach() for n, x in enumerate(inputs)]
    out = ours(*alone, PARTS)
    assert off(torch.autograd.grad(out, alone[wanted], back)[0], right) < 1e-14
    partly = ours(*alone, PARTS)[1]  # and the others are not used at all
    single = [in_one(*alone, PARTS)[1], partly]
    expected, got = (torch.autograd.grad(each, alone[wanted], back[1])[0] for each in single)
    assert off(got, expected) < 1e-14


def test_off_the_gpu_it_is_torch_bit_for_bit():
    inputs, back = given(torch.float32)

    def plain(x, weight, parts):
        return [F.linear(x, part) for part in weight.split(parts)]

    assert all(map(torch.equal, results(_projection.projected, inputs, back), results(plain, inputs, back)))


@on_a_gpu
@pytest.mark.parametrize("lowered", [False, True], ids=["short", "autocast"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_on_a_gpu_it_is_right_and_repeats_bit_for_bit(dtype, lowered):
    parts = [64, 32, 96]
    kept = torch.float32 if lowered else dtype
    inputs, back = given(kept, "cuda", parts)
    short = torch.bfloat16 if lowered and dtype == torch.float32 else dtype
    with torch.autocast("cuda", short, enabled=lowered):
        back = [dy.to(short) for dy in back]
        first, again = (results(_projection.projected, inputs, back, parts) for _ in range(2))
    assert all(map(torch.equal, first, again))
    assert [each.dtype for each in first] == [short] * 3 + [kept] * 2
    exact = [x.detach().double().requires_grad_() for x in inputs]
    right = results(in_one, exact, [dy.double() for dy in back], parts)
    bound = {torch.bfloat16: 1e-2, torch.float16: 2e-3, torch.float32: 1e-5}[short]
    assert max(map(off, first, right)) < bound
