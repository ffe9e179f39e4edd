"""The largest batch: searched from a guess, decoded from repeated states, and the pieces that a context is read in."""

import dataclasses

import pytest
import torch

import models
from harness import bench as harness_bench
from harness import contexts
from harness.bench import Bench
from harness.child import is_out_of_memory
from harness.measures import largest_batch
from harness.memory import Memory
from harness.timing import Timing
from tests import tiny
from tests.contract import relative
from tests.test_measures import measured, values

every_model = pytest.mark.parametrize("name", models.names())


def bench(name="transformer", **factors):
    factors = {"sequence_length": 19, "max_length": 64, "dtype": "float64"} | factors
    options = {**dataclasses.asdict(models.load(name).Options()), **factors.pop("options", {})}
    return Bench(tiny.point("decode", name, options=options, **factors))


# The search ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("room", "guess"), [(1, 1), (1, 9), (5, 5), (5, 6), (5, 800), (1000, 1300), (37, 4000)])
def test_the_largest_is_found_from_a_guess_above_it(room, guess):
    tried = []
    found = largest_batch.largest(lambda batch: tried.append(batch) or batch <= room, guess)
    assert found <= room <= found + max(1, largest_batch.NEAR * found)
    assert found in tried, "it was seen to fit"
    assert len(tried) <= 15


def test_a_guess_that_fits_is_not_improved():
    assert largest_batch.largest(lambda batch: True, 17) == 17


def test_no_room_for_one_sequence_is_out_of_memory():
    with pytest.raises(MemoryError) as caught:
        largest_batch.largest(lambda batch: False, 12)
    assert is_out_of_memory(caught.value)


# The measure -----------------------------------------------------------------------------------------------------


@pytest.fixture
def room(monkeypatch):
    """A device of so many bytes, of which peaks are the model's weights and the state that was made last."""
    made = []

    def repeated(state, batch, device, was=largest_batch.repeated):
        grown = was(state, batch, device)
        if device != "meta":
            made.append((batch, grown.nbytes))
        if grown.nbytes > 50_000:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return grown

    def peak(self, work):
        work()
        return largest_batch_peak(1000 + made[-1][1])

    monkeypatch.setattr(largest_batch, "repeated", repeated)
    monkeypatch.setattr(Memory, "peak", peak)
    monkeypatch.setattr(Memory, "most", lambda self, limit: 1000 + (limit or 40_000))
    monkeypatch.setattr(Bench, "time", lambda self, work: work() or Timing([0.5, 0.25], [], 1, 2, "samples"))
    return made


def largest_batch_peak(size):
    from harness.memory import Peak

    return Peak(size, None)


EACH = 2 * 12 * 4  # bytes of one sequence's state: layers, width, float32


def test_as_many_as_the_memory_has_room_for(room, only_tiny):
    rows = measured("largest_batch")
    most = int((0.97 * 41_000 - 1000) / EACH)
    assert values(rows, "largest_batch") == [most]
    assert values(rows, "token_ms") == [500, 250]
    assert values(rows, "tokens_per_second") == [most / 0.5, most / 0.25]
    assert values(rows, "peak_bytes") == [1000 + most * EACH]
    weights = 4 * (tiny.Model.parameters_count(tiny.SHAPE, tiny.Options()) - 256 * 12)
    assert values(rows, "bytes_per_second")[0] == (weights + 2 * most * EACH) / 0.5
    flops = tiny.Model.flops(tiny.SHAPE, tiny.Options(), "recurrent", 1, context=19)
    assert values(rows, "flops_per_second")[0] == most * flops / 0.5
    assert [batch for batch, _ in room] == [1, 2, most, most], "two probes, one try, the timing"


def test_a_guess_too_large_is_tried_smaller(room, only_tiny):
    (found,) = values(measured("largest_batch", limit_bytes=90_000), "largest_batch")
    assert found <= 50_000 // EACH <= found * (1 + largest_batch.NEAR)


def test_what_is_no_want_of_memory_is_raised(room, only_tiny, monkeypatch):
    def step(self, token, state):
        raise RuntimeError("a mistake")

    monkeypatch.setattr(tiny.Model, "step", step)
    with pytest.raises(RuntimeError, match="a mistake"):
        measured("largest_batch")


