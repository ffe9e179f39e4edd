"""How fast a model trains: whole optimiser steps on random tokens, forward, backward, clipping and AdamW.

On CUDA the step is captured and replayed as one graph where that is possible, see `Bench.stepper`. The peak is that of
a step before, launched one operator at a time, as a graph keeps its memory. Elsewhere it is that of a step after: while
it is counted freed memory goes back to the system at once, and steps that must ask for it again are a fifth slower.

FLOPs are those that are needed, by the model's own count: what a mask discards counts for nothing, and what `recompute`
does twice counts once: it is work that memory saves and that no result needs.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.measures import Metric, NotApplicable, Progress, Sample
from harness.point import Point, Training

if TYPE_CHECKING:
    from harness.bench import Bench
    from harness.memory import Peak


class Measure:
    title = "Training"
    metrics = {
        "tokens_per_second": Metric("tokens/s", "higher", "tokens of whole optimiser steps per second"),
        "step_ms": Metric("ms", "lower", "time of one optimiser step over one batch"),
        "device_step_ms": Metric("ms", "lower", "the same by events on the device's queue; CUDA alone has them"),
        "flops_per_second": Metric("FLOP/s", "higher", "forward and backward, as many as are needed"),
        "peak_bytes": Metric("bytes", "lower", "peak of a step: held by tensors on cuda, resident on the cpu"),
    }
    factors = ("form", "batch_size", "sequence_length", "dtype")
    trains = False
    reads_corpus = False
    captured = True
    optimises = True

    def run(self, point: Point, bench: "Bench") -> Iterator[Sample | Progress]:
        from harness import stepping

        batch, length = bench.sizes
        form = bench.form
        settings = Training(sequence_length=length, batch_size=batch, learning_rate=1e-4)
        model, windows = bench.model(), bench.tokens(batch, length + 1)
        model.train()

        def peak() -> "Peak | None":
            optimiser = stepping.optimiser(model, settings)
            stepping.step(model, optimiser, windows, settings, form)  # what a first step loads counts for no model
            with contextlib.suppress(NotApplicable):  # nothing counts it here: a gap, not a failure
                return bench.peak(lambda: stepping.step(model, optimiser, windows, settings, form))
            return None

        with bench.reaching(length):
            found = peak() if point.device == "cuda" else None
            timed = bench.time(bench.stepper(model, settings, windows))
            found = found or peak()
        flops = batch * bench.kind.needed_flops(bench.shape, bench.options, form, length, backward=True)
        for repeat, seconds in enumerate(timed.seconds):
            yield Sample("tokens_per_second", batch * length / seconds, repeat)
            yield Sample("step_ms", 1000 * seconds, repeat)
            yield Sample("flops_per_second", flops / seconds, repeat)
        for repeat, seconds in enumerate(timed.device_seconds):
            yield Sample("device_step_ms", 1000 * seconds, repeat)
        if found is not None:
            yield Sample("peak_bytes", found.held_bytes)
