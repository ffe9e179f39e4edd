"""Rotations against the authors' numbers, and what makes them encodings of relative positions."""

import json
import pathlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models._rotary import retnet_angles, rope_angles, rotate, tables, xpos_scale

GOLDEN = pathlib.Path(__file__).parent / "golden"
EXACT = {"atol": 1e-11, "rtol": 1e-11}
KINDS = {
    "interleaved": (rope_angles, True),
    "halves": (rope_angles, False),
    "retnet_interleaved": (retnet_angles, True),
}


def golden(name):
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def turned(x, kind, first=0):
    angles, interleaved = KINDS[kind]
    return rotate(x, *tables(torch.arange(first, first + x.shape[2]), angles(x.shape[3]), x.dtype), interleaved)


@pytest.mark.parametrize("kind", KINDS)
def test_rotation_is_the_authors(kind):
    data = golden("rope")
    q = tensor(data["inputs"]["q"]).requires_grad_()
    wanted = data["outputs"][kind]
    torch.testing.assert_close(turned(q, kind), tensor(wanted["q"]), **EXACT)
    torch.testing.assert_close(turned(tensor(data["inputs"]["k"]), kind), tensor(wanted["k"]), **EXACT)
    shifted = turned(q, kind, data["config"]["offset"])
    torch.testing.assert_close(shifted, tensor(wanted["q_from_offset"]), **EXACT)
    (turned(q, kind) * tensor(data["inputs"]["cotangent"])).sum().backward()
    torch.testing.assert_close(q.grad, tensor(data["gradients"][f"{kind}_q"]), **EXACT)


def test_xpos_is_the_authors():
    data = golden("xpos")
    q, k, cotangent = (tensor(data["inputs"][name]).unsqueeze(0).requires_grad_() for name in ("q", "k", "cotangent"))
    length, size = q.shape[2:]
    centre, base = float((length + 1) // 2), float(data["config"]["scale_base"])
    scale = xpos_scale(torch.arange(length), size, centre, base).repeat_interleave(2, -1)
    wanted = data["outputs"]
    up, down = turned(q, "interleaved") * scale, turned(k, "interleaved") / scale
    torch.testing.assert_close(up[0], tensor(wanted["q"]), **EXACT)
    torch.testing.assert_close(down[0], tensor(wanted["k"]), **EXACT)
    torch.testing.assert_close((up @ down.mT)[0], tensor(wanted["scores_qk"]), **EXACT)
    torch.testing.assert_close(up[0, :, -1:], tensor(wanted["q_last_with_offset"]), **EXACT)
    ((up + down) * cotangent).sum().backward()
    torch.testing.assert_close(q.grad[0], tensor(data["gradients"]["q"]), **EXACT)
    torch.testing.assert_close(k.grad[0], tensor(data["gradients"]["k"]), **EXACT)


@pytest.mark.parametrize("kind", KINDS)
@given(shift=st.integers(1, 10_000), length=st.integers(1, 7), size=st.sampled_from([2, 6, 10]))
def test_scores_depend_on_distances_alone(kind, shift, length, size):
    q, k = torch.randn(2, 3, 1, length, size, dtype=torch.float64)
    here, there = (turned(q, kind, first) @ turned(k, kind, first).mT for first in (0, shift))
    torch.testing.assert_close(here, there, atol=1e-10, rtol=0)
    if length > 1:
        assert not torch.allclose(here, q @ k.mT), "nothing was turned"


def test_lengths_are_kept():
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    for kind in KINDS:
        torch.testing.assert_close(turned(x, kind, 77).norm(dim=-1), x.norm(dim=-1), **EXACT)


def test_xpos_shrinks_scores_with_the_distance_whatever_the_centre():
    q, k = torch.randn(2, 1, 1, 9, 6, dtype=torch.float64)
    scores = []
    for centre in (0.0, 3.5, 1000.0):
        scale = xpos_scale(torch.arange(9), 6, centre).repeat(1, 2)
        scores.append((turned(q, "halves") * scale) @ (turned(k, "halves") / scale).mT)
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
    for kind, (angles, interleaved) in KINDS.items():
        both = rotate(x, *tables(positions, angles(6), x.dtype), interleaved)
        torch.testing.assert_close(both[:1], turned(x[:1], kind), **EXACT)
        torch.testing.assert_close(both[1:], turned(x[1:], kind, 40), **EXACT)


def test_phases_are_right_far_out_in_short_types():
    """Taken in bfloat16, position 30,001 would be 29,952, and the phase anything."""
    exact, short = (tables(torch.tensor([30_001]), rope_angles(6), dtype) for dtype in (torch.float64, torch.bfloat16))
    for wanted, found in zip(exact, short, strict=True):
        torch.testing.assert_close(found.double(), wanted, atol=4e-3, rtol=0)


def test_the_type_of_the_input_is_kept():
    wide = tables(torch.arange(5), rope_angles(6), torch.float32)
    assert rotate(torch.randn(2, 3, 5, 6, dtype=torch.bfloat16), *wide, interleaved=False).dtype == torch.bfloat16
