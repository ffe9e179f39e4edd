"""Retention's Triton programs against float64: by Triton's interpreter, and as compiled where there is a GPU."""

import dataclasses

import pytest
import torch

from models import _gate, _retention, _rotary
from models._kernels import bucket, specialised
from models._kernels.plans import SPECIALISED, TABLE, Plan, Tile, plan
from tests import programs, retention_kernels
from tests.cases import off
from tests.programs import COMPILED, on_a_gpu

ODD = (32, 32), (96, 72), (64, 108), (256, 256), (256, 432), (200, 300), (160, 320), (192, 384)
SLOW = (1 - 2.0**-5, 1 - 2.0**-7, 1 - 2.0**-9)  # heads that remember, as models begin with
BY_HEAD = 0.05  # of the decay's gradient in short types, sums that cancel
MIXED = (  # programs whose warps have roles make the gradients of q and k, or everything else
    dataclasses.replace(TABLE[128, 256], of_qk=Tile(256, 64, 2, 4, 2, True)),
    dataclasses.replace(SPECIALISED[128, 256], of_qk=Tile(256, 64, 2, 4, 2)),
)
INTERPRETED = 1e-6  # in float32, of sums in another order; the decay's gradient sums over all tokens: ten times


@pytest.fixture(scope="module")
def interpreted():
    """What `tests.retention_kernels` found, in a process that had the interpreter from the start."""
    return programs.told_by("tests.retention_kernels", 300)


@pytest.mark.parametrize("case", retention_kernels.CASES)
def test_interpreted_programs_are_exact(interpreted, case):
    found = interpreted[case]
    assert len(found) >= 4
    assert {
        name: error for name, error in found.items() if not error <= INTERPRETED * (10 if name == "dlog" else 1)
    } == {}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"L": 40}, "L is 40; it must be a multiple of the chunk, 16"),
        ({"L": 0}, "L is 0; it must be a multiple of the chunk, 16"),
        ({"cu_lengths": torch.tensor([0, 20])}, "this batch is of 2"),
        *(({"how": how}, "this is torch.float32 without cu_lengths: give none") for how in MIXED),
    ],
)
def test_what_no_program_can_do_is_refused(given, told):
    retention = pytest.importorskip("models._kernels.retention", reason="Triton is for Linux", exc_type=ImportError)
    q = torch.randn(2, 1, 20, 32)
    with pytest.raises(ValueError, match=told):
        retention.retention(q, q, q, **given)


def test_programs_with_roles_refuse_packed_sequences():
    retention = pytest.importorskip("models._kernels.retention", reason="Triton is for Linux", exc_type=ImportError)
    q, ends = torch.randn(1, 1, 20, 32, dtype=torch.bfloat16), torch.tensor([0, 20], dtype=torch.int32)
    for how in MIXED:
        with pytest.raises(ValueError, match="with cu_lengths: give none"):
            retention.retention(q, q, q, cu_lengths=ends, how=how)


def test_an_oracle_of_another_decay_is_told_apart():
    """The errors that are asserted on are errors: half a percent less memory in each head is seen in all of them."""
    case = retention_kernels.Case(T=60)
    given, back = retention_kernels.inputs(case, "cpu", torch.float64)
    right = retention_kernels.oracle(case, given, back)
    wrong = retention_kernels.oracle(case, [*given[:3], given[3] - 5e-3, given[4]], back)
    assert min(off(a, b) for a, b in zip(wrong, right, strict=True)) > 1e-4


# On a GPU --------------------------------------------------------------------------------------------------------


@on_a_gpu
@pytest.mark.parametrize("dtype", COMPILED, ids=str)
@pytest.mark.parametrize("case", retention_kernels.CASES.values(), ids=retention_kernels.CASES)
def test_compiled_programs_are_right(case, dtype):
    if case.how is not None and dtype != torch.float32:
        case = dataclasses.replace(case, how=None, L=case.L and 64)  # tiles of 32 are for exact products
    found = retention_kernels.errors(case, "cuda", dtype)
    assert wrong(found, dtype) == {}


def wrong(found, dtype):
    """What is off by too much. In short types the decay's gradient, terms of any sign, is told over several draws."""
    short = dtype != torch.float32
    return {name: e for name, e in found.items() if not e <= COMPILED[dtype] and not (short and name == "dlog")}


@on_a_gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("sizes", [*TABLE, (64, 108)], ids=str)
def test_the_gradient_of_a_decay_is_right_in_every_head(sizes, dtype):
    case = retention_kernels.Case(T=333, K=sizes[0], V=sizes[1], gammas=SLOW)
    assert max(retention_kernels.decay_errors(case, "cuda", dtype, 6)) < BY_HEAD


@on_a_gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("sizes", [*TABLE, *ODD], ids=str)
def test_every_pinned_plan_is_right(sizes, dtype):
    K, V = sizes
    for changed in (
        {"T": 333},
        {"T": 333, "learned": False},
        {"T": 1500, "B": 2, "H": 2},
        {"T": 1500, "B": 2, "H": 2, "learned": False},
        {"T": 1025, "H": 2, "state": False, "final": False},
    ):
        case = retention_kernels.Case(K=K, V=V, **changed)
        for how in (None, plan(K, V, dtype)):  # not the same where programs can be specialised
            assert wrong(retention_kernels.errors(dataclasses.replace(case, how=how), "cuda", dtype), dtype) == {}


