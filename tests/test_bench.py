"""What a bench gives a measure and keeps beside: the text of the point, and under what it was timed."""

import dataclasses

import pytest

from harness import corpus, graphs, telemetry, timing
from harness.bench import Bench
from harness.telemetry import Circumstances
from harness.timing import Timing
from tests import tiny
from tests.test_corpus import DOCUMENTS

# The corpus ------------------------------------------------------------------------------------------------------


@pytest.fixture
def text(monkeypatch, tmp_path):
    """A file of documents, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "text.txt"
    path.write_text("\n=====\n".join(DOCUMENTS))
    return path


def test_a_text_that_changed_since_the_point_was_planned_is_not_read_for_it(only_tiny, text):
    planned = tiny.point("noop", corpus=str(text), corpus_sha256=corpus.load(str(text)).sha256)
    assert Bench(planned).corpus().sha256 == planned.corpus_sha256
    text.write_text("\n=====\n".join(DOCUMENTS[1:]))
    with pytest.raises(RuntimeError, match="the text has changed since this run began; start it again"):
        Bench(planned).corpus()
    anew = Bench(dataclasses.replace(planned, corpus_sha256=None)).corpus()
    assert anew.sha256 != planned.corpus_sha256, "a point that names no hash takes the text as it is"


# Under what was timed --------------------------------------------------------------------------------------------


def timed(ended, calls=1):
    return Timing([0.5], [], calls, 2 * calls, ended)


def test_what_is_kept_of_two_timings_is_what_speaks_against_either(only_tiny, monkeypatch):
    told = iter([timed("deadline", 7), timed("precision", 3)])
    read = iter(
        [{"throttled": "thermal", "others_share": 0.75, "clock_mhz": 5.0}, {"throttled": "no", "clock_mhz": 9.0}]
    )
    monkeypatch.setattr(timing, "measure", lambda *given: next(told))
    monkeypatch.setattr(telemetry.Gauges, "read", lambda self: {"others_share": 0.25} | next(read))
    bench = Bench(tiny.point("noop"))
    assert bench.circumstances is None
    bench.time(print)
    assert bench.circumstances == Circumstances("deadline", 7, 14, None, 5.0, None, None, "thermal", 0.75)
    bench.time(print)
    assert bench.circumstances == Circumstances("deadline", 3, 6, None, 9.0, None, None, "thermal", 0.75)


@pytest.mark.usefixtures("counter")
def test_of_energy_the_same_is_kept(only_tiny, monkeypatch):
    read = iter([{"throttled": "thermal", "others_share": 0.75}, {"throttled": "no", "others_share": 0.25}])
    monkeypatch.setattr(telemetry.Gauges, "read", lambda self: next(read))
    bench = Bench(tiny.point("noop"))
    for _ in range(2):
        bench.energy(lambda: None, 1, 0.001)
    kept = bench.circumstances
    assert (kept.timing_ended, kept.throttled, kept.others_share) == (None, "thermal", 0.75)


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_graph_is_told_where_every_timing_replayed_one(monkeypatch, first, second):
    replays = iter([print if first else None, print if second else None])
    monkeypatch.setattr(graphs, "replayed", lambda work: next(replays))
    monkeypatch.setattr(timing, "measure", lambda *given: timed("samples"))
    monkeypatch.setattr(telemetry.Gauges, "__init__", lambda self, device: None)
    monkeypatch.setattr(telemetry.Gauges, "read", lambda self: {})
    bench = Bench(tiny.point("noop", "aft", options={}, device="cuda"))
    for graph in (first, second):
        bench.time(bench.captured(print))
        assert bench.graph is graph, "what is timed next"
    assert bench.circumstances.graph is (first and second)


@pytest.mark.parametrize(
    ("before", "now", "both"),
    [
        (None, None, None),
        ("no", None, None),
        (None, "no", None),
        ("no", "no", "no"),
        ("no", "power cap", "power cap"),
        ("power cap, thermal", None, "power cap, thermal"),
        ("power cap, thermal", "power brake, power cap", "power cap, thermal, power brake"),
    ],
)
def test_what_slowed_a_device_down_once_is_told(before, now, both):
    assert Circumstances(throttled=now).after(Circumstances(throttled=before)).throttled == both


@pytest.mark.parametrize("before", timing.ENDED)
@pytest.mark.parametrize("now", timing.ENDED)
def test_of_two_ends_the_worse_is_told(before, now):
    worse = timing.ENDED[max(timing.ENDED.index(before), timing.ENDED.index(now))]
    assert Circumstances(timing_ended=now).after(Circumstances(timing_ended=before)).timing_ended == worse
    assert timing.ENDED == ("precision", "samples", "seconds", "deadline")