@every_model
def test_repeated_states_decode_as_the_one_does(name):
    made = bench(name)
    with torch.inference_mode():
        model, token = made.model(), torch.tensor([7])
        one = made.context(model, made.tokens(1, 19), 24)
        several = largest_batch.repeated(one, 3, "cpu")
        assert several.nbytes == 3 * one.nbytes
        wanted, _ = model.step(token, one.clone())
        found, _ = model.step(token.expand(3), several)
        assert relative(found, wanted.expand(3, -1)) < 1e-10
        again, _ = model.step(token, one)
        assert torch.equal(wanted, again), "the one is left as it was"


def test_room_is_what_is_free_beside_what_is_held():
    memory, limit = Memory("cpu"), 2**34
    before = memory.most(limit)
    kept = torch.ones(2**26)
    assert before < limit
    assert memory.most(limit) == pytest.approx(before, rel=0.01), "what is held may be held again"
    assert kept.nbytes < memory.most() < float("inf")


# Contexts in pieces ----------------------------------------------------------------------------------------------


KINDS = {name: models.load(name) for name in models.names()}
CASES = [(name, form, {}) for name, kind in KINDS.items() for form in kind.available_forms(kind.Options())]
NAIVE = ("transformer", "parallel", {"implementation": "eager", "cache": "concatenated"})


@pytest.mark.parametrize(("name", "form", "options"), [*CASES, NAIVE])
def test_a_context_in_pieces_is_the_context(name, form, options, monkeypatch):
    made = bench(name, form=form, options=options)
    with torch.inference_mode():
        model, prompts, token = made.model(), made.tokens(2, 19), torch.tensor([3, 5])
        whole = made.context(model, prompts, 24)
        monkeypatch.setattr(contexts, "PAIRS", 2 * 19 * 5)
        lengths, prefill = [], type(model).prefill
        monkeypatch.setattr(
            type(model), "prefill", lambda self, *a, **k: lengths.append(a[0].shape[1]) or prefill(self, *a, **k)
        )
        pieces = made.context(model, prompts, 24)
        assert lengths == [5, 5, 5, 4]
        assert (pieces.seen, pieces.nbytes) == (whole.seen, whole.nbytes)
        wanted, found = (model.step(token, state)[0] for state in (whole, pieces))
    assert relative(found, wanted) < 1e-10


def test_a_piece_is_one_token_at_least(monkeypatch):
    made = bench()
    monkeypatch.setattr(contexts, "PAIRS", 3)
    with torch.inference_mode():
        assert made.context(made.model(), made.tokens(2, 5), 5).seen == 5


# Large models ----------------------------------------------------------------------------------------------------


@every_model
def test_a_large_model_is_made_where_it_works_in_its_own_dtype(name, monkeypatch):
    made = bench(name, dtype="bfloat16")
    small = made.model().requires_grad_(False)
    monkeypatch.setattr(harness_bench, "MOST_MOVED", 1)
    seen, moved = [], torch.nn.Module.to
    monkeypatch.setattr(
        torch.nn.Module, "to",
        lambda self, *a, **k: seen.append({p.dtype for p in self.parameters()}) or moved(self, *a, **k),
    )  # fmt: skip
    large = made.model()
    assert seen == [{torch.bfloat16}]
    assert torch.get_default_dtype() == torch.float32
    for (key, one), (_, other) in zip(small.named_parameters(), large.named_parameters(), strict=True):
        assert one.dtype == other.dtype == torch.bfloat16
        assert one.float().std().item() == pytest.approx(other.float().std().item(), rel=0.35, abs=1e-3), key
    assert torch.isfinite(large(made.tokens(2, 9))).all()


def test_the_default_dtype_comes_back_where_building_fails(monkeypatch):
    made = bench(dtype="float16")
    monkeypatch.setattr(harness_bench, "MOST_MOVED", 1)

    def broken(self):
        raise RuntimeError("no room")

    monkeypatch.setattr(made.kind, "initialise", broken)
    with pytest.raises(RuntimeError, match="no room"):
        made.model()
    assert torch.get_default_dtype() == torch.float32
