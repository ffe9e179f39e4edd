"""What a measure is given beside its point: the model, inputs, the stopwatch, the corpus, memory and a place to keep.

Made in the process of the point before anything else is, so that memory is counted from there. Importing it loads what
every measure needs, once for all processes that are forked from the one that imports it.
"""

import contextlib
import functools
import math
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
import torch._dynamo  # the first optimiser loads it, which takes longer than many a point

import models
from harness import cache, contexts, graphs, sources, stepping, timing
from harness.measures import NotApplicable
from harness.memory import Memory, Peak
from harness.point import Point, Training, build
from harness.telemetry import Circumstances, EnergyMeter, Gauges

if TYPE_CHECKING:
    from harness.splits import Corpus
    from models._lm import LanguageModel
    from models._state import State

MARGIN = 0.05  # of the limit, kept for what comes after the last sample
MOST_MOVED = 10**9  # parameters: a larger model is made where it works


class Bench:
    """Everything here follows from the point: two benches of one point give the same model and the same tokens."""

    def __init__(self, point: Point):
        self.memory = Memory(point.device)
        self.point = point
        self.circumstances: Circumstances | None = None  # of all that was timed
        self.graph = False if point.device == "cuda" else None  # whether what is timed replays a CUDA graph
        self.dtype: torch.dtype = getattr(torch, point.dtype)
        self.kind = models.load(point.model)
        self.options = build(point.model, point.options)
        self.shape = point.shape
        limit = math.inf if point.limit_seconds is None else point.limit_seconds
        self.deadline = time.monotonic() + (1 - MARGIN) * limit
        self._generator = torch.Generator().manual_seed(point.seed + 1)

    @property
    def form(self) -> str:
        """The point's form, or else the one that the model is trained in."""
        return self.point.form or self.kind.training_form(self.options)

    @property
    def sizes(self) -> tuple[int, int]:
        """Sequences of a batch, and tokens of each: of a point whose measure depends on both."""
        assert self.point.batch_size is not None
        assert self.point.sequence_length is not None
        return self.point.batch_size, self.point.sequence_length

    def model(self) -> "LanguageModel":
        """The model on its device. The seed decides its weights, the same ones on every device up to `MOST_MOVED`.

        A larger one is made on the device, in the point's dtype: by way of the host's memory it would take minutes.
        """
        torch.manual_seed(self.point.seed)
        if self.kind.parameters_count(self.shape, self.options) <= MOST_MOVED:
            return self.kind(self.shape, self.options).to(device=self.point.device, dtype=self.dtype)
        before = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)
        try:
            with torch.device(self.point.device):
                return self.kind(self.shape, self.options).to(device=self.point.device, dtype=self.dtype)
        finally:
            torch.set_default_dtype(before)

    def context(self, model: "LanguageModel", prompts: torch.Tensor, capacity: int) -> "State":
        """The state after the prompts [batch, length], with slots reserved for `capacity` tokens; read in pieces."""
        first, *later = prompts.split(contexts.piece(*prompts.shape), 1)
        _, state = model.prefill(first, self.form, capacity=capacity)
        for piece in later:
            _, state = model.prefill(piece, self.form, state=state, capacity=capacity)
        return state

    def tokens(self, batch: int, length: int) -> torch.Tensor:
        """The next random tokens [batch, length] on the device. Never zeros: those can be faster than real ones."""
        drawn = torch.randint(0, self.shape.vocabulary, (batch, length), generator=self._generator)
        return drawn.to(self.point.device)

    def read_bytes(self, model: "LanguageModel") -> int:
        """Of the weights that a pass forward reads whole: all but the embedding table, of which it takes rows."""
        return sum(parameter.nbytes for parameter in model.parameters()) - model.embedding.weight.nbytes

    def step_bytes(self, model: "LanguageModel", state: "State") -> float:
        """That a decode step moves at least: the weights once, the state as it must."""
        return self.read_bytes(model) + self.kind.state_passes(self.options, least=True) * state.nbytes

    def step_flops(self, batch: int, context: int) -> int:
        """That a decode step needs, by the model's own count."""
        return batch * self.kind.needed_flops(self.shape, self.options, "recurrent", 1, context=context)

    def captured(self, work: Callable[[], Any]) -> Callable[[], Any]:
        """`work` as one CUDA graph that does the same again when it is called: launches cost the host nothing then.

        Itself off CUDA, and where something in it cannot be captured; `graph` in points.csv says so. Memory that runs
        out while it is captured is no such thing.
        """
        if self.point.device != "cuda":
            return work
        replay = graphs.replayed(work)
        self.graph = replay is not None
        return replay or work

    def stepper(self, model: "LanguageModel", settings: Training, windows: torch.Tensor) -> Callable[[], None]:
        """An optimiser step over these windows, [B, T + 1], on CUDA one graph where that is possible; see `Stepper`."""
        stepper = stepping.Stepper(model, settings, self.form)
        while stepper.undecided:
            stepper(windows)
        if stepper.on_cuda:
            self.graph = stepper.graph

        def work() -> None:
            stepper(windows)

        return work

    def time(self, work: Callable[[], Any]) -> timing.Timing:
        """Seconds of one call, sample by sample; see `harness.timing`. What it was timed under is kept beside."""
        gauges = Gauges(self.point.device)
        timed = timing.measure(work, self.point.device, self.point.repeats, self.point.precision, self.deadline)
        self._keep(gauges, timing_ended=timed.ended, calls_per_sample=timed.calls, warm_calls=timed.warm_calls)
        return timed

    def energy(self, work: Callable[[], Any], windows: int, seconds: float) -> list[tuple[float, float]]:
        """Of each window of that many seconds at least: joules and seconds of one call. Raises NotApplicable."""
        meter, gauges, found = EnergyMeter(self.point.device), Gauges(self.point.device), []
        _, warm_calls = timing.warm_up(work, self.point.device, self.deadline)
        for _ in range(windows):
            meter.read()
            calls, spent = timing.window(work, self.point.device, seconds)
            found.append((meter.read() / calls, spent / calls))
        self._keep(gauges, warm_calls=warm_calls)
        return found

    def _keep(self, gauges: Gauges, **told: Any) -> None:
        """Joins what is told of this timing and by these gauges to what is kept of those before it."""
        self.circumstances = Circumstances(graph=self.graph, **told, **gauges.read()).after(self.circumstances)

    def peak(self, work: Callable[[], Any]) -> Peak:
        """Peak memory while doing `work`, above what there was before the model; see `harness.memory`."""
        return self.memory.peak(work)

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def corpus(self) -> "Corpus":
        """The point's corpus, from the cache. Raises UserError where it cannot be read, RuntimeError where it is read
        anew and is no longer the text that the point was planned with, whose hash stands in its row."""
        from harness import corpus

        if self.point.corpus is None:
            raise NotApplicable("this point has no corpus")
        found = corpus.load(self.point.corpus)
        if self.point.corpus_sha256 not in (None, found.sha256):
            raise RuntimeError("the text has changed since this run began; start it again")
        return found

    @functools.cached_property
    def checkpoint(self) -> pathlib.Path:
        """Where this point's training may be kept while it is unfinished: its own under this code."""
        return cache.training(self.point.configuration, sources.code_hash(self.point.model, self.point.measure))

    @contextlib.contextmanager
    def reaching(self, length: int) -> Iterator[None]:
        """Makes NotApplicable of a model's refusal of `length` tokens where that is more than its `max_length`."""
        try:
            yield
        except ValueError as error:
            if length <= self.shape.max_length:
                raise
            raise NotApplicable(str(error)) from None
