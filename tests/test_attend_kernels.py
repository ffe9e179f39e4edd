"""A step of attention over a cache against float64: by Triton's interpreter, and as compiled where there is a GPU."""

import dataclasses

import pytest
import torch

from tests import attend_kernels, programs
from tests.attend_kernels import CASES, LONG, Case, plain
from tests.programs import COMPILED, on_a_gpu

INTERPRETED = 1e-6  # in float32, of sums in another order


def too_large(found, most):
    return {name: error for name, error in found.items() if not error <= most}


@pytest.fixture(scope="module")
def interpreted():
    """What `tests.attend_kernels` found, in a process that had the interpreter from the start."""
    return programs.told_by("tests.attend_kernels", 150)


@pytest.fixture
def attend():
    return pytest.importorskip("models._kernels.attend", reason="Triton is for Linux", exc_type=ImportError)


@pytest.mark.parametrize("case", CASES)
def test_interpreted_programs_are_exact(interpreted, case):
    assert set(interpreted[case]) == {"o", "key", "value", "others"}
    assert too_large(interpreted[case], INTERPRETED) == {}


# What needs no GPU -----------------------------------------------------------------------------------------------


def one_slot_less(q, k, v, turn, keys, values, position, padding):
    return plain(q, k, v, turn, keys, values, position, padding + 1)


def one_slot_of_padding(q, k, v, turn, keys, values, position, padding):
    return plain(q, k, v, turn, keys, values, position, padding - 1)


def another_scale(q, k, v, turn, keys, values, position, padding):
    return plain(q * 1.001, k, v, turn, keys, values, position, padding)


def not_turned(q, k, v, turn, keys, values, position, padding):
    return plain(q, k, v, None, keys, values, position, padding)


def another_value(q, k, v, turn, keys, values, position, padding):
    return plain(q, k, v.nextafter(v + 1), turn, keys, values, position, padding)


def the_next_slot_too(q, k, v, turn, keys, values, position, padding):
    plain(q, k, v, turn, keys, values, position + 1, padding)
    return plain(q, k, v, turn, keys, values, position, padding)


MISTAKES = {
    plain: set(),
    one_slot_less: {"o"},
    one_slot_of_padding: {"o"},
    another_scale: {"o"},
    not_turned: {"o", "key"},
    another_value: {"value"},
    the_next_slot_too: {"others"},
}


@pytest.mark.parametrize("run", MISTAKES, ids=lambda run: run.__name__)
def test_mistakes_are_told_apart(run):
    """The errors that are asserted on are errors; and float32 without one is within the bound."""
    found = attend_kernels.errors(Case(turn="sequence", padding=(5, 2)), run=run)
    assert set(too_large(found, INTERPRETED)) == MISTAKES[run]


def test_a_cache_that_cannot_be_written_in_place_is_refused(attend):
    given, _ = attend_kernels.inputs(Case(), "cpu", torch.float32)
    given[4] = given[4].mT.contiguous().mT
    with pytest.raises(ValueError, match=r"slots of 40 numbers must follow one another"):
        attend.attend_(*given)


SIZES = [
    (16, 8192, 32),
    (4, 9000, 128),
    (1, 8256, 128),
    (13, 2816, 40),
    (256, 8192, 2),
    (1024, 2048, 1),
    (16, 500, 7),
    (1, 60, 1),
]


@pytest.mark.parametrize(("groups", "slots", "shares"), SIZES)
def test_the_cache_is_cut_by_what_it_could_hold(attend, monkeypatch, groups, slots, shares):
    """Nor is a round of merging of a few: not 33 shares, nor 132 or 129, but 40."""
    monkeypatch.setattr(attend, "processors", lambda device: 132)
    how = attend.Walk(slots=64, warps=4, stages=3, programs=4, shortest=64, at_once=32)
    assert attend.cut(groups, slots, how, torch.device("cpu")) == shares


@pytest.mark.parametrize("dtype", COMPILED, ids=str)
@pytest.mark.parametrize("K", [16, 40, 64, 128, 256, 512, 1024])
def test_every_size_of_head_has_blocks_that_products_take(attend, K, dtype):
    slots = attend.walk(K, dtype).slots
    assert 16 <= slots <= 128
    assert slots & (slots - 1) == 0


# On a GPU --------------------------------------------------------------------------------------------------------


@on_a_gpu
@pytest.mark.parametrize("dtype", COMPILED, ids=str)
@pytest.mark.parametrize("case", [*CASES.values(), *LONG.values()], ids=[*CASES, *LONG])
def test_compiled_programs_are_right(case, dtype):
    if dtype == torch.float16:
        case = dataclasses.replace(case, loud=1.0)  # it has no such numbers
    assert too_large(attend_kernels.errors(case, "cuda", dtype), COMPILED[dtype]) == {}


@on_a_gpu
@pytest.mark.parametrize("case", [Case(S=700, K=64, cut=(64, 5)), Case(H=6, G=2, S=700, K=64, cut=None)], ids=str)
def test_a_recorded_step_follows_the_position(attend, case):
    given, memory = attend_kernels.inputs(case, "cuda", torch.bfloat16)
    given += [] if case.cut is None else [attend.Walk(case.cut[0], 4, 3, 4, 64, 32), case.cut[1]]
    position = given[6]
    attend.attend_(*given)  # compiled before it is recorded
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        o = attend.attend_(*given)
    for now in (0, 1, 63, 64, 300, 699):
        given_now, fresh = attend_kernels.inputs(dataclasses.replace(case, position=now), "cuda", torch.bfloat16)
        for mine, other in zip(given[:4], given_now[:4], strict=True):
            mine.copy_(other)
        memory.copy_(fresh)
        position.fill_(now)
        graph.replay()
        found = attend_kernels.compared(case, given, fresh, memory, o)
        assert too_large(found, COMPILED[torch.bfloat16]) == {}, now


@on_a_gpu
def test_results_repeat_bit_for_bit(attend):
    given, _ = attend_kernels.inputs(LONG["mostly empty"], "cuda", torch.bfloat16)
    first = attend.attend_(*given)
    assert torch.equal(first, attend.attend_(*given))
