"""Every measure over every model, and what each of them is worth."""

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch

import models
from harness import agreement, corpus, measures, plugins, splits
from harness.bench import Bench
from harness.measures import NotApplicable, Progress, Sample, largest_batch, self_test
from harness.measures.decode import Measure as Decode
from harness.point import SEQUENCE_FACTORS, Training
from harness.timing import Timing
from tests import tiny
from tests.contract import cases
from tests.test_corpus import DOCUMENTS

SETTINGS = Training(sequence_length=9, batch_size=5, learning_rate=3e-3, tokens=9 * 5 * 7)
TEXT = np.frombuffer("".join(DOCUMENTS).encode(), np.uint8)

pytestmark = pytest.mark.usefixtures("counter")  # of energy, which few machines have
every_measure = pytest.mark.parametrize("name", measures.names())


@pytest.fixture(autouse=True)
def _small_corpus(monkeypatch, tmp_path):
    made = splits.Corpus("made", "0" * 64, dict.fromkeys(splits.SPLITS, 1), TEXT, TEXT[:700], TEXT[:2000])
    monkeypatch.setattr(corpus, "load", lambda name: made)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def brief(monkeypatch):
    """A self-test too short to be exact; `tests/test_self_test.py` holds one of its usual size to its word. And few
    sequences at most."""
    monkeypatch.setattr(self_test, "PAUSE_SECONDS", 0.005)
    monkeypatch.setattr(self_test, "ALLOCATED_BYTES", 16 * 2**20)
    monkeypatch.setattr(largest_batch, "MOST", {"batch_size": 40})


def point(measure, model="tiny", **factors):
    """A point with all that the measure reads."""
    kind = measures.load(measure)
    told = {"batch_size": 2, "sequence_length": 19, "max_length": 19 + 20}
    told = {name: value for name, value in told.items() if name in kind.factors or name == "max_length"}
    if kind.trains:
        told |= {"training": SETTINGS, "corpus": "made", "corpus_sha256": "0" * 64}
    if model != "tiny":
        told["options"] = dataclasses.asdict(models.load(model).Options())
    return tiny.point(measure, model, **told | factors)


def measured(measure, model="tiny", **factors):
    made = point(measure, model, **factors)
    return list(measures.load(measure).run(made, Bench(made)))


@functools.cache  # two tests ask, both of `brief` ones
def applied(measure, model):
    """What the measure gives of the model's defaults, or else of the first choice that it applies to, if any."""
    for case in (case for case in cases() if case.model == model):
        try:
            return measured(measure, model, options=dataclasses.asdict(case.options))
        except NotApplicable:
            continue
    return None


def timing(*seconds):
    """As if a CUDA device had worked for half of the first call, and then for three quarters."""
    shares = [share * each for share, each in zip((0.5, 0.75), seconds, strict=False)]
    return Timing(list(seconds), shares, 1, 2, "samples")


def values(rows, metric, **where):
    samples = [row for row in rows if isinstance(row, Sample) and row.metric == metric]
    return [row.value for row in samples if all(getattr(row, name) == value for name, value in where.items())]


# What every measure states, and gives ----------------------------------------------------------------------------


@every_measure
def test_what_a_measure_states(name):
    measure = measures.load(name)
    assert measure.title
    assert measure.metrics
    for metric, told in measure.metrics.items():
        assert told.better in ("higher", "lower", None), metric
        assert told.unit
        assert told.text
        assert not metric.endswith("_ms") or told.unit == "ms", metric
        assert not metric.endswith("_bytes") or told.unit == "bytes", metric
    assert set(measure.factors) <= set(SEQUENCE_FACTORS)
    assert measure.trains in (True, False)
    assert measure.reads_corpus in (True, False)
    assert {each for each in dir(measure) if each[0] != "_"} <= {*plugins._required("measure"), *measures.OPTIONAL}
    assert all(type(measures.stated(measure, each)) is type(other) for each, other in measures.OPTIONAL.items())


