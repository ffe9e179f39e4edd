"""Bits per byte: known answers, every byte once, the same bytes at every length."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import models
from harness import corpus, scoring, splits
from harness.bench import Bench
from harness.measures import NotApplicable, Sample
from harness.measures.language import DOUBLINGS, Measure
from harness.point import Training
from models import _loss
from tests import tiny
from tests.test_measures import SETTINGS, TEXT, measured, point, values

RANDOM = np.random.default_rng(2).integers(0, 256, 5000).astype(np.uint8)


def test_a_model_that_knows_nothing_needs_eight_bits():
    model = tiny.model()
    torch.nn.init.zeros_(model.head.weight)
    at = scoring.bits(model, scoring.sequences(scoring.blocks(RANDOM, 7, 2, 600), 7), "parallel")
    assert at.shape == (7,)
    assert at == pytest.approx(8.0)


def test_a_model_that_knows_the_counts_needs_their_entropy():
    text = np.frombuffer(b"aab" * 400, np.uint8)
    model = tiny.model()
    torch.nn.init.zeros_(model.head.weight)
    model.head = torch.nn.Linear(12, 256)
    torch.nn.init.zeros_(model.head.weight)
    with torch.no_grad():
        model.head.bias.copy_(torch.full((256,), -99.0))
        model.head.bias[ord("a")], model.head.bias[ord("b")] = np.log(2 / 3), np.log(1 / 3)
    scored = scoring.blocks(text, 15, 0, 900)
    entropy = np.log2(3) - 2 / 3
    assert scoring.order0_entropy(scored[:, 1:]) == pytest.approx(entropy)
    assert scoring.bits(model, scored, "parallel").mean() == pytest.approx(entropy)


@pytest.mark.parametrize(
    ("text", "entropy"), [(b"aaaa", 0.0), (b"abab", 1.0), (b"abcd" * 3, 2.0), (b"aaab", 2 - 0.75 * np.log2(3))]
)
def test_order_0_entropy(text, entropy):
    assert scoring.order0_entropy(np.frombuffer(text, np.uint8)) == pytest.approx(entropy)


@given(size=st.integers(0, 900), length=st.integers(1, 30), doublings=st.integers(0, 4), most=st.integers(0, 600))
def test_every_length_scores_the_same_bytes_once(size, length, doublings, most):
    places = np.arange(size)
    scored = scoring.blocks(places, length, doublings, most)
    longest = scored.shape[1] - 1
    assert longest in [length << i for i in range(doublings + 1)]
    assert len(scored) == 0 if size <= length else len(scored) >= 1
    assert longest == length or len(scored) >= scoring.FEWEST_BLOCKS
    assert scored[:, 1:].size <= max(most, scoring.FEWEST_BLOCKS * longest)
    assert (np.diff(scored, axis=1) == 1).all(), "blocks are of the text as it stands"
    wanted = sorted(scored[:, 1:].ravel().tolist())
    assert len(set(wanted)) == len(wanted), "nothing is scored twice"
    while longest >= length and len(scored):
        windows = scoring.sequences(scored, longest)
        assert windows.shape[1] == longest + 1
        assert sorted(windows[:, 1:].ravel().tolist()) == wanted
        longest //= 2


def test_blocks_are_spread_over_the_whole_text():
    starts = scoring.blocks(np.arange(10_001), 100, 0, 500)[:, 0]
    assert starts.tolist() == [0, 2500, 5000, 7400, 9900]


def test_scores_are_those_of_the_definition_at_every_position():
    model, windows = tiny.model(3, torch.float64), scoring.sequences(scoring.blocks(RANDOM, 13, 0, 400), 13)
    found = scoring.bits(model, windows, "parallel")
    with torch.no_grad():
        tokens = torch.from_numpy(windows)
        nats = F.cross_entropy(model(tokens[:, :-1]).transpose(1, 2), tokens[:, 1:], reduction="none")
    assert found == pytest.approx(nats.mean(0).numpy() / np.log(2))


@pytest.mark.parametrize("name", models.names())
def test_long_sequences_in_parts_and_many_in_batches_score_the_same(name, monkeypatch):
    kind = models.load(name)
    torch.manual_seed(1)
    model, form = kind(tiny.SHAPE, kind.Options()).double(), kind.default_form
    windows = scoring.sequences(scoring.blocks(RANDOM, 37, 0, 200), 37)
    whole = scoring.bits(model, windows, form)
    monkeypatch.setattr(scoring, "SEGMENT", 10)
    monkeypatch.setattr(scoring, "TOKENS", 80)
    assert scoring.bits(model, windows, form) == pytest.approx(whole, rel=1e-9)


class Largest(TorchDispatchMode):
    """Keeps the size of the largest tensor that an operator makes."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        made = [each.numel() for each in tree_leaves(out) if isinstance(each, torch.Tensor)]
        self.numbers = max(self.numbers, *made, 0)
        return out


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("biased", [False, True], ids=["plain", "biased"])
def test_logits_in_pieces_score_the_same_and_are_never_all_there(dtype, biased, monkeypatch):
    """1,110 tokens of 256 kinds, in pieces of at most a tile of tokens."""
    model, windows = tiny.model(4, dtype), scoring.sequences(scoring.blocks(RANDOM, 37, 0, 1110), 37)
    model.head = torch.nn.Linear(12, 256, bias=biased).to(dtype)
    found, largest = [], []
    for size in (_loss.CHUNK_BYTES, 1):
        monkeypatch.setattr(_loss, "CHUNK_BYTES", size)
        with Largest() as seen:
            found.append(scoring.bits(model, windows, "parallel"))
        largest.append(seen.numbers)
    whole, pieces = found
    assert pieces == pytest.approx(whole, rel=1e-12 if dtype == torch.float64 else 1e-6)
    assert largest == [windows[:, 1:].size * 256, _loss.TILE * 256]


