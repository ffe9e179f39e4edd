"""Rotations against the authors' numbers, and what makes them encodings of relative positions."""

import json
import pathlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models._rotary import retnet_angles, rope_angles, turned, turns, xpos_scale

GOLDEN = pathlib.Path(__file__).parent / "golden"
EXACT = {"atol": 1e-11, "rtol": 1e-11}
ANGLES = {"interleaved": rope_angles, "halves": rope_angles, "retnet_interleaved": retnet_angles}
every_kind = pytest.mark.parametrize("kind", ANGLES)


def golden(name):
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def at(x, kind, first=0):
    """x [B, H, T, K] turned from position `first` on. Llama's halves are put side by side and back again."""
    turn = turns(torch.arange(first, first + x.shape[2]), ANGLES[kind](x.shape[3]), x.dtype)
    if kind != "halves":
        return turned(x, turn)
    side_by_side = turned(x.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2), turn)
    return side_by_side.unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)


@every_kind
def test_rotation_is_the_authors(kind):
    data = golden("rope")
    q = tensor(data["inputs"]["q"]).requires_grad_()
    wanted = data["outputs"][kind]
    torch.testing.assert_close(at(q, kind), tensor(wanted["q"]), **EXACT)
    torch.testing.assert_close(at(tensor(data["inputs"]["k"]), kind), tensor(wanted["k"]), **EXACT)
    shifted = at(q, kind, data["config"]["offset"])
    torch.testing.assert_close(shifted, tensor(wanted["q_from_offset"]), **EXACT)
    (at(q, kind) * tensor(data["inputs"]["cotangent"])).sum().backward()
    torch.testing.assert_close(q.grad, tensor(data["gradients"][f"{kind}_q"]), **EXACT)


def test_xpos_is_the_authors():
    data = golden("xpos")
    q, k, cotangent = (tensor(data["inputs"][name]).unsqueeze(0).requires_grad_() for name in ("q", "k", "cotangent"))
    length, size = q.shape[2:]
    centre, base = float((length + 1) // 2), float(data["config"]["scale_base"])
    scale = xpos_scale(torch.arange(length), size, centre, base).repeat_interleave(2, -1)
    wanted = data["outputs"]
    up, down = at(q, "interleaved") * scale, at(k, "interleaved") / scale
    torch.testing.assert_close(up[0], tensor(wanted["q"]), **EXACT)
    torch.testing.assert_close(down[0], tensor(wanted["k"]), **EXACT)
    torch.testing.assert_close((up @ down.mT)[0], tensor(wanted["scores_qk"]), **EXACT)
    torch.testing.assert_close(up[0, :, -1:], tensor(wanted["q_last_with_offset"]), **EXACT)
    ((up + down) * cotangent).sum().backward()
    torch.testing.assert_close(q.grad[0], tensor(data["gradients"]["q"]), **EXACT)
    torch.testing.assert_close(k.grad[0], tensor(data["gradients"]["k"]), **EXACT)


@every_kind
@given(shift=st.integers(1, 10_000), length=st.integers(1, 7), size=st.sampled_from([2, 6, 10]))
def test_scores_depend_on_distances_alone(kind, shift, length, size):
    q, k = torch.randn(2, 3, 1, length, size, dtype=torch.float64)
    here, there = (at(q, kind, first) @ at(k, kind, first).mT for first in (0, shift))
    torch.testing.assert_close(here, there, atol=1e-10, rtol=0)
    if length > 1:
        assert not torch.allclose(here, q @ k.mT), "nothing was turned"


def test_lengths_are_kept():
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    for kind in ANGLES:
        torch.testing.assert_close(at(x, kind, 77).norm(dim=-1), x.norm(dim=-1), **EXACT)


def test_xpos_shrinks_scores_with_the_distance_whatever_the_centre():
    q, k = torch.randn(2, 1, 1, 9, 6, dtype=torch.float64)
    scores = []
    for centre in (0.0, 3.5, 1000.0):
        scale = xpos_scale(torch.arange(9), 6, centre).repeat_interleave(2, 1)
        scores.append((at(q, "interleaved") * scale) @ (at(k, "interleaved") / scale).mT)
    torch.testing.assert_close(scores[0], scores[1], **EXACT)
    torch.testing.assert_close(scores[0], scores[2], **EXACT)
    far, near = (xpos_scale(torch.tensor([n]), 6) for n in (2000, 20))
    assert (far < near).all()
    assert (near < 1).all()


def test_the_angles_end_where_each_paper_says():
    assert retnet_angles(8)[-1].item() == pytest.approx(1e-4, rel=1e-15)
    assert retnet_angles(2).tolist() == [1.0]
    torch.testing.assert_close(rope_angles(8), tensor([1, 1e-1, 1e-2, 1e-3]), **EXACT)


def test_each_sequence_of_a_batch_can_stand_elsewhere():
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    positions = torch.arange(5) + torch.tensor([[0], [40]])
    both = turned(x, turns(positions, rope_angles(6), x.dtype).unsqueeze(1))
    torch.testing.assert_close(both[:1], at(x[:1], "interleaved"), **EXACT)
    torch.testing.assert_close(both[1:], at(x[1:], "interleaved", 40), **EXACT)


def test_a_turn_can_scale_as_well():
    x, scale = torch.randn(2, 3, 5, 6, dtype=torch.float64), xpos_scale(torch.arange(5), 6)
    wanted = at(x, "interleaved") * scale.repeat_interleave(2, 1)
    found = turned(x, turns(torch.arange(5), rope_angles(6), x.dtype) * scale)
    torch.testing.assert_close(found, wanted, **EXACT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_phases_are_right_far_out_in_short_types(dtype):
    """Taken in bfloat16, position 30,001 would be 29,952, and the phase anything; in float32 it errs by 0.002."""
    exact, short = (turns(torch.tensor([30_001]), rope_angles(6), kind) for kind in (torch.float64, dtype))
    torch.testing.assert_close(short.to(exact.dtype), exact, atol=1e-7, rtol=0)


def test_the_type_of_the_input_is_kept_and_turned_in_float32_at_least():
    x, turn = torch.randn(2, 3, 5, 6), turns(torch.arange(5), rope_angles(6), torch.bfloat16)
    short = turned(x.bfloat16(), turn)
    assert short.dtype == torch.bfloat16
    assert torch.equal(short, turned(x.bfloat16().float(), turn).bfloat16())
