"""What inference holds in memory: weights, the state after a context of n tokens, and the peak on the way there.

A pass apart from timing. The prompt is read all but its last token in the given form, with slots reserved for n tokens,
and the last token is a decode step: so the peak is that of both, and the state is that of n tokens exactly. A long
prompt is read in pieces, as a server would: see `harness.contexts`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.measures import Metric, NotApplicable, Progress, Sample
from harness.point import Point

if TYPE_CHECKING:
    from harness.bench import Bench
    from models._state import State


class Measure:
    title = "Memory"
    metrics = {
        "state_bytes": Metric("bytes", "lower", "live tensors of the state or cache after the context, whole batch"),
        "weights_bytes": Metric("bytes", "lower", "all parameters"),
        "peak_resident_bytes": Metric("bytes", "lower", "that the process held at the peak, above what it had before"),
        "peak_allocated_bytes": Metric("bytes", "lower", "that tensors held at the peak, by the allocator's count"),
    }
    factors = ("form", "batch_size", "sequence_length", "dtype")
    trains = False
    reads_corpus = False
    reads_context = True

    def run(self, point: Point, bench: "Bench") -> Iterator[Sample | Progress]:
        import torch

        batch, length = bench.sizes
        model, prompts = bench.model(), bench.tokens(batch, length)

        def infer() -> "State":
            state = bench.context(model, prompts[:, : max(1, length - 1)], length)
            return model.step(prompts[:, -1], state)[1] if length > 1 else state

        with torch.inference_mode(), bench.reaching(length):
            state_bytes = infer().nbytes  # once before, so that what the first call loads counts for no model
            yield Sample("weights_bytes", sum(parameter.nbytes for parameter in model.parameters()))
            yield Sample("state_bytes", state_bytes)
            try:
                peak = bench.peak(infer)
            except NotApplicable:  # nothing counts it here: a gap, not a failure
                return
        yield Sample("peak_resident_bytes", peak.resident_bytes)
        if peak.allocated_bytes is not None:
            yield Sample("peak_allocated_bytes", peak.allocated_bytes)