@every_measure
@pytest.mark.parametrize("model", models.names())
def test_a_measure_gives_every_metric_that_it_states(name, model, brief):
    rows = applied(name, model)
    if rows is None:
        pytest.skip("not applicable to this model, whatever its options")
    samples = [row for row in rows if isinstance(row, Sample)]
    stated = set(measures.load(name).metrics)
    missing = {"peak_allocated_bytes", *(metric for metric in stated if metric.startswith("device_"))}  # on the cpu
    missing |= set(agreement.ALLOWED) if name == "forms" else set()  # where programs compute
    assert {row.metric for row in samples} | missing == stated | missing
    assert all(math.isfinite(row.value) for row in samples)
    for metric in {row.metric for row in samples}:
        same = [row for row in samples if row.metric == metric]
        assert len({(row.repeat, row.length, row.bucket) for row in same}) == len(same)
    assert any(isinstance(row, Progress) for row in rows) == measures.load(name).trains


@every_measure
def test_a_measure_applies_to_some_model(name, brief):
    assert any(applied(name, model) for model in models.names())


def test_an_unknown_measure_is_named_with_those_there_are():
    with pytest.raises(KeyError, match=r"no measure 'decod'; there are decode, energy, forms"):
        measures.load("decod")


# The bench -------------------------------------------------------------------------------------------------------


def test_a_point_decides_the_model_and_its_inputs(only_tiny):
    one, same, other = (Bench(tiny.point("noop", seed=seed, dtype="float64")) for seed in (3, 3, 4))
    weights = [torch.cat([p.flatten() for p in bench.model().parameters()]) for bench in (one, same, other)]
    assert weights[0].dtype == torch.float64
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    tokens = [bench.tokens(5, 400) for bench in (one, same, other)]
    assert torch.equal(tokens[0], tokens[1])
    assert not torch.equal(tokens[0], tokens[2])
    assert not torch.equal(tokens[0], one.tokens(5, 400)), "the next ones are others"
    assert tokens[0].shape == (5, 400)
    assert set(tokens[0].flatten().tolist()) == set(range(256))


def test_lists_among_options_become_tuples(monkeypatch):
    seen = []
    kind = type("Kind", (tiny.Model,), {"Options": lambda **o: seen.append(o)})
    monkeypatch.setattr(models, "load", lambda name: kind)
    Bench(tiny.point("noop", options={"gamma": [0.5, 0.9]}))
    assert seen == [{"gamma": (0.5, 0.9)}]


def test_the_form_is_the_points_own_or_the_default(only_tiny, monkeypatch):
    assert Bench(tiny.point("noop", form="recurrent")).form == "recurrent"
    assert Bench(tiny.point("noop")).form == "parallel"
    monkeypatch.setattr(tiny.Model, "available_forms", classmethod(lambda cls, options: ("recurrent",)))
    assert Bench(tiny.point("noop")).form == "recurrent"


@pytest.mark.parametrize("name", ["prefill", "decode", "memory", "training"])
def test_a_model_that_ends_before_the_context_is_not_applicable(only_tiny, name):
    limited = {**dataclasses.asdict(tiny.Options()), "limited": True}
    assert measured(name, options=limited, max_length=19 + Decode.decoded_tokens)
    with pytest.raises(NotApplicable, match="no positions beyond max_length 18"):
        measured(name, options=limited, max_length=18)


def test_off_cuda_nothing_is_captured(only_tiny):
    bench, work = Bench(tiny.point("noop")), print
    assert bench.captured(work) is work
    assert bench.graph is None


def test_decoding_counts_the_tokens_that_it_decodes(only_tiny):
    limited = {**dataclasses.asdict(tiny.Options()), "limited": True}
    with pytest.raises(NotApplicable):
        measured("decode", options=limited, max_length=19 + Decode.decoded_tokens - 1)