@on_a_gpu
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("how", MIXED, ids=["of q and k", "of the rest"])
def test_plans_may_have_programs_of_both_kinds(how, learned):
    if not specialised(torch.device("cuda")):
        pytest.skip("needs a Hopper GPU")
    for T in (333, 2100):
        case = retention_kernels.Case(T=T, K=128, V=256, how=how, learned=learned)
        assert wrong(retention_kernels.errors(case, "cuda", torch.bfloat16), torch.bfloat16) == {}


@on_a_gpu
@pytest.mark.parametrize(("walks", "T"), [(1, 512), (1, 825), (2, 825), (2, 1050)])  # segments of 256, or a token
@pytest.mark.parametrize("sizes", [*SPECIALISED, (256, 432)], ids=str)
def test_walks_keep_the_states_that_a_learned_decay_asks_for(sizes, walks, T, monkeypatch):
    from models._kernels import retention

    if not specialised(torch.device("cuda")):
        pytest.skip("needs a Hopper GPU")
    monkeypatch.setattr(retention, "LONGEST", 256)
    cut, scan, saved = retention.cut, retention.scan, []
    monkeypatch.setattr(retention, "cut", lambda N, *rest: cut(walks, *rest))
    monkeypatch.setattr(retention, "scan", lambda *given, **how: saved.append(how.get("saved")) or scan(*given, **how))
    case = retention_kernels.Case(T=T, K=sizes[0], V=sizes[1], gammas=SLOW)
    assert wrong(retention_kernels.errors(case, "cuda", torch.bfloat16), torch.bfloat16) == {}
    assert sum(states is not None for states in saved) == 2  # forwards and backwards
    assert max(retention_kernels.decay_errors(case, "cuda", torch.bfloat16, 3)) < BY_HEAD


@on_a_gpu
@pytest.mark.parametrize("sizes", [(64, 128), *SPECIALISED], ids=str)
def test_results_repeat_bit_for_bit(sizes):
    case = retention_kernels.Case(B=2, T=700, K=sizes[0], V=sizes[1])
    given, back = retention_kernels.inputs(case, "cuda", torch.bfloat16)

    def run(q, k, v, log_decay, state):
        return _retention.fused(q, k, v, log_decay, state, True)

    first, again = (retention_kernels.results(run, case, given, back) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@on_a_gpu
def test_short_types_on_a_gpu_are_computed_by_the_programs(monkeypatch):
    from models._kernels import elementwise, retention, rotation

    called = []
    programs = (
        (rotation, "turned"),
        (elementwise, "gated"),
        (elementwise, "squared_relu"),
        (retention, "retention"),
    )
    for module, name in programs:
        kept = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *given, kept=kept, name=name, **more: called.append(name) or kept(*given, **more)
        )
    x = torch.randn(1, 2, 9, 32, device="cuda", dtype=torch.bfloat16)
    _rotary.turned(x, torch.ones(9, 16, dtype=torch.complex64, device="cuda"))
    _gate.gated(x, x)
    _retention.fused(x, x, x)
    for implementation in ("auto", "torch"):
        _gate.opened(x, x, implementation)
        _gate.squared_relu(x, implementation)
    assert called == ["turned", "gated", "retention", "gated", "squared_relu"]


# What needs neither ----------------------------------------------------------------------------------------------


def test_on_a_cpu_the_fused_form_is_the_chunkwise_one():
    q, k, v = torch.randn(3, 1, 2, 70, 16)
    assert all(
        map(torch.equal, _retention.fused(q, k, v, None, None, True), _retention.chunkwise(q, k, v, None, None, True))
    )


@pytest.mark.parametrize("specialised", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("K", [32, 50, 64, 128, 200, 256, 300])
@pytest.mark.parametrize("V", [32, 108, 128, 256, 512, 600])
def test_every_size_of_head_has_a_plan_that_covers_it(K, V, dtype, specialised):
    chosen = plan(K, V, dtype, specialised)
    assert isinstance(chosen, Plan)
    scans = (
        (chosen.outputs, K, chosen.inside[0]),
        (chosen.of_v, K, chosen.inside[0]),
        (chosen.of_qk, V, chosen.inside[1]),
    )
    for tile, keys, inside in scans:
        assert tile.keys % tile.halves == 0
        assert tile.keys >= min(bucket(keys), 16)
        assert not inside or tile.keys >= keys  # scores are of whole keys
        assert not tile.specialised or (specialised and dtype == torch.bfloat16)
        assert not (inside and tile.specialised) or (chosen.C, tile.values, tile.warps) == (64, 64, 4)


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("T", [1, 64, 1000, 1024, 1025, 3300, 32768])
@pytest.mark.parametrize("N", [1, 2, 7])
def test_walks_cover_a_sequence_in_whole_segments(N, T, learned, keeps):
    retention = pytest.importorskip("models._kernels.retention", reason="Triton is for Linux", exc_type=ImportError)
    segment, walk = retention.cut(N, T, 64, learned, keeps)
    assert segment % 64 == 0
    assert walk % segment == 0
    assert not learned or segment <= retention.LONGEST
    assert keeps or segment == walk
    assert -(-T // walk) <= N or (learned and not keeps)