def test_buckets_double_and_end_with_the_sequence():
    at = np.arange(1.0, 21.0)
    assert scoring.by_position(at) == [(8, 4.5), (16, 12.5), (20, 18.5)]
    assert scoring.by_position(at[:8]) == [(8, 4.5)]
    assert scoring.by_position(at[:3]) == [(3, 2.0)]


# The measure -----------------------------------------------------------------------------------------------------


@pytest.fixture
def lent(monkeypatch, tmp_path):
    """A small corpus in the place of every other, and the tiny model."""

    def lend(tuning=TEXT[:700], held_out=TEXT[:2000]):
        made = splits.Corpus("made", "0" * 64, dict.fromkeys(splits.SPLITS, 1), TEXT, tuning, held_out)
        monkeypatch.setattr(corpus, "load", lambda name: made)

    monkeypatch.setattr(models, "load", lambda name: tiny.Model)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lend()
    return lend


def lengths(rows):
    return [row.length for row in rows if isinstance(row, Sample) and row.metric == "bits_per_byte" and not row.bucket]


def test_language_tells_every_length_and_bucket(lent):
    rows = measured("language")
    assert lengths(rows) == [9 << i for i in range(DOUBLINGS + 1)]
    assert values(rows, "bits_per_byte", length=9, bucket=8)
    assert [row.bucket for row in rows if isinstance(row, Sample) and row.length == 18 and row.bucket] == [8, 16, 18]
    (whole,) = values(rows, "bits_per_byte", length=9, bucket=None)
    (first,), (last,) = (values(rows, "bits_per_byte", length=9, bucket=end) for end in (8, 9))
    assert whole == pytest.approx((8 * first + last) / 9)
    assert len(values(rows, "tuning_bits_per_byte")) == len(values(rows, "order0_entropy")) == 1
    assert whole < 8.0, "it learned something"


def test_the_same_bytes_are_scored_with_less_before_them(lent):
    """Lengths below that of training cut the same blocks, so that only the context differs."""
    made = point("language")
    made = dataclasses.replace(made, training=dataclasses.replace(made.training, sequence_length=32))
    rows = list(Measure().run(made, Bench(made)))
    assert lengths(rows)[:4] == [32, 16, 8, 64]
    scored = scoring.blocks(TEXT[:2000], 32, DOUBLINGS, 2**16)
    for length in (32, 16, 8):
        windows = scoring.sequences(scored, length)
        assert np.array_equal(np.sort(windows[:, 1:].ravel()), np.sort(scored[:, 1:].ravel()))


@pytest.mark.parametrize(("trained", "shorter"), [(512, [256, 128]), (30, [15]), (9, []), (16, [8]), (12, [])])
def test_shorter_lengths_leave_no_rest(trained, shorter):
    from harness.measures.language import _lengths

    assert _lengths(trained, trained * 3) == [trained, *shorter, trained * 2]


def test_a_short_text_leaves_the_long_sequences_out(lent):
    lent(held_out=TEXT[: 4 * 18 + 1])
    assert lengths(measured("language")) == [9, 18]
    lent(held_out=TEXT[:9])
    with pytest.raises(
        NotApplicable, match=r"9 bytes in 1 .held_out. documents; sequences of 9 bytes need a longer text"
    ):
        measured("language")


def test_a_model_that_ends_leaves_the_longer_sequences_out(lent):
    limited = {**dataclasses.asdict(tiny.Options()), "limited": True}
    assert lengths(measured("language", options=limited, max_length=40)) == [9, 18, 36]


def test_no_time_left_leaves_the_longer_sequences_out(lent, monkeypatch):
    monkeypatch.setattr(Bench, "seconds_left", 1e-9)
    assert lengths(measured("language")) == [9]


def test_the_tuning_split_is_not_the_held_out_one(lent):
    (tuning,) = values(measured("language"), "tuning_bits_per_byte")
    lent(held_out=RANDOM[:2000])
    rows = measured("language")
    assert values(rows, "tuning_bits_per_byte") == [tuning]
    assert values(rows, "bits_per_byte", length=9, bucket=None)[0] > 8
    assert values(rows, "order0_entropy")[0] > 7


def test_an_interrupted_point_goes_on_and_leaves_nothing(lent, tmp_path, monkeypatch):
    from harness import training

    monkeypatch.setattr(training.train, "__defaults__", (None, 0.0))
    whole = measured("language")
    assert not list(tmp_path.rglob("*.safetensors"))
    made = point("language")
    run = Measure().run(made, Bench(made))
    for _ in range(4):
        next(run)
    run.close()
    assert [path.name for path in tmp_path.rglob("*.safetensors")] == [Bench(made).checkpoint.name]
    again = measured("language")
    assert [row for row in again if isinstance(row, Sample)] == [row for row in whole if isinstance(row, Sample)]
    assert not list(tmp_path.rglob("*.safetensors"))


def test_how_much_is_scored_follows_from_the_budget():
    from harness.measures import language

    assert language._most(SETTINGS) == SETTINGS.tokens // 16
    assert language._most(dataclasses.replace(SETTINGS, tokens=10**12)) == language.MOST_SCORED
    assert language._most(Training(sequence_length=9, batch_size=5, learning_rate=1.0, seconds=3.0)) == language.SCORED