def test_a_mistake_of_a_model_is_not_taken_for_a_limit(only_tiny, monkeypatch):
    def share(self, call):
        raise ValueError("a mistake")

    monkeypatch.setattr(tiny.Model, "share", share)
    with pytest.raises(ValueError, match="a mistake"):
        measured("prefill")


# Times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rate", "time", "tokens"),
    [
        ("training", "tokens_per_second", "step_ms", 2 * 19),
        ("prefill", "tokens_per_second", "prefill_ms", 2 * 19),
        ("decode", "tokens_per_second", "token_ms", 2),
    ],
)
def test_times_and_rates_are_of_the_same_samples(only_tiny, monkeypatch, name, rate, time, tokens):
    calls = []
    monkeypatch.setattr(Bench, "time", lambda self, work: calls.append(work()) or timing(0.25, 0.5))
    rows = measured(name)
    steps = Decode.decoded_tokens if name == "decode" else 1
    assert len(calls) == 1
    assert values(rows, time) == [250 / steps, 500 / steps]
    assert values(rows, rate) == pytest.approx([tokens * steps / 0.25, tokens * steps / 0.5])
    assert values(rows, f"device_{time}") == [125 / steps, 375 / steps]
    assert [row.repeat for row in rows if row.metric == time] == [0, 1]


def test_decoding_starts_at_the_same_context_every_time(only_tiny, monkeypatch):
    seen, step = [], tiny.Model.step
    monkeypatch.setattr(
        tiny.Model, "step", lambda self, token, state: seen.append(state.seen) or step(self, token, state)
    )
    monkeypatch.setattr(Bench, "time", lambda self, work: timing(*(1.0 for _ in range(3) if work() is None)))
    rows = measured("decode")
    assert seen == [*range(19, 19 + Decode.decoded_tokens)] * 3
    moved = tiny.Model.parameters_count(tiny.SHAPE, tiny.Options()) * 4 - 256 * 12 * 4 + 2 * (2 * 2 * 12 * 4)
    assert values(rows, "bytes_per_second") == pytest.approx([moved * Decode.decoded_tokens] * 3), "the state twice"
    flops = 2 * tiny.Model.flops(tiny.SHAPE, tiny.Options(), "recurrent", 1, context=19)
    assert values(rows, "flops_per_second") == pytest.approx([flops * Decode.decoded_tokens] * 3)


def test_prefill_counts_the_head_for_the_last_tokens_alone(only_tiny, monkeypatch):
    monkeypatch.setattr(Bench, "time", lambda self, work: timing(work() and 0.5))
    rows, shape = measured("prefill"), tiny.SHAPE
    layers = 2 * (tiny.Model.parameters_count(shape, tiny.Options()) - 2 * 256 * 12 - 5 * 12)
    assert values(rows, "flops_per_second") == [2 * (19 * layers + 2 * 256 * 12) / 0.5]
    moved = 4 * (tiny.Model.parameters_count(shape, tiny.Options()) - 256 * 12) + 2 * 2 * 12 * 4
    assert values(rows, "bytes_per_second") == [moved / 0.5]


def test_slots_for_the_decoded_tokens_are_there_before_they_are_timed(only_tiny, monkeypatch):
    seen, prefill = [], tiny.Model.prefill
    monkeypatch.setattr(tiny.Model, "prefill", lambda *a, **options: seen.append(options) or prefill(*a, **options))
    measured("decode")
    assert seen == [{"capacity": 19 + Decode.decoded_tokens}]


def test_training_counts_both_passes_and_moves_the_weights(only_tiny, monkeypatch):
    monkeypatch.setattr(Bench, "time", lambda self, work: timing(work() or 0.5))
    flops = 2 * tiny.Model.flops(tiny.SHAPE, tiny.Options(), "parallel", 19, backward=True)
    assert values(measured("training"), "flops_per_second") == [flops / 0.5]
