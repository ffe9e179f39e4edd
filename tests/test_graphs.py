"""How work is captured: warmed up aside, then once; by the bench and by what finds the portions of a step alike."""

import contextlib
import types

import pytest
import torch

from harness import graphs, tune_steps
from harness.bench import Bench
from models._portions import TABLE, Portion, Portions
from tests import tiny


@pytest.fixture
def events(monkeypatch):
    """What happens, in order; a capture runs nothing, and gives what replays."""
    told = []

    @contextlib.contextmanager
    def aside():
        told.append("aside")
        yield
        told.append("back")

    monkeypatch.setattr(graphs, "aside", aside)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: told.append("empty"))
    monkeypatch.setattr(graphs, "capture", lambda work: told.append("capture") or (lambda: told.append("replay")))
    return told


def test_work_runs_aside_before_it_is_captured(events):
    replay = graphs.replayed(lambda: events.append("work"))
    assert events == ["aside", *["work"] * graphs.WARM_CALLS, "back", "empty", "capture"]
    assert replay is not None
    replay()
    assert events[-1] == "replay"


@pytest.mark.parametrize("possible", [True, False])
def test_a_bench_replays_where_it_can(events, monkeypatch, possible):
    bench = Bench(tiny.point("noop", "aft", options={}, device="cuda"))
    if not possible:
        monkeypatch.setattr(graphs, "capture", lambda work: None)
    bench.captured(lambda: events.append("work"))()
    assert events.count("work") == graphs.WARM_CALLS + (not possible)
    assert bench.graph is possible


@pytest.mark.parametrize("possible", [True, False])
def test_portions_are_timed_over_steps_captured_as_the_bench_captures_them(events, monkeypatch, possible):
    if not possible:
        monkeypatch.setattr(graphs, "capture", lambda work: None)

    class Decoder:
        def __init__(self, model, token, state, captured):
            self.step, self.again = captured(lambda: events.append("work")), lambda: events.append("again")

    event = types.SimpleNamespace(record=list, synchronize=list, elapsed_time=lambda end: 32.0)
    fake = types.SimpleNamespace(Event=lambda enable_timing: event)
    model = types.SimpleNamespace(layers_title="Made up", prefill=lambda tokens, capacity: (None, "state"))
    monkeypatch.setattr(tune_steps, "Decoder", Decoder)
    monkeypatch.setattr(tune_steps, "torch", types.SimpleNamespace(zeros=lambda *a, **k: None, int64=None, cuda=fake))
    monkeypatch.setitem(TABLE, ("Made up", tune_steps.WIDTH), Portions())
    once = tune_steps.stepper(model, row := Portions(into=Portion(64)))
    assert TABLE["Made up", tune_steps.WIDTH] is row
    warm = ["aside", *["work"] * graphs.WARM_CALLS, "back", "empty", *(["capture"] if possible else [])]
    turn = ["again", *["replay" if possible else "work"] * tune_steps.STEPS]
    assert events == warm + turn * tune_steps.TURNS
    assert once() == 32.0 / tune_steps.STEPS


@pytest.fixture
def refused(monkeypatch):
    """A capture in which work is refused as a device refuses it."""
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)

    def work(error):
        def fails():
            raise error

        return fails

    return work


def test_why_nothing_was_captured_is_told_on_one_line(refused, capsys):
    assert graphs.capture(refused(RuntimeError("operation not permitted\n  when capturing " + "x" * 400))) is None
    told = capsys.readouterr().err
    assert told.startswith("no CUDA graph: RuntimeError: operation not permitted when capturing xxx")
    assert told.count("\n") == 1
    assert len(told) == len("no CUDA graph: RuntimeError: ") + 300 + 1


def test_memory_that_runs_out_is_told_by_the_one_who_takes_it(refused, capsys):
    with pytest.raises(torch.OutOfMemoryError):
        graphs.capture(refused(torch.OutOfMemoryError("no room")))
    assert capsys.readouterr().err == ""
